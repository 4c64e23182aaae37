"""The other side of the benchmark: generation.ts with transformers' generate and its cache.

Greedy decoding of one text, float32. Prints one JSON line: the tokens, and the median and the minimum time of a token
after the first, in milliseconds.
"""

import argparse
import json
import statistics
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer


class Clock(BaseStreamer):
    """Records when the prompt and each token arrive."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


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

    def generate(new_tokens: int) -> tuple[list[int], list[float]]:
        clock = Clock()
        mask = torch.ones_like(prompt)
        with torch.no_grad():
            ids = model.generate(prompt, attention_mask=mask, max_new_tokens=new_tokens, streamer=clock, **options)
        return ids[0, prompt.shape[1] :].tolist(), clock.times

    generate(4)
    tokens, times = generate(arguments.new_tokens)
    taken = [(after - before) * 1000 for before, after in zip(times[1:], times[2:])]
    print(json.dumps({"tokens": tokens, "median_ms": statistics.median(taken), "least_ms": min(taken)}))


if __name__ == "__main__":
    main()
