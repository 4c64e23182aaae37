"""What a comparison consists of: files made by the real libraries, what these make of them, and what gradpool makes."""
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Case:
    """One folder or file, read by both sides."""

    name: str
    # Writes the files into an empty folder and gives the path to read, the folder itself where it gives none.
    make: Callable[[Path], Path | None]
    # What the real library makes of that path: {"ids": [[...], ...]}, {"loss": x} or {"rows": [...]}; raises what it raises.
    expect: Callable[[Path], dict[str, Any]]
    # What the other side is asked: {"texts": [...]}, {"batch": [[...], ...]}, {"dataset": ...}.
    ask: dict[str, Any] = field(default_factory=dict)
    # Why a difference or a refusal is meant to stay, for docs/compatibility.md.
    stays: str = ""


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
