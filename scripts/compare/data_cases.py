"""Data files: JSON, CSV, text and parquet as the real libraries write them, compressed in every way, read row by row.

What is right is what datasets gives for the file.
"""
import csv
import gzip
import io
import json
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

import datasets
import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.parquet

from .case import Case

datasets.disable_progress_bars()
datasets.logging.set_verbosity(datasets.logging.CRITICAL)

# Whatever a text may hold, and a format may trip over.
TEXTS = [
    "plain",
    "two words, a comma",
    'a "quoted" word',
    "it's",
    "line\nbreak",
    "carriage\r\nreturn",
    " blanks around ",
    "tab\there",
    "é 🚀 한국어 \u2028 \u00a0",
    "\ufeffbyte order mark",
    "back\\slash \\n",
    "ends in a quote\"",
    "",
    "e\u0301",
    "x" * 300,
    "last",
]
ONE_LINE = [text for text in TEXTS if not set("\r\n") & set(text)]
CHATS = [
    [{"role": "user", "content": text}, {"role": "assistant", "content": "answer to " + text}] for text in TEXTS
]
BLANK = "a blank line of a .txt file is not a row: there is nothing in it to train on"
MARK = "a byte order mark at the beginning of a file is not text"
BINARY = "a binary column is read as UTF-8 text"
AS_TEXT = "a field of CSV or TSV is the text that stands there; pandas, which datasets asks, makes None of NA, null, nan and nothing, and numbers of digits"
SUFFIXES = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".txt": "text", ".parquet": "parquet"}


def rows(texts=TEXTS):
    return [{"id": i, "text": text} for i, text in enumerate(texts)]


def read(path, column="text", pandas_types=False, **options):
    """The column as datasets reads the file; of CSV, texts stay texts unless pandas decides."""
    suffix = next(part for part in path.suffixes if part in SUFFIXES)
    builder = SUFFIXES[suffix]
    if suffix == ".tsv":
        options["sep"] = "\t"
    if builder == "csv" and not pandas_types:
        options |= {"keep_default_na": False}
    with tempfile.TemporaryDirectory() as cache:
        table = datasets.load_dataset(builder, data_files=str(path), split="train", cache_dir=cache, **options)
        return {"rows": [repr(value) if isinstance(value, bytes) else value for value in table[column]]}


def case(kind, name, file, make, column="text", columns=None, stays="", written=None, **options):
    """`make`: the file's bytes or text, or a function that writes it. `written`: its rows, where datasets cannot read it."""

    def write(folder):
        path = folder / file
        if callable(make):
            make(path)
        else:
            path.write_bytes(make if isinstance(make, bytes) else make.encode())
        return path

    ask = {"kind": "data", "columns": columns or {"kind": "text", "text": column}}
    expect = (lambda path: read(path, column, **options)) if written is None else (lambda _: {"rows": written})
    return Case(f"{kind}: {name}", write, expect, ask, stays)


def lines(made, end="\n", **options):
    return "".join(json.dumps(row, **options) + end for row in made)


