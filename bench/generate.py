"""The peer's side of the bench: what generation.ts does with transformers' generate and its cache.

Greedy decoding of one text, float32. Prints one JSON line.
"""

import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of a model")
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    prompt = torch.tensor([[i * 7919 % model.config.vocab_size for i in range(arguments.prompt_tokens)]])
    options = dict(do_sample=False, use_cache=True, eos_token_id=None, pad_token_id=0)

    def generate(new_tokens: int) -> tuple[list[int], float]:
        begin = time.perf_counter()
        with torch.no_grad():
            ids = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=new_tokens, **options)
        return ids[0, prompt.shape[1] :].tolist(), time.perf_counter() - begin

    generate(4)
    tokens, seconds = generate(arguments.new_tokens)
    print(json.dumps({"tokens": tokens, "tokens_per_second": len(tokens) / seconds}))


if __name__ == "__main__":
    main()
