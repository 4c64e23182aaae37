/** A GGUF file as a model folder: dequantized once, kept in the cache folder, keyed by the file's contents. */
import { createHash } from "node:crypto";
import { open, realpath, stat, writeFile, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import {
  buildTokenizer,
  dequantize,
  joinParts,
  MAX_GGUF_HEADER_BYTES,
  parseGguf,
  partNames,
  readModel,
  ROPE_FACTORS,
  type GgufFile,
  type GgufTensor,
  type NamedTensor,
} from "@gradpool/gguf";
import { openFamily } from "@gradpool/models";
import { DTYPE_BYTES, layOut } from "@gradpool/safetensors";
import { cachedFolder, flush } from "./cache-folder.js";
import { bytesOf, sha256Of, writeAt } from "./file-bytes.js";
import { CONFIG_FILE, readAt, unreadable } from "./model-folder.js";

/** Part of the key: a change in what conversion writes makes older folders unused. */
const CONVERSION = "gguf-2";

const WEIGHTS = "model.safetensors";

/** Read at first; headers with large vocabularies are longer. */
const USUAL_HEADER_BYTES = 16_000_000;

/** Converted at a time. */
const CHUNK_BYTES = 8_000_000;

/** Hashes by the file's identity: hashing gigabytes takes seconds, and services ask often. */
const hashes = new Map<string, Promise<string>>();
const MAX_HASHES = 100;

/**
 * The model folder of a GGUF file, or of the model that it is one part of, made if it does not exist yet. `shownPath` is
 * for messages. Errors: those of @gradpool/gguf and of `cachedFolder`; `failed_precondition` without a `cacheDir`,
 * `not_found` for a missing part.
 */
export async function convertedGguf(path: string, shownPath: string, cacheDir: string | undefined): Promise<string> {
  if (cacheDir === undefined) {
    const message = `model_id: ${shownPath} is a GGUF file, which needs a cache folder for its converted form; set GRADPOOL_HOME`;
    throw new GradpoolError("failed_precondition", message);
  }
  const names = partNames(basename(path)) ?? [basename(path)];
  const parts = names.map((name) => ({ path: join(dirname(path), name), shownPath: join(dirname(shownPath), name) }));
  const hashes: string[] = [];
  for (const part of parts) {
    hashes.push(
      await hashOf(part.path).catch((error: unknown) => {
        if (parts.length === 1 || !isMissing(error)) throw unreadable(part.shownPath, error);
        const message = `model_id: ${shownPath} is one of ${parts.length} parts, and ${part.shownPath} is missing; put all parts into one folder`;
        throw new GradpoolError("not_found", message, { cause: error });
      }),
    );
  }
  const [first = "", ...others] = hashes;
  const sha256 = others.length === 0 ? first : createHash("sha256").update(hashes.join()).digest("hex");
  return cachedFolder(cacheDir, `${CONVERSION}-${sha256}`, async (dir) => {
    await using files = new OpenFiles();
    for (const part of parts) files.list.push(await open(part.path));
    const headers = await Promise.all(parts.map((part, i) => readHeader(files.list[i] as FileHandle, part.shownPath)));
    const gguf = headers.length === 1 ? headers[0] : joinParts(headers as [GgufFile, ...GgufFile[]]);
    await writeModel(files.list, gguf as GgufFile, sha256, dir);
  });
}

const isMissing = (error: unknown) => error instanceof Error && "code" in error && error.code === "ENOENT";

/** Closed together. */
class OpenFiles {
  readonly list: FileHandle[] = [];

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.list) await file.close();
  }
}

async function hashOf(path: string): Promise<string> {
  const real = await realpath(path);
  const { dev, ino, size, mtimeMs, ctimeMs } = await stat(real);
  const identity = [real, dev, ino, size, mtimeMs, ctimeMs].join("|");
  const hash = hashes.get(identity) ?? sha256Of(real);
  // Last is most recent: the oldest goes first.
  hashes.delete(identity);
  hashes.set(identity, hash);
  for (const oldest of hashes.keys()) if (hashes.size > MAX_HASHES) hashes.delete(oldest);
  hash.catch(() => hashes.delete(identity));
  return hash;
}

async function readHeader(file: FileHandle, shownPath: string): Promise<GgufFile> {
  const { size } = await file.stat();
  for (const length of [USUAL_HEADER_BYTES, MAX_GGUF_HEADER_BYTES]) {
    const parsed = parseGguf(await readAt(file, 0, Math.min(length, size)), size, shownPath);
    if (parsed) return parsed;
  }
  throw new Error("a header of the largest size was neither read nor refused");
}