def json_cases():
    plain = lines(rows())
    yield case("jsonl", "json.dumps", "d.jsonl", plain)
    yield case("jsonl", "json.dumps, ensure_ascii=False", "d.jsonl", lines(rows(), ensure_ascii=False))
    yield case("jsonl", "lines end in CRLF", "d.jsonl", lines(rows(), "\r\n"))
    yield case("jsonl", "no line end after the last", "d.jsonl", plain.rstrip("\n"))
    yield case("jsonl", "blank lines", "d.jsonl", lines(rows(), "\n\n"))
    yield case("jsonl", "byte order mark", "d.jsonl", "\ufeff" + plain)
    yield case("jsonl", "NaN and Infinity", "d.jsonl", lines([row | {"x": x} for row, x in zip(rows(), [1.5, float("nan"), float("inf"), -float("inf")])]))
    yield case("jsonl", "duplicate keys", "d.jsonl", '{"text": "one", "text": "two"}\n' * 2)
    yield case("jsonl", "numbers beyond 2**53", "d.jsonl", lines([row | {"n": 2**60 + i} for i, row in enumerate(rows())]))
    yield case("jsonl", "columns of many types", "d.jsonl", lines([row | {"a": [1, 2], "b": {"c": None}, "d": True} for row in rows()]))
    yield case("jsonl", "a column that comes later", "d.jsonl", lines([{"text": "a"}, {"text": "b", "more": 1}]))
    yield case("jsonl", "a text that is null", "d.jsonl", lines([{"text": "a"}, {"text": None}]))
    yield case("jsonl", "a text that is missing", "d.jsonl", lines([{"text": "a"}, {"other": "b"}]))
    yield case("jsonl", "a text that is a number", "d.jsonl", lines([{"text": 1}, {"text": 2}]))
    yield case("jsonl", "several objects a line", "d.jsonl", "".join(json.dumps(row) + " " for row in rows()))
    yield case("jsonl", "pretty-printed objects", "d.jsonl", "".join(json.dumps(row, indent=2) + "\n" for row in rows()))
    yield case("jsonl", "an array", "d.jsonl", json.dumps(rows()))
    yield case("jsonl", "escaped surrogates and controls", "d.jsonl", '{"text": "\\ud83d\\ude80 \\u0000 \\u001f \\/"}\n')
    yield case("jsonl", "a lone surrogate", "d.jsonl", '{"text": "a\\ud83d b"}\n')
    yield case("jsonl", "latin-1 bytes", "d.jsonl", '{"text": "é"}\n'.encode("latin-1"))
    yield case("jsonl", "UTF-16", "d.jsonl", lines(rows()).encode("utf-16"))
    yield case("jsonl", "an empty file", "d.jsonl", "")
    yield case("jsonl", "a line cut short", "d.jsonl", plain + '{"text": "cu')
    yield case("jsonl", "named .ndjson", "d.ndjson", plain)
    yield case("jsonl", "pandas", "d.jsonl", lambda path: pandas.DataFrame(rows()).to_json(path, orient="records", lines=True))
    yield case("jsonl", "polars", "d.jsonl", lambda path: polars.DataFrame(rows()).write_ndjson(path))
    yield case("jsonl", "duckdb", "d.jsonl", lambda path: in_duckdb(rows(), f"COPY d TO '{path}' (FORMAT json)"))
    yield case("jsonl", "datasets", "d.jsonl", lambda path: datasets.Dataset.from_list(rows()).to_json(path))
    yield case("json", "json.dump of an array", "d.json", json.dumps(rows()))
    yield case("json", "an indented array", "d.json", json.dumps(rows(), indent=4, ensure_ascii=False))
    yield case("json", "byte order mark", "d.json", "\ufeff" + json.dumps(rows()))
    yield case("json", "an array of texts", "d.json", json.dumps(TEXTS))
    yield case("json", "objects, one a line", "d.json", plain)
    yield case("json", "pretty-printed objects", "d.json", "".join(json.dumps(row, indent=2) + "\n" for row in rows()))
    yield case("json", "columns of lists", "d.json", json.dumps({"id": list(range(len(TEXTS))), "text": TEXTS}))
    yield case("json", "one object", "d.json", json.dumps(rows()[0], indent=2))
    yield case("json", "an empty array", "d.json", "[]")
    yield case("json", "NaN", "d.json", json.dumps([{"text": "a", "x": float("nan")}]))
    yield case("json", "an array cut short", "d.json", json.dumps(rows())[:-20])
    yield case("json", "pandas, orient=records", "d.json", lambda path: pandas.DataFrame(rows()).to_json(path, orient="records"))
    yield case("json", "pandas, orient=columns", "d.json", lambda path: pandas.DataFrame(rows()).to_json(path))
    yield case("json", "polars", "d.json", lambda path: polars.DataFrame(rows()).write_json(path))
    yield case("json", "duckdb, ARRAY", "d.json", lambda path: in_duckdb(rows(), f"COPY d TO '{path}' (FORMAT json, ARRAY true)"))


def written_csv(made, **options):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, made[0].keys(), **options)
    writer.writeheader()
    writer.writerows(made)
    return file.getvalue()


