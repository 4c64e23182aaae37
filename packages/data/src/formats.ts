import { basename, extname } from "node:path";
import { documentReader } from "./readers/document.js";
import { jsonlReader } from "./readers/jsonl.js";
import type { RowReader } from "./readers/reader.js";
import { txtReader } from "./readers/txt.js";

/** Files of many rows, by extension. Everything else that is text is one row. */
const READERS: ReadonlyMap<string, RowReader> = new Map([
  [".jsonl", jsonlReader],
  [".ndjson", jsonlReader],
  [".txt", txtReader],
]);

/** Data that would be read as one long row by mistake. */
const REFUSED = new Set(
  ".json .csv .tsv .parquet .arrow .feather .avro .gz .bz2 .xz .zst .zip .tar .tgz .7z .pdf .docx .sqlite .db .pt .bin .npy .safetensors".split(
    " ",
  ),
);

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

/** The reader of a file that is named directly or by a glob, or undefined when its kind is not supported. */
export function readerOf(path: string): RowReader | undefined {
  const extension = extensionOf(path);
  return REFUSED.has(extension) ? undefined : (READERS.get(extension) ?? documentReader);
}

/** Whether a folder's file belongs to a data set of source code and text. */
export function isSearchedFor(path: string): boolean {
  const name = basename(path);
  if (name.startsWith(".") || LOCKFILES.has(name)) return false;
  const extension = extensionOf(path);
  return READERS.has(extension) || SOURCE_EXTENSIONS.has(extension) || SOURCE_NAMES.has(name);
}
