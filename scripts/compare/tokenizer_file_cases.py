"""Tokenizers whose files have seldom forms: every combination of flags, other stages, old files, several special tokens around a text."""
import itertools
import json

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from .case import Case, write_json
from .tokenizer_cases import BACKEND, LLAMA3, PLAIN, TEXTS, case, expected, template, trained

FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
CODE = "GPT2Tokenizer"


def flag_product():
    """All 32 combinations of a token's flags, in each file."""
    for values in itertools.product((False, True), repeat=len(FLAGS)):
        flags = dict(zip(FLAGS, values))
        shown = "+".join(flag for flag, value in flags.items() if value) or "none"
        token = {"content": "<a>"} | flags
        yield case(f"flags {shown}, tokenizer.json", BACKEND, added=[("<a>", flags)])
        yield case(f"flags {shown}, added_tokens_decoder", BACKEND | {"added_tokens_decoder": {"400": token}})
        yield case(f"flags {shown}, added_tokens_decoder, an entry", BACKEND | {"added_tokens_decoder": {"398": token | {"content": "<|im_start|>"}}}, kind="qwen2")
        yield case(f"flags {shown}, additional_special_tokens", BACKEND | {"additional_special_tokens": [{"__type": "AddedToken"} | token]})


def maps():
    """special_tokens_map.json, added_tokens.json and tokenizer_config.json in the forms of different versions."""
    fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
    token = {"content": "<a>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
    for name, content in {
        "texts": {"eos_token": "<|endoftext|>", "additional_special_tokens": ["<a>", "<b>"]},
        "objects": {"eos_token": {"content": "<|endoftext|>"} | PLAIN, "additional_special_tokens": [token, token | {"content": "<b>"}]},
        "texts and objects": {"eos_token": "<|endoftext|>", "additional_special_tokens": ["<b>", token]},
        "an extra dict": {"eos_token": "<|endoftext|>", "extra_special_tokens": {"image_token": "<image>"}},
        "an extra list": {"eos_token": "<|endoftext|>", "extra_special_tokens": ["<image>", "<a>"]},
        "a role of its own": {"eos_token": "<|endoftext|>", "image_token": "<image>"},
        "null": {"eos_token": "<|endoftext|>", "pad_token": None, "additional_special_tokens": []},
    }.items():
        yield case(f"special_tokens_map.json, {name}", fast, files={"special_tokens_map.json": content})
        yield case(f"special_tokens_map.json, {name}, beside another eos", fast | {"eos_token": "<|im_end|>"}, files={"special_tokens_map.json": content})
        yield case(f"special_tokens_map.json, {name}, vocab.json", {"tokenizer_class": CODE}, model="gpt2", files={"special_tokens_map.json": content}, without=True)
        yield case(f"tokenizer_config.json, {name}", fast | content)
    for name, content in {"new": {"<a>": 400, "<b>": 401}, "in another order": {"<b>": 401, "<a>": 400}, "an entry": {"<|im_start|>": 398}, "a gap": {"<a>": 410}, "empty": {}}.items():
        yield case(f"added_tokens.json, {name}", BACKEND, files={"added_tokens.json": content})
        yield case(f"added_tokens.json, {name}, vocab.json", {"tokenizer_class": CODE}, model="gpt2", files={"added_tokens.json": content}, without=True)
    for name, decoder in {"a gap": {"405": {"content": "<a>"} | PLAIN}, "unordered": {"401": {"content": "<b>"} | PLAIN, "400": {"content": "<a>"} | PLAIN},
                          "one that contains another": {"400": {"content": "<a>"} | PLAIN, "401": {"content": "<a>b<a>"} | PLAIN},
                          "one of a space": {"400": {"content": " <a>"} | PLAIN}, "a word": {"400": {"content": "hello"} | PLAIN}}.items():
        yield case(f"added_tokens_decoder, {name}", BACKEND | {"added_tokens_decoder": decoder})
        yield case(f"added_tokens_decoder, {name}, vocab.json", {"tokenizer_class": CODE, "added_tokens_decoder": decoder}, model="gpt2", without=True)
    for name, setting in {"split_special_tokens": {"split_special_tokens": True}, "do_lower_case": {"do_lower_case": True}, "model_max_length": {"model_max_length": 3},
                          "add_bos_token": {"add_bos_token": True, "bos_token": "<|im_start|>"}, "add_eos_token": {"add_eos_token": True}, "bos, not added": {"bos_token": "<|im_start|>", "add_bos_token": False},
                          "truncation_side": {"truncation_side": "left"}, "padding_side": {"padding_side": "left"}, "trim_offsets": {"trim_offsets": False},
                          "clean_up_tokenization_spaces": {"clean_up_tokenization_spaces": True}, "legacy": {"legacy": False}, "errors": {"errors": "strict"},
                          "add_special_tokens false": {"add_special_tokens": False}, "sp_model_kwargs": {"sp_model_kwargs": {}}}.items():
        yield case(f"setting {name}", BACKEND | setting, added=[("<a>", {})])
        yield case(f"setting {name}, template with bos", BACKEND | setting, edit=template("<|im_start|>", "$A"))
        yield case(f"setting {name}, vocab.json", {"tokenizer_class": CODE} | setting, model="gpt2", without=True)
        yield case(f"setting {name}, Qwen2Tokenizer", {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|endoftext|>"} | setting, kind="qwen2", model="qwen2")


def with_steps(*steps):
    return lambda root: root.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [*steps]})


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def stages():
    behaviors = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
    for behavior in behaviors:
        for invert in (False, True):
            shown = f"{behavior}, inverted" if invert else behavior
            yield case(f"Split by a space, {shown}", BACKEND, edit=with_steps(split({"String": " "}, behavior, invert), BYTES))
            yield case(f"Split by digits, {shown}", BACKEND, edit=with_steps(split({"Regex": r"\p{N}"}, behavior, invert), BYTES))
            yield case(f"Split by Llama 3's, {shown}", BACKEND, edit=with_steps(split({"Regex": LLAMA3}, behavior, invert), BYTES | {"use_regex": False}))
        yield case(f"Punctuation, {behavior}", BACKEND, edit=with_steps({"type": "Punctuation", "behavior": behavior}, BYTES))
    for name, step in {
        "Digits in groups": {"type": "Digits", "individual_digits": False}, "Digits one by one": {"type": "Digits", "individual_digits": True},
        "CharDelimiterSplit": {"type": "CharDelimiterSplit", "delimiter": "o"}, "BertPreTokenizer": {"type": "BertPreTokenizer"}, "FixedLength": {"type": "FixedLength", "length": 5},
        "Metaspace": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}, "nested": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}]},
        "empty sequence": {"type": "Sequence", "pretokenizers": []}, "byte level before": BYTES | {"add_prefix_space": True},
    }.items():
        yield case(f"stage {name} before bytes", BACKEND, edit=with_steps(step, BYTES))
        yield case(f"stage {name} after bytes", BACKEND, edit=with_steps(BYTES, step))
    for options in itertools.product((False, True), repeat=3):
        flags = dict(zip(("add_prefix_space", "trim_offsets", "use_regex"), options))
        yield case(f"bytes with {[key for key, value in flags.items() if value]}", BACKEND, edit=lambda root, flags=flags: root.update(pre_tokenizer={"type": "ByteLevel"} | flags))
        yield case(f"bytes with {[key for key, value in flags.items() if value]}, after digits", BACKEND, edit=with_steps(split({"Regex": r"\p{N}"}, "Isolated"), {"type": "ByteLevel"} | flags), added=[("<a>", {"lstrip": True})])
    yield case("no pre-tokenizer", BACKEND, edit=lambda root: root.update(pre_tokenizer=None))