def csv_cases():
    named = {"minimal": csv.QUOTE_MINIMAL, "all": csv.QUOTE_ALL, "non-numeric": csv.QUOTE_NONNUMERIC}
    for ending, extension, delimiter in (("csv", "d.csv", ","), ("tsv", "d.tsv", "\t")):
        for quoting, constant in named.items():
            for end in ("\n", "\r\n"):
                text = written_csv(rows(), quoting=constant, lineterminator=end, delimiter=delimiter)
                yield case(ending, f"quotes {quoting}, lines end in {end!r}", extension, text)
        yield case(ending, "a quote inside an unquoted field", extension, delimiter.join(["id", "text"]) + "\n" + f'1{delimiter}5" pipe\n2{delimiter}a "b" c\n3{delimiter}end"\n')
        yield case(ending, "text after a quoted field", extension, f'id{delimiter}text\n1{delimiter}"a"b\n2{delimiter}"a" \n')
        yield case(ending, "blanks before a quote", extension, f'id{delimiter}text\n1{delimiter} "a"\n')
        yield case(ending, "byte order mark", extension, "\ufeff" + written_csv(rows(), delimiter=delimiter))
        yield case(ending, "blank lines", extension, f"id{delimiter}text\n\n1{delimiter}a\n\n\n2{delimiter}b\n")
        yield case(ending, "no line end after the last", extension, f"id{delimiter}text\n1{delimiter}a\n2{delimiter}b")
        yield case(ending, "quoted header", extension, f'"id"{delimiter}"text"\n1{delimiter}a\n')
        yield case(ending, "fields missing at the end", extension, f"text{delimiter}id\na{delimiter}1\nb\n")
        yield case(ending, "too many fields", extension, f"text{delimiter}id\na{delimiter}1\nb{delimiter}2{delimiter}3\n")
        yield case(ending, "texts that pandas takes for missing", extension, f"id{delimiter}text\n" + "".join(f"{i}{delimiter}{text}\n" for i, text in enumerate(["NA", "null", "nan", "None", "", "a"])), pandas_types=True, stays=AS_TEXT)
        yield case(ending, "texts that look like numbers", extension, f"id{delimiter}text\n1{delimiter}007\n2{delimiter}1.50\n", pandas_types=True, stays=AS_TEXT)
        yield case(ending, "an open quote", extension, f'id{delimiter}text\n1{delimiter}"a\n2{delimiter}b\n')
        yield case(ending, "a header alone", extension, f"id{delimiter}text\n")
    yield case("csv", "lines end in CR", "d.csv", "id,text\r1,a\r2,b\r")
    yield case("csv", "a column twice", "d.csv", "text,text\na,b\n")
    yield case("csv", "latin-1 bytes", "d.csv", "id,text\n1,é\n".encode("latin-1"))
    frame = pandas.DataFrame(rows())
    yield case("csv", "pandas", "d.csv", lambda path: frame.to_csv(path, index=False))
    yield case("csv", "pandas, with its index", "d.csv", lambda path: frame.to_csv(path))
    yield case("tsv", "pandas", "d.tsv", lambda path: frame.to_csv(path, index=False, sep="\t"))
    yield case("csv", "polars", "d.csv", lambda path: polars.DataFrame(rows()).write_csv(path))
    yield case("csv", "polars, quotes never needed", "d.csv", lambda path: polars.DataFrame(rows(["a", "b c"])).write_csv(path, quote_style="never"))
    yield case("csv", "pyarrow", "d.csv", lambda path: pyarrow.csv.write_csv(pyarrow.Table.from_pylist(rows()), path))
    yield case("csv", "duckdb", "d.csv", lambda path: in_duckdb(rows(), f"COPY d TO '{path}' (HEADER)"))
    yield case("csv", "datasets", "d.csv", lambda path: datasets.Dataset.from_list(rows()).to_csv(path))


def text_cases():
    yield case("txt", "lines", "d.txt", "\n".join(ONE_LINE) + "\n", stays=BLANK)
    yield case("txt", "lines end in CRLF", "d.txt", "\r\n".join(ONE_LINE), stays=BLANK)
    yield case("txt", "lines end in CR", "d.txt", "a\rb\rc")
    yield case("txt", "blank lines", "d.txt", "a\n\n\nb\n", stays=BLANK)
    yield case("txt", "byte order mark", "d.txt", "\ufeffa\nb\n", stays=MARK)
    yield case("txt", "separators that end lines elsewhere", "d.txt", "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\nh\n")
    yield case("txt", "latin-1 bytes", "d.txt", "é\n".encode("latin-1"))
    yield case("txt", "an empty file", "d.txt", "")


def in_duckdb(made, command):
    with duckdb.connect() as connection:
        frame = pandas.DataFrame(made)  # noqa: F841: duckdb finds it by its name
        connection.execute("CREATE TABLE d AS SELECT * FROM frame")
        connection.execute(command)


def parquet(table, **options):
    return lambda path: pyarrow.parquet.write_table(table, path, **options)


