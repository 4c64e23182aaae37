#!/usr/bin/env bash
# fzstd 0.1.1 (npm), zstandard 0.25.0 (PyPI, the reference implementation).
# Expected: a decoder without a dictionary refuses a frame that was made with one of raw content, as the reference does, since its
# matches point before the frame's beginning.
# Seen: fzstd makes up the missing bytes and returns the right length, but not the text.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check zstandard==0.25.0
npm install --silent --no-audit --no-fund fzstd@0.1.1
venv/bin/python - <<'PY'
import zstandard
rows = [f'{{"content": "row {i} says that {i * i} is the square of {i}"}}'.encode() for i in range(2000)]
dictionary = zstandard.ZstdCompressionDict(b"\n".join(rows[:100]), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
text = rows[1234]
open("text", "wb").write(text)
open("text.zst", "wb").write(zstandard.ZstdCompressor(dict_data=dictionary).compress(text))
try:
    zstandard.ZstdDecompressor().decompress(open("text.zst", "rb").read())
except zstandard.ZstdError as error:
    print("reference:", error)
PY
cat >decode.mjs <<'JS'
import { readFileSync } from "node:fs";
import { decompress } from "fzstd";
const text = readFileSync("text");
const decoded = decompress(readFileSync("text.zst"));
console.log(`fzstd: ${decoded.length === text.length ? "same length" : "other length"}, ${text.equals(decoded) ? "same" : "other"} bytes`);
JS
node decode.mjs | tee seen
grep -q "other bytes" seen || { echo "this has changed"; exit 1; }