def normal_forms():
    for name, step in {
        "NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKC": normalizers.NFKC(), "NFKD": normalizers.NFKD(), "Lowercase": normalizers.Lowercase(), "Strip": normalizers.Strip(),
        "Strip left": normalizers.Strip(left=True, right=False), "StripAccents": normalizers.StripAccents(), "Nmt": normalizers.Nmt(), "Prepend": normalizers.Prepend("x"),
        "Replace": normalizers.Replace("l", "LL"), "Replace a space": normalizers.Replace(" ", "_"), "BertNormalizer": normalizers.BertNormalizer(),
        "NFD and StripAccents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "NFC twice": normalizers.Sequence([normalizers.NFC(), normalizers.NFC()]),
        "NFC and Lowercase": normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]),
    }.items():
        written = json.loads(step.__getstate__())
        yield case(f"normalizer {name}, with tokens", BACKEND, edit=lambda root, written=written: root.update(normalizer=written), added=[("<a>", {}), ("<b>", {"normalized": True, "special": False}), ("<été>", {"normalized": True, "special": False})])
    written = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    yield case("normalizer Replace by a pattern", BACKEND, edit=lambda root: root.update(normalizer=written))


def around():
    """What is put around a text."""
    yield case("template of two, before", BACKEND, edit=template("<|im_start|>", "<|im_end|>", "$A"))
    yield case("template of the same, twice", BACKEND, edit=template("<|im_start|>", "<|im_start|>", "$A", "<|im_end|>", "<|im_end|>"))
    yield case("template without specials", BACKEND, edit=template("$A"))
    yield case("template, text twice", BACKEND, edit=template("<|im_start|>", "$A", "$A"))

    def long_special(root):
        template("<|im_start|>", "$A")(root)
        root["post_processor"]["special_tokens"]["<|im_start|>"] |= {"ids": [398, 399, 5], "tokens": ["<|im_start|>", "<|im_end|>", root["model"]["vocab"] and "a"]}

    yield case("template, a special of three ids", BACKEND, edit=long_special)

    def with_processor(value):
        return lambda root: root.update(post_processor=value)

    for kind in ("RobertaProcessing", "BertProcessing"):
        extra = {"trim_offsets": True, "add_prefix_space": True} if kind == "RobertaProcessing" else {}
        yield case(kind, BACKEND, edit=with_processor({"type": kind, "sep": ["<|im_end|>", 399], "cls": ["<|im_start|>", 398]} | extra))
    yield case("post-processor bytes", BACKEND, edit=with_processor({"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": False}))

    def two(root):
        template("<|im_start|>", "$A")(root)
        first = root["post_processor"]
        template("$A", "<|im_end|>")(root)
        root["post_processor"] = {"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, first, root["post_processor"]]}

    yield case("post-processor of two templates", BACKEND, edit=two)
    yield case("truncation and padding in the file", BACKEND, edit=lambda root: root.update(
        truncation={"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 30}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"}))


def vocabularies():
    def edited(**changes):
        return lambda root: root["model"].update(changes)

    yield case("byte_fallback", BACKEND, edit=edited(byte_fallback=True))
    yield case("dropout 0.5", BACKEND, edit=edited(dropout=0.5))
    yield case("continuing_subword_prefix empty", BACKEND, edit=edited(continuing_subword_prefix="", end_of_word_suffix=""))
    yield case("end_of_word_suffix", BACKEND, edit=edited(end_of_word_suffix="</w>"))

    def without_bytes(root, unk=None, fuse=False):
        for entry in ("Ġ", "Ã", "o", "5"):
            root["model"]["merges"] = [pair for pair in root["model"]["merges"] if entry not in "".join(pair)]
        vocab = root["model"]["vocab"]
        kept = [entry for entry in vocab if not any(letter in entry for letter in ("Ġ", "Ã", "5")) and (len(entry) == 1 or "o" not in entry or entry.startswith("<"))]
        root["model"]["vocab"] = {entry: i for i, entry in enumerate(entry for entry in kept if entry != "o")}
        root["model"] |= {"unk_token": unk, "fuse_unk": fuse}

    for unk, fuse in ((None, False), ("<|endoftext|>", False), ("<|endoftext|>", True)):
        yield case(f"bytes that are no entries, unk {unk}, fused {fuse}", BACKEND, edit=lambda root, unk=unk, fuse=fuse: without_bytes(root, unk, fuse))

    def shuffled(root):
        vocab = root["model"]["vocab"]
        ids = sorted(vocab.values())
        root["model"]["vocab"] = {entry: ids[(i * 7) % len(ids)] for i, entry in enumerate(vocab)} if len(ids) % 7 else vocab

    yield case("ids in another order", BACKEND, edit=shuffled)
    yield case("a merge twice", BACKEND, edit=lambda root: root["model"]["merges"].append(root["model"]["merges"][0]))
    yield case("merges in another order", BACKEND, edit=lambda root: root["model"]["merges"].reverse())
    yield case("a merge without an entry", BACKEND, edit=lambda root: root["model"]["merges"].append(["Q", "Z"]))
    yield case("an entry without a merge", BACKEND, edit=lambda root: root["model"]["vocab"].update({"hello": 400}))
    yield case("an entry without a merge, ignore_merges", BACKEND, edit=lambda root: (root["model"]["vocab"].update({"hello": 400}), root["model"].update(ignore_merges=True)))
    yield case("gaps between ids", BACKEND, edit=lambda root: root["model"]["vocab"].update({"<|im_end|>": 450}))
    yield case("keys that nobody knows", BACKEND, edit=lambda root: root.update(some_key=1, version="9.9"))
    yield case("without keys that have defaults", BACKEND, edit=lambda root: [root.pop(key, None) for key in ("version", "truncation", "padding", "normalizer", "post_processor")] and root["model"].pop("dropout", None))
    for name, model in {
        "Unigram": lambda: models.Unigram([("<unk>", 0.0), ("h", -1.0), ("e", -2.0), ("l", -2.5), ("o", -3.0)], 0, False), "WordPiece": lambda: models.WordPiece({"[UNK]": 0, "hello": 1, "##o": 2}, unk_token="[UNK]"),
        "WordLevel": lambda: models.WordLevel({"[UNK]": 0, "hello": 1}, unk_token="[UNK]"),
    }.items():
        def edit(root, model=model):
            tokenizer = Tokenizer(model())
            tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
            root.clear()
            root.update(json.loads(tokenizer.to_str()))

        yield case(f"a {name} model", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "[UNK]" if "Word" in name else "<unk>"}, edit=edit)

    def sentence_piece(root):
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        specials = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]]
        tokenizer.train_from_iterator(TEXTS * 3, trainers.BpeTrainer(vocab_size=400, special_tokens=specials, show_progress=False))
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 1)])
        root.clear()
        root.update(json.loads(tokenizer.to_str()))

    for name in ("LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast"):
        yield case(f"Llama 2's kind, {name}", {"tokenizer_class": name, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}, edit=sentence_piece)