def parquet_cases():
    table = pyarrow.Table.from_pylist(rows())
    many = pyarrow.Table.from_pylist(rows(TEXTS * 200))
    for compression in ("none", "snappy", "gzip", "brotli", "lz4", "zstd"):
        yield case("parquet", f"pyarrow, {compression}", "d.parquet", parquet(table, compression=compression))
    for version in ("1.0", "2.4", "2.6"):
        for page in ("1.0", "2.0"):
            yield case("parquet", f"pyarrow, version {version}, pages {page}", "d.parquet", parquet(many, version=version, data_page_version=page, data_page_size=500))
    yield case("parquet", "pyarrow, without dictionaries", "d.parquet", parquet(many, use_dictionary=False))
    for encoding in ("PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"):
        yield case("parquet", f"pyarrow, {encoding}", "d.parquet", parquet(many, use_dictionary=False, column_encoding={"text": encoding}))
    yield case("parquet", "pyarrow, small row groups", "d.parquet", parquet(many, row_group_size=7))
    yield case("parquet", "pyarrow, page index and checksums", "d.parquet", parquet(many, write_page_index=True, write_page_checksum=True, data_page_size=500))
    yield case("parquet", "pyarrow, content-defined chunks", "d.parquet", parquet(many, use_content_defined_chunking=True))
    yield case("parquet", "pyarrow, no rows", "d.parquet", parquet(table.slice(0, 0)))
    yield case("parquet", "pyarrow, a text that is null", "d.parquet", parquet(pyarrow.table({"text": ["a", None]})))
    for name in ("large_string", "string_view", "binary", "large_binary"):
        kind = getattr(pyarrow, name)()
        texts = TEXTS if "binary" not in name else [text.encode() for text in TEXTS]
        yield case("parquet", f"pyarrow, {name}", "d.parquet", parquet(pyarrow.table({"text": pyarrow.array(texts, kind)})), stays=BINARY if "binary" in name else "")
    yield case("parquet", "pyarrow, dictionary of texts", "d.parquet", parquet(pyarrow.table({"text": pyarrow.array(TEXTS * 3).dictionary_encode()})))
    yield case("parquet", "pyarrow, columns of other types", "d.parquet", parquet(table.append_column("d", pyarrow.array([1.5] * len(TEXTS), pyarrow.float16())).append_column("m", pyarrow.array([[("k", 1)]] * len(TEXTS), pyarrow.map_(pyarrow.string(), pyarrow.int8())))))
    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    large = pyarrow.struct([("role", pyarrow.large_string()), ("content", pyarrow.large_string())])
    chats = {"kind": "messages", "messages": "messages"}
    for name, kind in {"list": pyarrow.list_(message), "large_list": pyarrow.large_list(message), "large_list of large": pyarrow.large_list(large), "fixed-size list": pyarrow.list_(message, 2), "list_view": pyarrow.list_view(message)}.items():
        made = lambda kind=kind: pyarrow.table({"messages": pyarrow.array(CHATS, kind)})  # noqa: E731
        yield case("parquet", f"pyarrow, chats as {name}", "d.parquet", lambda path, made=made: pyarrow.parquet.write_table(made(), path), "messages", chats)
    yield case("parquet", "pyarrow, chats in two-level lists", "d.parquet", parquet(pyarrow.table({"messages": pyarrow.array(CHATS, pyarrow.list_(message))}), use_compliant_nested_type=False), "messages", chats)
    yield case("parquet", "pyarrow, chats of many pages", "d.parquet", parquet(pyarrow.table({"messages": pyarrow.array(CHATS * 100, pyarrow.list_(message))}), data_page_size=300, data_page_version="2.0", row_group_size=64), "messages", chats)
    yield case("parquet", "polars", "d.parquet", lambda path: polars.DataFrame(rows()).write_parquet(path))
    for compression in ("uncompressed", "snappy", "gzip", "brotli", "lz4", "zstd"):
        yield case("parquet", f"polars, {compression}", "d.parquet", lambda path, c=compression: polars.DataFrame(rows(TEXTS * 50)).write_parquet(path, compression=c, data_page_size=600))
    yield case("parquet", "polars, categories", "d.parquet", lambda path: polars.DataFrame(rows(), schema_overrides={"text": polars.Categorical}).write_parquet(path))
    yield case("parquet", "polars, chats", "d.parquet", lambda path: polars.DataFrame({"messages": CHATS}).write_parquet(path), "messages", chats)
    for compression in ("uncompressed", "snappy", "gzip", "brotli", "lz4_raw", "zstd"):
        yield case("parquet", f"duckdb, {compression}", "d.parquet", lambda path, c=compression: in_duckdb(rows(TEXTS * 50), f"COPY d TO '{path}' (FORMAT parquet, COMPRESSION {c})"))
    yield case("parquet", "duckdb, version 2", "d.parquet", lambda path: in_duckdb(rows(TEXTS * 50), f"COPY d TO '{path}' (FORMAT parquet, PARQUET_VERSION v2)"))
    yield case("parquet", "duckdb, chats", "d.parquet", lambda path: in_duckdb([{"messages": chat} for chat in CHATS], f"COPY d TO '{path}' (FORMAT parquet)"), "messages", chats)
    yield case("parquet", "datasets, chats", "d.parquet", lambda path: datasets.Dataset.from_dict({"messages": CHATS}).to_parquet(path), "messages", chats)
    yield case("jsonl", "chats", "d.jsonl", lines([{"messages": chat} for chat in CHATS]), "messages", chats)


