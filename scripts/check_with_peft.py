"""Loads a gradpool result with Hugging Face's own libraries and prints its loss, to be compared with `gradpool eval`.

Usage: python scripts/check_with_peft.py MODEL_DIR ADAPTER_DIR DATA.jsonl [MAX_LENGTH]     (needs torch, transformers, peft)

Rows are encoded, ended with the end-of-sequence token and cut to MAX_LENGTH, as gradpool does; the loss is the mean negative log
likelihood over all target tokens.
"""
import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model_dir, adapter_dir, data_file = sys.argv[1:4]
max_length = int(sys.argv[4]) if len(sys.argv) > 4 else 128

tokenizer = AutoTokenizer.from_pretrained(adapter_dir)
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
rows_before = model.get_input_embeddings().weight.shape[0]
if len(tokenizer) > rows_before:
    # The model card says so: the added pad token's row is the mean of the others.
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for weight in {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}.values():
            weight[rows_before:] = weight[:rows_before].double().mean(0).float()
model = PeftModel.from_pretrained(model, adapter_dir).eval()

total, count = 0.0, 0
with torch.no_grad(), open(data_file) as file:
    for line in file:
        ids = (tokenizer(json.loads(line)["content"]).input_ids + [tokenizer.eos_token_id])[:max_length]
        if len(ids) < 2:
            continue
        x = torch.tensor([ids])
        logits = model(input_ids=x).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, x[0, 1:], reduction="sum").item()
        count += len(ids) - 1
print(json.dumps({"loss": total / count, "tokens": count}))
