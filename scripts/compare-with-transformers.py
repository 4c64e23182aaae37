"""Creates tokenizers, models, weight files, GGUF files and data with the real libraries, and prints where gradpool reads them differently.

Usage: python scripts/compare-with-transformers.py [--only PATTERN] [--keep FOLDER] [--verbose] [--table FILE]

Needs torch, transformers, tokenizers, safetensors, gguf, datasets, pyarrow, pandas, polars and duckdb, and a built checkout
(npx tsc -b). --only selects the cases whose name matches PATTERN, --keep keeps the files in FOLDER, --table writes
docs/compatibility.md's table into FILE. The exit status is 1 if gradpool differs silently: with other ids, rows or another loss,
without a line that says so and without a reason that is given here.
"""
import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parent))
warnings.filterwarnings("ignore")

import transformers  # noqa: E402

from compare import all_cases  # noqa: E402

OTHER_SIDE = Path(__file__).parent / "compare" / "gradpool-side.mjs"
# Tolerance for two losses in float32 from different kernels.
TOLERANCE = 2e-5


def theirs(case, path):
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            return case.expect(path)
        except Exception as error:  # what the library refuses, gradpool may refuse
            return {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def is_same(a, b, tolerance):
    if "loss" in a:
        return "loss" in b and abs(a["loss"] - b["loss"]) <= tolerance * abs(a["loss"])
    return all(b.get(key) == value for key, value in a.items())


def verdict(case, expected, got):
    if "error" in expected:
        return "both refuse" if "error" in got else "only gradpool reads it"
    if "error" in got:
        return "refused"
    if is_same(expected, got, case.ask.get("tolerance", TOLERANCE)):
        return "same"
    if case.stays:
        return "differs, as documented"
    return "differs, with a line" if got.get("notes") else "DIFFERS SILENTLY"


def shown(a, b):
    """Both answers; of lists of ids and rows, the first that differ."""
    if "ids" in a and "ids" in b:
        at = next((i for i, (x, y) in enumerate(zip(a["ids"], b["ids"])) if x != y), 0)
        return f"text {at}: {a['ids'][at]}", f"text {at}: {b['ids'][at]}"
    if "rows" in a and "rows" in b:
        at = next((i for i, (x, y) in enumerate(zip(a["rows"], b["rows"])) if x != y), min(len(a["rows"]), len(b["rows"])))
        return [f"{len(value['rows'])} rows, {at}: {json.dumps(value['rows'][at : at + 1])[:300]}" for value in (a, b)]
    texts = [json.dumps({key: part for key, part in value.items() if key != "notes"}, ensure_ascii=False) for value in (a, b)]
    return [text if len(text) < 400 else text[:400] + "…" for text in texts]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--keep")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--table")
    options = parser.parse_args()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    sys.stdout.reconfigure(errors="backslashreplace")
    root = Path(options.keep or tempfile.mkdtemp(prefix="compare-"))
    questions, expected, cases = [], [], []
    for case in all_cases():
        if not re.search(options.only, case.name):
            continue
        folder = root / re.sub(r"[^\w.]+", "-", case.name)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        path = case.make(folder) or folder
        cases.append(case)
        expected.append(theirs(case, path))
        questions.append(json.dumps({"path": str(path)} | case.ask))
    answered = subprocess.run(["node", OTHER_SIDE], input="\n".join(questions), stdout=subprocess.PIPE, text=True, check=True)
    answers = [json.loads(line) for line in answered.stdout.split("\n") if line]
    results = [(case, verdict(case, a, b), a, b) for case, a, b in zip(cases, expected, answers, strict=True)]
    report(results, options.verbose)
    if options.table:
        write_table(results, Path(options.table))
    if not options.keep:
        shutil.rmtree(root)
    return int(any(result == "DIFFERS SILENTLY" for _, result, _, _ in results))


def report(results, verbose):
    counts = {}
    for case, result, a, b in results:
        counts[result] = counts.get(result, 0) + 1
        if result in ("same", "both refuse") and not verbose:
            continue
        print(f"{result}: {case.name}")
        if case.stays:
            print(f"    {case.stays}")
        if result in ("DIFFERS SILENTLY", "differs, as documented", "differs, with a line", "only gradpool reads it") or verbose:
            print("    library   {}\n    gradpool  {}".format(*shown(a, b)))
        for line in [b["error"]] if "error" in b else b.get("notes", []):
            print(f"    {line}")
    print(f"{len(results)} cases: " + ", ".join(f"{count} {result}" for result, count in sorted(counts.items())))


def write_table(results, file):
    """Counts by kind, and the deviations with gradpool's own words for them."""
    kinds = {}
    for case, result, _, _ in results:
        row = kinds.setdefault(case.name.split(":")[0], {})
        row[result] = row.get(result, 0) + 1
    columns = ["same", "both refuse", "differs, with a line", "differs, as documented", "refused", "only gradpool reads it", "DIFFERS SILENTLY"]
    lines = [f"| | {' | '.join(column.lower() for column in columns)} |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {kind} | {' | '.join(str(row.get(column, 0)) for column in columns)} |" for kind, row in kinds.items()]
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
