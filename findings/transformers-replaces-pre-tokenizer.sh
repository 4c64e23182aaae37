#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3.
# Expected: AutoTokenizer gives the ids that the tokenizers library gives for the same tokenizer.json.
# Seen: when tokenizer_config.json names GPT2Tokenizer or GPTNeoXTokenizer, version 5 puts that class's own pre-tokenizer in
# place of the file's (Qwen2Tokenizer's, too, which happens to split digits). A tokenizer.json that splits digits one by one then
# yields whole numbers; under PreTrainedTokenizerFast it is followed. Models trained with the file see other ids.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 tokenizers==0.23.3
cat >compare.py <<'PY'
import json
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = byte_level
trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=byte_level.alphabet(), special_tokens=["<|endoftext|>"])
tokenizer.train_from_iterator(["in 2024 it was 2024"] * 9, trainer)
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\d"), "isolated"), byte_level])
tokenizer.save("tokenizer.json")
print("file:", *tokenizer.encode("in 2024").tokens)
for name in ["PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer"]:
    with open("tokenizer_config.json", "w") as file:
        json.dump({"tokenizer_class": name, "eos_token": "<|endoftext|>"}, file)
    print(f"{name}:", *AutoTokenizer.from_pretrained(".").tokenize("in 2024"))
PY
venv/bin/python compare.py 2>/dev/null | grep : | tee seen
cat >expected <<'TXT'
file: in Ġ 2 0 2 4
PreTrainedTokenizerFast: in Ġ 2 0 2 4
GPT2Tokenizer: in Ġ2024
Qwen2Tokenizer: in Ġ 2 0 2 4
GPTNeoXTokenizer: in Ġ2024
TXT
diff expected seen || { echo "this has changed"; exit 1; }
