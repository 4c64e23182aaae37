"""The cases, one module a kind. To add a kind: a module with `cases()`, and a line here."""
from . import tokenizer_cases


def all_cases():
    yield from tokenizer_cases.cases()