/** `files`: of all parts. */
async function writeModel(files: readonly FileHandle[], gguf: GgufFile, sha256: string, dir: string): Promise<void> {
  const factors = gguf.tensors.get(ROPE_FACTORS);
  const model = readModel(gguf, factors && floatsOf(factors, await readRows(files, factors, 0, 1)));
  const texts = buildTokenizer(gguf).set(CONFIG_FILE, JSON.stringify(model.config, null, 2));
  const tensors = new Map(model.tensors.map((named) => [named.name, named]));
  const stored = new Map(
    [...tensors].map(([name, { tensor, shape }]) => [name, { dtype: storedDtype(tensor), shape }]),
  );
  // The header goes into the model's hash, and with the file's hash all that is in it.
  const { header, entries, fileBytes } = layOut(stored, { format: "pt", gguf_sha256: sha256 });
  // What does not fit together is refused before gigabytes are written.
  openFamily(model.config, { tensors: new Map(entries.map((entry) => [entry.name, { ...entry, file: WEIGHTS }])) });
  for (const [name, text] of texts) {
    await writeFile(join(dir, name), text);
    await flush(join(dir, name));
  }
  const weights = await open(join(dir, WEIGHTS), "wx");
  try {
    await writeAt(weights, header, 0);
    for (const { name, begin } of entries) await writeTensor(files, tensors.get(name) as NamedTensor, weights, begin);
    // The rest of the file is zeros.
    await weights.truncate(fileBytes);
    await weights.sync();
  } finally {
    await weights.close();
  }
}

/** Halves stay as they are; quantized weights become the float32 numbers that they encode. */
function storedDtype(tensor: GgufTensor | undefined): "F16" | "BF16" | "F32" {
  const { type } = tensor ?? { type: { name: "F32" } };
  return type.name === "F16" || type.name === "BF16" ? type.name : "F32";
}

/** In chunks of whole heads, so that memory stays bounded and permuted rows stay together. */
async function writeTensor(
  files: readonly FileHandle[],
  { tensor, permutedHeads }: NamedTensor,
  weights: FileHandle,
  begin: number,
): Promise<void> {
  if (!tensor) return;
  const dtype = storedDtype(tensor);
  const { rows, elements } = matrixOf(tensor);
  const rowBytes = elements * DTYPE_BYTES[dtype];
  // A bias is one row; what is permuted are its elements.
  const isBias = tensor.shape.length < 2;
  const headRows = permutedHeads === undefined || isBias ? 1 : rows / permutedHeads;
  const step = headRows * Math.max(1, Math.floor(CHUNK_BYTES / (rowBytes * headRows)));
  for (let row = 0; row < rows; row += step) {
    const source = await readRows(files, tensor, row, Math.min(step, rows - row));
    let data = dtype === "F32" ? bytesOf(floatsOf(tensor, source)) : source;
    if (permutedHeads !== undefined) {
      data = isBias
        ? unpermuted(data, DTYPE_BYTES[dtype], elements / permutedHeads)
        : unpermuted(data, rowBytes, headRows);
    }
    await writeAt(weights, data, begin + row * rowBytes);
  }
}

function matrixOf({ shape }: GgufTensor): { rows: number; elements: number } {
  return { rows: shape.slice(0, -1).reduce((product, size) => product * size, 1), elements: shape.at(-1) ?? 1 };
}

/** Each head's rows in transformers' order; see NamedTensor. */
function unpermuted(data: Uint8Array, rowBytes: number, headRows: number): Uint8Array {
  const ordered = new Uint8Array(data.byteLength);
  const half = headRows / 2;
  for (let row = 0; row * rowBytes < data.byteLength; row++) {
    const inHead = row % headRows;
    const target = row - inHead + (inHead % 2) * half + Math.floor(inHead / 2);
    ordered.set(data.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
  }
  return ordered;
}

async function readRows(
  files: readonly FileHandle[],
  tensor: GgufTensor,
  row: number,
  count: number,
): Promise<Uint8Array> {
  const { rows } = matrixOf(tensor);
  const rowBytes = (tensor.end - tensor.begin) / rows;
  return readAt(files[tensor.part ?? 0] as FileHandle, tensor.begin + row * rowBytes, count * rowBytes);
}

const floatsOf = ({ type }: GgufTensor, source: Uint8Array): Float32Array => dequantize(type, source);