def members(data, size):
    return b"".join(gzip.compress(data[at : at + size]) for at in range(0, len(data), size))


def bgzf(data):
    """As bgzip and samtools write: members of at most 64 KiB with their size in an extra field, and an empty one at the end."""
    blocks = []
    for at in [*range(0, len(data), 60_000), len(data)]:
        deflate = zlib.compressobj(wbits=-15)
        part = data[at : at + 60_000]
        body = deflate.compress(part) + deflate.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + (len(body) + 25).to_bytes(2, "little")
        blocks.append(head + body + zlib.crc32(part).to_bytes(4, "little") + len(part).to_bytes(4, "little"))
    return b"".join(blocks)


def zstd(data, **options):
    return pyarrow.Codec("zstd", **options).compress(data, asbytes=True)


def compressed_cases():
    texts = TEXTS * 400
    plain = lines(rows(texts), ensure_ascii=False).encode()
    noise = [f"{i * 2654435761 % 2**64:x}" * 9 for i in range(9_000)]
    random_rows = lines([{"text": text} for text in noise]).encode()
    yield case("compressed", "gzip", "d.jsonl.gz", gzip.compress(plain))
    yield case("compressed", "gzip, stored", "d.jsonl.gz", gzip.compress(plain, 0))
    for size in (1_000, 86_000, 300_000):
        yield case("compressed", f"gzip, members of {size} bytes", "d.jsonl.gz", members(random_rows, size))
    yield case("compressed", "gzip, an empty member in between", "d.jsonl.gz", gzip.compress(plain) + gzip.compress(b"") + gzip.compress(plain))
    yield case("compressed", "gzip, bgzf", "d.jsonl.gz", bgzf(random_rows))
    yield case("compressed", "gzip, zeros after the last member", "d.jsonl.gz", gzip.compress(plain) + bytes(512))
    yield case("compressed", "gzip, with a file name", "d.jsonl.gz", named_gzip(plain))
    yield case("compressed", "gzip, cut short", "d.jsonl.gz", gzip.compress(plain)[:-9])
    yield case("compressed", "gzip, a wrong checksum", "d.jsonl.gz", gzip.compress(plain)[:-8] + bytes(8))
    yield case("compressed", "zstd", "d.jsonl.zst", zstd(plain), written=texts)
    yield case("compressed", "zstd, level 19", "d.jsonl.zst", zstd(random_rows, compression_level=19), written=noise)
    yield case("compressed", "zstd, several frames", "d.jsonl.zst", zstd(plain) + zstd(random_rows) + zstd(plain), written=[*texts, *noise, *texts])
    yield case("compressed", "zstd, a skippable frame in between", "d.jsonl.zst", zstd(plain) + b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd(plain), written=texts * 2)
    yield case("compressed", "zstd, cut short", "d.jsonl.zst", zstd(plain)[:-9])
    if shutil.which("zstd"):
        yield case("compressed", "zstd --long=27, with a checksum", "d.jsonl.zst", subprocess.run(["zstd", "-q", "--long=27", "--check"], input=random_rows, stdout=subprocess.PIPE, check=True).stdout, written=noise)
    yield case("compressed", "csv in gzip", "d.csv.gz", gzip.compress(written_csv(rows()).encode()))
    yield case("compressed", "txt in gzip", "d.txt.gz", gzip.compress("\n".join(ONE_LINE).encode()), stays=BLANK)
    yield case("compressed", "json in gzip", "d.json.gz", gzip.compress(json.dumps(rows()).encode()))


def named_gzip(data):
    file = io.BytesIO()
    with gzip.GzipFile("d.jsonl", "wb", fileobj=file, mtime=5) as out:
        out.write(data)
    return file.getvalue()


def cases():
    for made in (json_cases, csv_cases, text_cases, parquet_cases, compressed_cases):
        yield from made()
