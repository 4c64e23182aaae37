"""A comparison: files made by the real libraries, and what these and gradpool read from them."""
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Case:
    """One folder or file, read by both sides."""

    name: str
    # Writes the files into an empty folder and returns the path to read; None: the folder itself.
    make: Callable[[Path], Path | None]
    # The real library's result for that path: {"ids": [[...], ...]}, {"loss": x} or {"rows": [...]}; raises what it raises.
    expect: Callable[[Path], dict[str, Any]]
    # The request to the other side: {"texts": [...]}, {"batch": [[...], ...]}, {"dataset": ...}.
    ask: dict[str, Any] = field(default_factory=dict)
    # Why a difference or a refusal is intended, for docs/compatibility.md.
    stays: str = ""


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
