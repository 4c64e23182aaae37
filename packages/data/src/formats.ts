import { basename, extname } from "node:path";
import { csvReader, tsvReader } from "./readers/csv.js";
import { documentReader } from "./readers/document.js";
import { jsonReader } from "./readers/json.js";
import { jsonlReader } from "./readers/jsonl.js";
import { parquetReader } from "./readers/parquet.js";
import type { Codec, RowReader } from "./readers/reader.js";
import { txtReader } from "./readers/txt.js";

/** Files of many rows, by extension. Everything else that is text is one row. */
const READERS: ReadonlyMap<string, RowReader> = new Map([
  [".jsonl", jsonlReader],
  [".ndjson", jsonlReader],
  [".json", jsonReader],
  [".csv", csvReader],
  [".tsv", tsvReader],
  [".txt", txtReader],
  [".parquet", parquetReader],
]);

/** Formats that are training data even in a folder of source code, unlike .json and .csv. */
const SEARCHED_FOR = new Set([".jsonl", ".ndjson", ".txt", ".parquet"]);

/** Compressed files, by what follows their format's extension. Parquet compresses within. */
const CODECS: ReadonlyMap<string, Codec> = new Map([
  [".gz", "gzip"],
  [".zst", "zstd"],
]);

/** Data that would be read as one long row by mistake. */
const REFUSED = new Set(
  ".arrow .feather .avro .orc .bz2 .xz .lz4 .zip .tar .tgz .7z .pdf .docx .xlsx .sqlite .db .pt .bin .npy .safetensors".split(
    " ",
  ),
);

export const SUPPORTED_FORMATS =
  ".jsonl, .json, .csv, .tsv, .txt and source or text files, each also as .gz or .zst, and .parquet";

/** What a folder is searched for, besides READERS: source code and prose. */
const SOURCE_EXTENSIONS = new Set(
  (
    ".ada .adb .ads .agda .asm .awk .bash .bat .c .cc .cfg .cjs .clj .cljs .cmake .cmd .coffee .cpp .cr .cs .css .cts .cu .cuh .cxx " +
    ".d .dart .dockerfile .el .elm .erl .ex .exs .f .f90 .f95 .fish .for .fs .fsx .glsl .go .gradle .graphql .groovy .h .hcl .hh " +
    ".hlsl .hpp .hrl .hs .htm .html .hxx .idr .ini .ino .ipp .java .jl .js .jsx .kt .kts .lean .less .lhs .lisp .lua .m .mak .markdown " +
    ".md .mdx .mjs .mk .ml .mli .mm .mts .nim .nix .org .pas .php .pl .pm .prisma .proto .ps1 .psm1 .py .pyi .pyx .r .rake .rb .re " +
    ".rs .rst .s .sass .scala .scm .scss .sh .sol .sql .sv .svelte .svh .swift .tcl .tex .tf .thrift .toml .ts .tsx .v .vb .vert .vhd " +
    ".vhdl .vim .vue .wat .wgsl .yaml .yml .zig .zsh"
  ).split(" "),
);

/** Source files that are known by their whole name. */
const SOURCE_NAMES = new Set([
  "Dockerfile",
  "Gemfile",
  "Jenkinsfile",
  "Makefile",
  "Rakefile",
  "Vagrantfile",
  "LICENSE",
  "README",
]);

/** Made by package managers; those of other extensions are not searched for anyway. */
const LOCKFILES = new Set(["pnpm-lock.yaml"]);

const extensionOf = (path: string) => extname(path).toLowerCase();

function formatOf(path: string): { codec: Codec; extension: string } {
  const codec = CODECS.get(extensionOf(path));
  return codec
    ? { codec, extension: extensionOf(path.slice(0, -extname(path).length)) }
    : { codec: "none", extension: extensionOf(path) };
}

/** How a file that is named directly or by a glob is read, or undefined when its kind is not supported. */
export function readingOf(path: string): { codec: Codec; reader: RowReader } | undefined {
  const { codec, extension } = formatOf(path);
  const reader = READERS.get(extension) ?? documentReader;
  if (REFUSED.has(extension) || (codec !== "none" && reader === parquetReader)) return undefined;
  return { codec, reader };
}

/** Whether a folder's file belongs to a data set of source code and text. */
export function isSearchedFor(path: string): boolean {
  const name = basename(path);
  if (name.startsWith(".") || LOCKFILES.has(name)) return false;
  const { codec, extension } = formatOf(path);
  if (SEARCHED_FOR.has(extension)) return true;
  return codec === "none" && (SOURCE_EXTENSIONS.has(extension) || SOURCE_NAMES.has(name));
}
