#!/usr/bin/env bash
# transformers 5.24.0's Trainer (torch 2.15.0).
# Expected: the loss that Trainer reports for a step is the model's own loss on that batch, whatever the architecture.
# Seen: Trainer divides by the labels without each row's first, which is never predicted, only if the class's name ends in
# "ForCausalLM". GPT2LMHeadModel's does not, so its loss is divided by one more label per row: 7/8 of it for rows of 8 tokens.
# Gradients shrink with it. It logs that `loss_type=None` is unrecognized, not that the loss changes.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.15.0 transformers==5.24.0 accelerate==1.15.0
cat >losses.py <<'PY'
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

row = list(range(8))
batch = {"input_ids": row, "labels": row}
gpt2 = GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)
llama = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
for model in GPT2LMHeadModel(gpt2), LlamaForCausalLM(llama):
    own = model(**{name: torch.tensor([value]) for name, value in batch.items()}).loss.item()
    arguments = TrainingArguments("out", max_steps=1, logging_steps=1, report_to=[], use_cpu=True, save_strategy="no",
                                  per_device_train_batch_size=2, disable_tqdm=True)
    trainer = Trainer(model=model, args=arguments, train_dataset=[batch, batch])
    trainer.train()
    reported = trainer.state.log_history[0]["loss"]
    print(type(model).__name__, "Trainer's loss over the model's:", round(reported / own, 3))
PY
venv/bin/python losses.py 2>/dev/null | grep over | tee seen
diff - seen <<'TXT' || { echo "this has changed"; exit 1; }
GPT2LMHeadModel Trainer's loss over the model's: 0.875
LlamaForCausalLM Trainer's loss over the model's: 1.0
TXT
