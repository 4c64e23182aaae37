"""Tokenizers: the same vocabulary under every way of naming tokens, flags, classes and templates."""
import copy
import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from .case import Case, write_json

TEXTS = [
    "hello world, it's 12345 <|im_start|>user\nhi<|im_end|> ",
    "a <a> b<a>c  <b> <b>x <image> hello<|endoftext|>hello <|endoftext|> x",
    "naïve cafe\u0301 Å ﬁ 한국어 🎉 \u2028\ufeffx",
    " leading, trailing \n\n  two  ",
    "word words <c>word<c> <pad><unk>",
    "",
    "éte\u0301 <ete\u0301> <été>",
]
PLAIN = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}
BACKEND = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, "use_regex": True} | options)


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert=invert)


STAGES = {
    "gpt2": lambda: (byte_level(), None),
    "prefix": lambda: (byte_level(add_prefix_space=True), None),
    "llama3": lambda: (pre_tokenizers.Sequence([split(LLAMA3), byte_level(use_regex=False)]), None),
    "qwen2": lambda: (pre_tokenizers.Sequence([split(QWEN2), byte_level(use_regex=False)]), normalizers.NFC()),
    "digits": lambda: (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()]), None),
    "neox": lambda: (byte_level(), normalizers.NFC()),
}
TRAINED: dict[str, dict] = {}


