"""The other side of training-step.ts, with transformers, PEFT and torch.

The same micro-batch of 8 x 128 tokens on the same model: forward, backward and AdamW, LoRA r=8 on
c_attn and c_proj. Prints one JSON line.
"""

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import resource  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402

# This folder comes first in Python's path, so this file would be mistaken for the package `peft`.
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != os.path.dirname(os.path.abspath(__file__))]

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel  # noqa: E402

ROWS, POSITIONS = 8, 128
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="folder of a GPT-2 or Llama model")
    parser.add_argument("--steps", type=int, default=8, help="steps; the first ones warm up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, or a CUDA device such as cuda:0")
    parser.add_argument("--dropout", type=float, default=0.0, help="probability of LoRA's dropout")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="type of the base's weights")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--make-model", metavar="DIR", help="write a GPT-2 small with random weights there, and stop")
    arguments = parser.parse_args()
    if not arguments.model and not arguments.make_model:
        parser.error("give --model DIR, or --make-model DIR to make one first")
    if arguments.steps < 2:
        parser.error("--steps must be at least 2: the first one warms up")
    return arguments


def make_model(directory: str) -> None:
    """GPT-2 small shapes with a vocabulary of 32,768, without its own dropout."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=32_768, bos_token_id=0, eos_token_id=0, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0
    )
    GPT2LMHeadModel(config).save_pretrained(directory)


def token_ids(vocab_size: int) -> torch.Tensor:
    """The ids [ROWS, POSITIONS + 1] that training-step.ts uses."""
    numbers = torch.arange(1, ROWS * (POSITIONS + 1) + 1, dtype=torch.int64)
    return ((numbers * 2_654_435_761 & 0xFFFF_FFFF) >> 17).remainder(vocab_size).view(ROWS, POSITIONS + 1)


def bench(arguments: argparse.Namespace) -> dict[str, float]:
    base = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=DTYPES[arguments.dtype]).to(arguments.device)
    is_gpt2 = base.config.model_type == "gpt2"
    lora = LoraConfig(
        r=8,
        lora_alpha=32,
        lora_dropout=arguments.dropout,
        target_modules=["c_attn", "c_proj"] if is_gpt2 else ["q_proj", "k_proj", "v_proj", "o_proj"],
        fan_in_fan_out=is_gpt2,
        task_type="CAUSAL_LM",
    )
    if arguments.gradient_checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    model = get_peft_model(base, lora).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=5e-5, weight_decay=0.0)
    load_seconds = time.perf_counter() - STARTED

    ids = token_ids(base.config.vocab_size).to(arguments.device)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    seconds, losses = [], []
    for _ in range(arguments.steps):
        begin = time.perf_counter()
        # shift_labels: the targets are already shifted, so all 8 x 128 positions count.
        loss = model(input_ids=inputs, labels=inputs, shift_labels=targets, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # A GPU has finished once its result is available.
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
    warm_up = 2 if arguments.steps > 3 else 1
    return {
        "tokens_per_second": ROWS * POSITIONS / statistics.median(seconds[warm_up:]),
        "load_seconds": load_seconds,
        "first_step_seconds": seconds[0],
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "peak_device_bytes": torch.cuda.max_memory_reserved() if arguments.device != "cpu" else 0,
        "loss_first": losses[0],
    }


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.make_model:
        make_model(arguments.make_model)
        return
    print(json.dumps(bench(arguments)))


if __name__ == "__main__":
    main()
