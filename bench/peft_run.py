"""The script that `gradpool train` replaces, with transformers, PEFT and torch: the other side of src/table/rows/command.ts.

The default recipe: micro-batches of 2 rows of up to 128 tokens, 4 a step, LoRA r=8 with dropout on q_proj and v_proj, AdamW with a linear
schedule, gradients clipped to 1, one epoch. Prints a line after the first step.
"""

import argparse
import json
import os
import sys

# This folder comes first in Python's path, so peft.py beside this file would be mistaken for the package.
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != os.path.dirname(os.path.abspath(__file__))]

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, get_scheduler  # noqa: E402

ROWS, ACCUMULATION, LENGTH = 2, 4, 128
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of a Llama model")
    parser.add_argument("--dataset", required=True, help=".jsonl file with the column content")
    parser.add_argument("--output", required=True, help="folder for the adapter")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(arguments.model, "tokenizer.json"))
    with open(arguments.dataset) as file:
        texts = [json.loads(line)["content"] for line in file]
    rows = [ids[:LENGTH] for ids in tokenizer(texts)["input_ids"]]
    base = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=DTYPES[arguments.dtype])
    lora = LoraConfig(r=8, lora_alpha=32, lora_dropout=0.05, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(base, lora).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=5e-5, weight_decay=0.0)
    group = ROWS * ACCUMULATION
    steps = -(-len(rows) // group)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=steps)

    for step in range(steps):
        micro_batches = [rows[at : at + ROWS] for at in range(step * group, min((step + 1) * group, len(rows)), ROWS)]
        targets = sum(len(row) - 1 for micro_batch in micro_batches for row in micro_batch)
        for micro_batch in micro_batches:
            longest = max(map(len, micro_batch))
            ids = torch.tensor([row + [0] * (longest - len(row)) for row in micro_batch])
            mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in micro_batch])
            labels = ids.masked_fill(mask == 0, -100)
            loss = model(input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=targets, use_cache=False).loss
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step == 0:
            print(json.dumps({"event": "step", "step": 1}), flush=True)
    model.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
