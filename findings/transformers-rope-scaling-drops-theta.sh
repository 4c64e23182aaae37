#!/usr/bin/env bash
# transformers 5.24.0.
# Expected: if a config.json has both rope_parameters (the name since version 5) and rope_scaling (the old name), either the
# new name counts, or the two are merged.
# Seen: rope_scaling wins as a whole, and the rope_theta in rope_parameters is replaced by the class's default,
# silently: 5000 becomes 10000.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0
mkdir model
cat >model/config.json <<'JSON'
{"model_type": "llama", "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 32,
 "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
 "rope_scaling": {"rope_type": "linear", "factor": 4.0}}
JSON
venv/bin/python -c 'from transformers import AutoConfig
print(dict(sorted(AutoConfig.from_pretrained("model").rope_parameters.items())))' 2>/dev/null | tee seen
[ "$(cat seen)" = "{'factor': 4.0, 'rope_theta': 10000.0, 'rope_type': 'linear'}" ] || { echo "this has changed"; exit 1; }
