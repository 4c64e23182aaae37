#!/usr/bin/env bash
# hyparquet 1.31.5 (npm) compared with pyarrow 26.0.1, on lists of two levels: what Avro's parquet writer makes by default, and what
# parquet-format's rules for old files say how to read (the repeated group called "array" is the element, not a wrapper).
# Expected: the lists that pyarrow reads, and texts as they were written.
# Seen: a group of several fields becomes an object with a key "array"; a group of one field loses its group; and a text that begins
# with a byte order mark (U+FEFF) loses it, also in ordinary columns. Nothing is reported.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyarrow==26.0.1
npm install --silent --no-audit --no-fund hyparquet@1.31.5 hyparquet-writer@0.17.0
venv/bin/python - <<'PY'
import pyarrow as pa
import pyarrow.parquet as pq

field = lambda name: pa.field(name, pa.string(), nullable=False)
list_of = lambda name, *fields: pa.field(name, pa.list_(pa.field("element", pa.struct(fields), nullable=False)))
schema = pa.schema([pa.field("text", pa.string()), list_of("pairs", field("a"), field("b")), list_of("singles", field("a"))])
rows = [{"text": "\ufeffx", "pairs": [{"a": "1", "b": "2"}], "singles": [{"a": "3"}]}]
pq.write_table(pa.Table.from_pylist(rows, schema=schema), "three.parquet")
PY
# The pages are the same for both; only the footer's schema tells two levels from three.
cat >two-levels.mjs <<'JS'
import { readFileSync, writeFileSync } from "node:fs";
import { parquetMetadata } from "hyparquet";
import { ByteWriter } from "hyparquet-writer/src/bytewriter.js";
import { writeMetadata } from "hyparquet-writer/src/metadata.js";

const bytes = readFileSync("three.parquet");
const { metadata_length, key_value_metadata, schema, ...metadata } = parquetMetadata(new Uint8Array(bytes).buffer);
const merged = schema.flatMap((element, index) => {
  if (element.name === "element") return [];
  return [element.name === "list" ? { ...element, name: "array", num_children: schema[index + 1].num_children } : element];
});
for (const { meta_data } of metadata.row_groups.flatMap(({ columns }) => columns)) {
  meta_data.path_in_schema = meta_data.path_in_schema.flatMap((name) => (name === "element" ? [] : name === "list" ? "array" : name));
}
const writer = new ByteWriter();
writer.appendBytes(bytes.subarray(0, bytes.length - 8 - metadata_length));
writeMetadata(writer, { ...metadata, schema: merged });
writer.appendBytes(Buffer.from("PAR1"));
writeFileSync("two.parquet", Buffer.from(writer.getBuffer()));
JS
node two-levels.mjs
{
  venv/bin/python -c 'import json, pyarrow.parquet as pq; print("pyarrow:", *map(json.dumps, pq.read_table("two.parquet").to_pylist()))'
  node --input-type=module -e '
    import { readFileSync } from "node:fs";
    import { parquetReadObjects } from "hyparquet";
    const rows = await parquetReadObjects({ file: new Uint8Array(readFileSync("two.parquet")).buffer });
    console.log("hyparquet:", ...rows.map((row) => JSON.stringify(row)));'
} | tee seen
diff - seen <<'TXT' || { echo "this has changed"; exit 1; }
pyarrow: {"text": "\ufeffx", "pairs": [{"a": "1", "b": "2"}], "singles": [{"a": "3"}]}
hyparquet: {"text":"x","pairs":{"array":[{"a":"1","b":"2"}]},"singles":["3"]}
TXT
