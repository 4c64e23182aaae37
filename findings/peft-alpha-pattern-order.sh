#!/usr/bin/env bash
# peft 0.21.2 (torch 2.15.0, transformers 5.24.0).
# Expected: an adapter that save_pretrained writes has the same scaling after from_pretrained.
# Seen: rank_pattern and alpha_pattern mean "the first pattern that matches", in the order of the dict, but saving sorts the
# keys. If two patterns match one module, the reloaded adapter follows the other one: here a scaling of 4 becomes 32,
# silently. (With rank_pattern the tensors' shapes differ, too, and loading fails.)
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.15.0 transformers==5.24.0 peft==0.21.2
cat >reload.py <<'PY'
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
lora = LoraConfig(r=2, target_modules=["q_proj"], alpha_pattern={"self_attn.q_proj": 8, "q_proj": 64})

def scaling(model):
    return model.base_model.model.model.layers[0].self_attn.q_proj.scaling["default"]

adapted = get_peft_model(LlamaForCausalLM(config), lora)
adapted.save_pretrained("adapter")
print("before", scaling(adapted), "after", scaling(PeftModel.from_pretrained(LlamaForCausalLM(config), "adapter")))
PY
venv/bin/python reload.py 2>/dev/null | tee seen
[ "$(cat seen)" = "before 4.0 after 32.0" ] || { echo "this has changed"; exit 1; }