def old_files():
    """vocab.json and merges.txt."""
    forms = {
        "without a version line": lambda merges: "\n".join(merges), "CRLF": lambda merges: "#version: 0.2\r\n" + "\r\n".join(merges) + "\r\n",
        "blank lines at the end": lambda merges: "#version: 0.2\n" + "\n".join(merges) + "\n\n\n", "a blank line within": lambda merges: "#version: 0.2\n" + "\n".join(merges[:40]) + "\n\n" + "\n".join(merges[40:]),
        "another comment": lambda merges: "#version: 0.2 - Trained by huggingface\n" + "\n".join(merges) + "\n", "spaces at the ends of lines": lambda merges: "#version: 0.2\n" + " \n".join(merges) + "\n",
    }
    for name, form in forms.items():
        for cls, model in ((CODE, "gpt2"), ("Qwen2Tokenizer", "qwen2"), ("GPTNeoXTokenizer", "gpt_neox"), (None, "gpt2")):
            def make(folder, form=form, cls=cls, model=model):
                root = trained("gpt2")
                write_json(folder / "vocab.json", root["model"]["vocab"])
                (folder / "merges.txt").write_bytes(form([" ".join(pair) for pair in root["model"]["merges"]]).encode())
                write_json(folder / "config.json", {"model_type": model, "eos_token_id": 0})
                if cls:
                    write_json(folder / "tokenizer_config.json", {"tokenizer_class": cls})

            yield Case(f"tokenizer: merges.txt, {name}, {cls}, {model}", make, expected, {"kind": "tokenizer", "texts": TEXTS})
    for cls, model in (("RobertaTokenizer", "llama"), ("CodeGenTokenizer", "llama"), ("BartTokenizer", "llama"), ("LlamaTokenizer", "llama"), ("CohereTokenizer", "llama"), ("GPTNeoXTokenizer", "llama"),
                       ("BloomTokenizerFast", "llama"), ("WhisperTokenizer", "llama"), ("DebertaTokenizer", "llama"), ("Qwen3Tokenizer", "qwen3"), ("CodeLlamaTokenizer", "llama"), ("GemmaTokenizer", "llama")):
        for kind in ("gpt2", "llama3"):
            yield case(f"class {cls}, stages of {kind}", {"tokenizer_class": cls, "eos_token": "<|endoftext|>", "bos_token": "<|im_start|>", "unk_token": "<|endoftext|>"}, kind=kind, model=model)


def cases():
    for group in (flag_product, maps, stages, normal_forms, around, vocabularies, old_files):
        yield from group()
