"""The cases, one module per kind. To add a kind: a module with `cases()`, and a line here."""
from . import data_cases, gguf_cases, gguf_file_cases, hub_cases, model_cases, tokenizer_cases, tokenizer_file_cases, weight_cases


def all_cases():
    for module in (tokenizer_cases, tokenizer_file_cases, model_cases, weight_cases, gguf_cases, gguf_file_cases, data_cases, hub_cases):
        yield from module.cases()