def trained(kind: str) -> dict:
    """tokenizer.json of 400 entries, <|endoftext|> first and <|im_start|>, <|im_end|> last, none of them listed as added."""
    if kind not in TRAINED:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, normalizer = STAGES[kind]()
        tokenizer.decoder = decoders.ByteLevel()
        if normalizer:
            tokenizer.normalizer = normalizer
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        trainer = trainers.BpeTrainer(vocab_size=398, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator([Path(__file__).read_text(), *TEXTS * 3], trainer)
        root = json.loads(tokenizer.to_str())
        root["added_tokens"] = []
        for token in ("<|im_start|>", "<|im_end|>"):
            root["model"]["vocab"][token] = len(root["model"]["vocab"])
        TRAINED[kind] = root
    return copy.deepcopy(TRAINED[kind])


def expected(path: Path) -> dict:
    tokenizer = AutoTokenizer.from_pretrained(path)
    return {"ids": [tokenizer(text)["input_ids"] for text in TEXTS]}


def case(name, config, kind="gpt2", model="llama", added=(), files=None, edit=None, without=False, stays=""):
    """`added`: (content, flags that differ from PLAIN) pairs listed in tokenizer.json; `without`: vocab.json and merges.txt instead."""

    def make(folder: Path):
        root = trained(kind)
        vocab = root["model"]["vocab"]
        for content, flags in added:
            root["added_tokens"].append({"id": vocab.get(content, len(vocab) + len(root["added_tokens"])), "content": content} | PLAIN | flags)
        if edit:
            edit(root)
        if without:
            write_json(folder / "vocab.json", vocab)
            merges = "\n".join(" ".join(pair) for pair in root["model"]["merges"])
            (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
        else:
            write_json(folder / "tokenizer.json", root)
        if config is not None:
            write_json(folder / "tokenizer_config.json", config)
        write_json(folder / "config.json", {"model_type": model, "eos_token_id": 0} | (files or {}).get("config.json", {}))
        for file, content in (files or {}).items():
            if file != "config.json":
                write_json(folder / file, content)

    return Case(f"tokenizer: {name}", make, expected, {"kind": "tokenizer", "texts": TEXTS}, stays)


def flag_cases():
    """A token under each combination of flags, in each file that may name it."""
    combinations = [
        {}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True},
        {"normalized": True, "special": False}, {"normalized": True}, {"special": False},
        {"normalized": True, "special": False, "single_word": True, "lstrip": True},
    ]
    for flags in combinations:
        shown = "+".join(f"{key}={value}" for key, value in flags.items()) or "plain"
        token = {"content": "<a>"} | PLAIN | flags
        yield case(f"tokenizer.json, {shown}", BACKEND, added=[("<a>", flags)])
        yield case(f"added_tokens_decoder, new, {shown}", BACKEND | {"added_tokens_decoder": {"400": token}})
        entry = token | {"content": "<|im_start|>"}
        yield case(f"added_tokens_decoder, entry, {shown}", BACKEND | {"added_tokens_decoder": {"398": entry}})
        yield case(f"flags differ between the files, {shown}", BACKEND | {"added_tokens_decoder": {"400": token}}, added=[("<a>", {"lstrip": True})])
        typed = {"__type": "AddedToken"} | token
        yield case(f"a role as an object, {shown}", BACKEND | {"pad_token": typed})
        yield case(f"extra_special_tokens of objects, {shown}", BACKEND | {"extra_special_tokens": [typed]})
        plain = {key: value for key, value in token.items() if key != "special"}
        yield case(f"special_tokens_map.json, {shown}", {"tokenizer_class": "PreTrainedTokenizerFast"}, files={"special_tokens_map.json": {"eos_token": "<|endoftext|>", "pad_token": plain}})
        yield case(f"unused, normalized by NFC, {shown}", BACKEND | {"added_tokens_decoder": {"400": token | {"content": "<été>"}}}, kind="qwen2")


def naming_cases():
    """Other places than tokenizer.json where tokens may be named."""
    im = ["<|im_start|>", "<|im_end|>"]
    yield case("nothing but tokenizer.json", None)
    yield case("additional_special_tokens", BACKEND | {"additional_special_tokens": im})
    yield case("additional_special_tokens, new", BACKEND | {"additional_special_tokens": [*im, "<a>", "<b>"]})
    yield case("extra_special_tokens, list", BACKEND | {"extra_special_tokens": [*im, "<b>"]})
    yield case("extra_special_tokens, dict", BACKEND | {"extra_special_tokens": {"image_token": "<image>", "start": im[0]}})
    yield case("both lists", BACKEND | {"additional_special_tokens": im, "extra_special_tokens": ["<a>"]})
    yield case("empty extra list beside additional", BACKEND | {"additional_special_tokens": im, "extra_special_tokens": []})
    yield case("a role of its own", BACKEND | {"image_token": "<image>"})
    yield case("eos of chat", BACKEND | {"eos_token": "<|im_end|>"})
    yield case("pad as new token and extras", BACKEND | {"pad_token": "<pad>", "extra_special_tokens": ["<a>"]})
    yield case("bos, new", BACKEND | {"bos_token": "<a>"})
    yield case("unk, sep, cls, mask, new", BACKEND | {"unk_token": "<unk>", "sep_token": "<a>", "cls_token": "<b>", "mask_token": "<c>"})
    yield case("special_tokens_map.json over the configuration", BACKEND, files={"special_tokens_map.json": {"eos_token": "<|im_end|>"}})
    yield case("special_tokens_map.json beside added_tokens_decoder", BACKEND | {"added_tokens_decoder": {}}, files={"special_tokens_map.json": {"pad_token": "<a>", "additional_special_tokens": im}})
    yield case("special_tokens_map.json, additional", BACKEND, files={"special_tokens_map.json": {"additional_special_tokens": im}})
    yield case("special_tokens_map.json, extra beside extra", BACKEND | {"extra_special_tokens": ["<a>"]}, files={"special_tokens_map.json": {"extra_special_tokens": ["<b>", *im]}})
    yield case("special_tokens_map.json with null", BACKEND, files={"special_tokens_map.json": {"pad_token": None, "bos_token": "<a>"}})
    yield case("added_tokens.json", BACKEND, files={"added_tokens.json": {"<a>": 400, "<b>": 401, "<|im_start|>": 398}})
    yield case("added_tokens.json out of order", BACKEND, files={"added_tokens.json": {"<b>": 401, "<a>": 400}})
    yield case("added_tokens.json of specials", BACKEND | {"additional_special_tokens": ["<a>"]}, files={"added_tokens.json": {"<a>": 400, "<b>": 401}})
    yield case("added_tokens.json beside added_tokens_decoder", BACKEND | {"added_tokens_decoder": {}}, files={"added_tokens.json": {"<a>": 400}})
    yield case("added_tokens.json with a gap", BACKEND, files={"added_tokens.json": {"<a>": 450}})
    yield case("added_tokens_decoder, two new", BACKEND | {"added_tokens_decoder": {"401": {"content": "<a>"} | PLAIN, "400": {"content": "<b>"} | PLAIN}})
    yield case("added_tokens_decoder with a gap", BACKEND | {"added_tokens_decoder": {"450": {"content": "<a>"} | PLAIN}})
    yield case("added_tokens_decoder, content alone", BACKEND | {"added_tokens_decoder": {"400": {"content": "<a>"}, "401": {"content": "<b>", "special": True}}})
    yield case("an added token without special that a role names", BACKEND | {"eos_token": "<|im_end|>"}, added=[("<|im_end|>", {"special": False, "normalized": True})])
    yield case("split_special_tokens", BACKEND | {"split_special_tokens": True}, added=[("<a>", {"special": False}), ("<|im_start|>", {})])
    for flag in ("add_bos_token", "add_eos_token", "add_prefix_space"):
        yield case(f"{flag} beside tokenizer.json", BACKEND | {flag: True, "bos_token": "<|im_start|>"})
    for other in ("clean_up_tokenization_spaces", "legacy", "use_fast", "trim_offsets"):
        yield case(f"{other}", BACKEND | {other: True})
    yield case("truncation and padding in tokenizer.json", BACKEND, edit=lambda root: root.update(
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"}))
    yield case("an id in tokenizer.json that is not its place", BACKEND, added=[("<a>", {})], edit=lambda root: root["added_tokens"][0].update(id=500),
               stays="refused: the file contradicts itself, and transformers moves the token silently")


def template(*parts, specials=("<|im_start|>", "<|im_end|>")):
    single = [{"Sequence": {"id": "A", "type_id": 0}} if part == "$A" else {"SpecialToken": {"id": part, "type_id": 0}} for part in parts]
    def edit(root):
        vocab = root["model"]["vocab"]
        root["post_processor"] = {"type": "TemplateProcessing", "single": single, "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
                                  "special_tokens": {token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in specials}}
    return edit


def structure_cases():
    """What tokenizer.json itself may contain."""
    for kind in STAGES:
        yield case(f"stages of {kind}", BACKEND, kind=kind)
        yield case(f"stages of {kind}, ignore_merges", BACKEND, kind=kind, edit=lambda root: root["model"].update(ignore_merges=True))
        yield case(f"stages of {kind}, merges as texts", BACKEND, kind=kind, edit=lambda root: root["model"].update(merges=[" ".join(pair) for pair in root["model"]["merges"]]))
    yield case("template with bos", BACKEND, edit=template("<|im_start|>", "$A"))
    yield case("template with bos and eos", BACKEND, edit=template("<|im_start|>", "$A", "<|im_end|>"))
    yield case("template with bos, class GPTNeoXTokenizer", {"tokenizer_class": "GPTNeoXTokenizer"}, kind="neox", model="gpt_neox", edit=template("<|im_start|>", "$A"))
    for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        def edit(root, behavior=behavior):
            first = {"type": "Split", "pattern": {"Regex": r"[^\S\n]*\n"}, "behavior": behavior, "invert": False}
            root["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [first, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}
        yield case(f"Split with {behavior}", BACKEND, edit=edit)
    for step in ({"type": "Punctuation", "behavior": "Isolated"}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "UnicodeScripts"}):
        def edit(root, step=step):
            root["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [step, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}
        yield case(f"pre-tokenizer {step['type']}", BACKEND, edit=edit)
    for kind in ("NFKC", "NFD", "Lowercase", "Strip"):
        def edit(root, kind=kind):
            root["normalizer"] = {"type": kind} | ({"strip_left": True, "strip_right": True} if kind == "Strip" else {})
        yield case(f"normalizer {kind}", BACKEND, edit=edit)
    yield case("normalizer, an empty sequence", BACKEND, edit=lambda root: root.update(normalizer={"type": "Sequence", "normalizers": []}))
    yield case("normalizer Prepend and Replace", BACKEND, edit=lambda root: root.update(normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]}))
    yield case("dropout 0", BACKEND, edit=lambda root: root["model"].update(dropout=0.0))
    yield case("unk_token", BACKEND | {"unk_token": "<|endoftext|>"}, edit=lambda root: root["model"].update(unk_token="<|endoftext|>"))


def class_cases():
    """Every class that a byte-level tokenizer may have, on every architecture."""
    for model, kind in (("llama", "llama3"), ("mistral", "llama3"), ("gpt2", "gpt2"), ("gpt_neox", "neox"), ("qwen2", "qwen2"), ("qwen3", "qwen2")):
        yield case(f"{model} without a class", None, kind=kind, model=model)
        for name in ("PreTrainedTokenizerFast", "TokenizersBackend", "LlamaTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast", "GPTNeoXTokenizerFast", "SomeTokenizer"):
            yield case(f"{model}, class {name}", {"tokenizer_class": name}, kind=kind, model=model)
        yield case(f"{model}, class in config.json", None, kind=kind, model=model, files={"config.json": {"tokenizer_class": "GPT2Tokenizer"}})
    for model, kind, name in (("gpt2", "gpt2", "GPT2Tokenizer"), ("gpt_neox", "neox", "GPTNeoXTokenizer"), ("qwen2", "qwen2", "Qwen2Tokenizer")):
        for flag in ({}, {"add_prefix_space": True}, {"add_bos_token": True}, {"add_eos_token": True}, {"eos_token": "<|im_end|>"}, {"bos_token": "<|im_start|>", "add_bos_token": True}):
            shown = ", ".join(f"{key}={value}" for key, value in flag.items()) or "as it is"
            yield case(f"{name}, {shown}", {"tokenizer_class": name} | flag, kind=kind, model=model)
            yield case(f"{name} from vocab.json and merges.txt, {shown}", {"tokenizer_class": name} | flag, kind=kind, model=model, without=True)
        yield case(f"{name}, a file with add_prefix_space", {"tokenizer_class": name}, kind="prefix", model=model)
        yield case(f"{name}, stages of llama3", {"tokenizer_class": name}, kind="llama3", model=model)
        yield case(f"{name}, stages of digits", {"tokenizer_class": name}, kind="digits", model=model)
        yield case(f"{name}, eos with flags", {"tokenizer_class": name, "eos_token": "<|im_end|>", "added_tokens_decoder": {"399": {"content": "<|im_end|>"} | PLAIN | {"lstrip": True}}}, kind=kind, model=model)
        yield case(f"{name}, added_tokens_decoder without a token of the file", {"tokenizer_class": name, "added_tokens_decoder": {}}, kind=kind, model=model, added=[("<|im_start|>", {})])
        yield case(f"{name}, added_tokens.json without tokenizer.json", {"tokenizer_class": name}, kind=kind, model=model, files={"added_tokens.json": {"<a>": 400}}, without=True)


def cases():
    yield from naming_cases()
    yield from flag_cases()
    yield from structure_cases()
    yield from class_cases()
