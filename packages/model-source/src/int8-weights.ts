/**
 * The weights of a model's linear layers in eight bits: quantized once, kept in the cache folder, mapped by every session.
 * One folder for each of the two kinds of products, x·W and x·Wᵀ, since gradients take the one and the forward pass the other.
 */
import { randomUUID } from "node:crypto";
import { open, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { BasePrecision, Int8Entries, Int8Entry, WeightEntry } from "@gradpool/models";
import { layOut, toFloat32, type Dtype } from "@gradpool/safetensors";
import { cachedFolder, flush } from "./cache-folder.js";
import { bytesOf, sha256Of, writeAt } from "./file-bytes.js";
import { ColumnScales, quantizePlain, quantizeTransposed } from "./int8-columns.js";
import type { ModelSource } from "./model-source.js";
import { moduleWeight } from "./module-weights.js";
import { tensorPieces } from "./tensor-pieces.js";
import { identityOf } from "./weights-identity.js";

/** Part of the key: a change in what is written makes older folders unused. */
const CONVERSION = "int8-1";
const WEIGHTS = "model.safetensors";
const CHECKSUM = "sha256";

type Product = keyof Int8Entries;

export interface Int8Options {
  precision: BasePrecision;
  /** The numbers are uint8 with the zero point 128. */
  unsigned: boolean;
}

/**
 * The same model, with the matrices beside it that `precision` multiplies with. Where the cache and the model have no folder in
 * common (on two drives of Windows), the model as it is: they are then quantized whenever a session is made. Errors: those of
 * `cachedFolder` and tensorPieces.
 */
export async function int8Weights(
  source: ModelSource,
  { precision, unsigned }: Int8Options,
  cacheDir: string,
): Promise<ModelSource> {
  if (precision === "float32") return source;
  const { fanInFanOut } = source.model.description;
  const forward: Product = fanInFanOut ? "plain" : "transposed";
  const backward: Product = fanInFanOut ? "transposed" : "plain";
  const int8 = new Map<string, Int8Entries>();
  const folders: string[] = [];
  for (const product of precision === "int8" ? [backward, forward] : [backward]) {
    const { folder, entries } = await matrices(source, product, unsigned, cacheDir);
    folders.push(folder);
    for (const [name, entry] of entries) int8.set(name, { ...int8.get(name), [product]: entry });
  }
  const weightsDir = commonFolder([source.weightsDir, ...folders]);
  return weightsDir === undefined ? source : moved(source, int8, weightsDir);
}

/** ONNX Runtime reads files of one folder alone. */
function commonFolder([first = "", ...others]: readonly string[]): string | undefined {
  for (let folder = first; ; folder = dirname(folder)) {
    const isIn = (other: string) =>
      !/^\.\.($|[/\\])/.test(relative(folder, other)) && !isAbsolute(relative(folder, other));
    if (others.every(isIn)) return folder;
    if (dirname(folder) === folder) return undefined;
  }
}

function moved(source: ModelSource, int8: ReadonlyMap<string, Int8Entries>, weightsDir: string): ModelSource {
  const inFolder = (entry: WeightEntry) => ({
    ...entry,
    file: relative(weightsDir, resolve(source.weightsDir, entry.file)),
  });
  const both = ({ numbers, scales }: Int8Entry) => ({ numbers: inFolder(numbers), scales: inFolder(scales) });
  const tensors = new Map([...source.header.tensors].map(([name, entry]) => [name, inFolder(entry)]));
  const entries = [...int8].map(([name, { plain, transposed }]) => {
    const known = { ...(plain && { plain: both(plain) }), ...(transposed && { transposed: both(transposed) }) };
    return [name, known] as const;
  });
  return { ...source, weightsDir, header: { ...source.header, tensors, int8: new Map(entries) } };
}

/** Entries name their files by absolute paths. */
async function matrices(source: ModelSource, product: Product, unsigned: boolean, cacheDir: string) {
  const name = [CONVERSION, unsigned ? "unsigned" : "signed", product, await identityOf(source)].join("-");
  const layout = layOutOf(source, product, unsigned);
  const make = (dir: string) => write(source, layout, { product, unsigned }, dir);
  const folder = await realpath(await wholeFolder(() => cachedFolder(cacheDir, name, make)));
  const tensors = new Map(layout.entries.map((entry) => [entry.name, { ...entry, file: join(folder, WEIGHTS) }]));
  const entries = weightsOf(source).map(({ name }): [string, Int8Entry] => {
    const [numbers, scales] = [tensors.get(name), tensors.get(scalesOf(name))];
    if (!numbers || !scales) throw new Error(`${name} was laid out`);
    return [name, { numbers, scales }];
  });
  return { folder, entries };
}

/** Made again where it is damaged. */
async function wholeFolder(find: () => Promise<string>): Promise<string> {
  const folder = await find();
  const { ino } = await stat(folder);
  if (await isWhole(folder)) return folder;
  await remove(folder, ino);
  if (await isWhole(await find())) return folder;
  throw new GradpoolError("data_loss", `the cache's folder ${folder} is damaged and cannot be replaced; remove it`);
}

const scalesOf = (name: string) => `${name}.scales`;

const weightsOf = (source: ModelSource): WeightEntry[] =>
  source.model.description.modules.map(({ name }) => moduleWeight(source, name));

function layOutOf(source: ModelSource, product: Product, unsigned: boolean) {
  const tensors = new Map<string, { dtype: Dtype; shape: number[] }>();
  for (const {
    name,
    shape: [rows = 0, columns = 0],
  } of weightsOf(source)) {
    const shape = product === "plain" ? [rows, columns] : [columns, rows];
    tensors.set(name, { dtype: unsigned ? "U8" : "I8", shape });
    tensors.set(scalesOf(name), { dtype: "F32", shape: shape.slice(1) });
  }
  return layOut(tensors, { format: "pt" });
}

async function write(
  source: ModelSource,
  { header, entries }: ReturnType<typeof layOut>,
  { product, unsigned }: { product: Product; unsigned: boolean },
  dir: string,
): Promise<void> {
  const path = join(dir, WEIGHTS);
  const begins = new Map(entries.map(({ name, begin }) => [name, begin]));
  {
    await using file = await open(path, "wx");
    await writeAt(file, header, 0);
    for (const entry of weightsOf(source)) {
      const begin = begins.get(entry.name) ?? NaN;
      const numbersTo = (numbers: Int8Array, at: number) => writeAt(file, storedAs(numbers, unsigned), begin + at);
      const scales = await (product === "plain" ? writePlain : writeTransposed)(source, entry, numbersTo);
      await writeAt(file, bytesOf(scales), begins.get(scalesOf(entry.name)) ?? NaN);
    }
    await file.sync();
  }
  await writeFile(join(dir, CHECKSUM), await sha256Of(path));
  await flush(join(dir, CHECKSUM));
}

type WriteNumbers = (numbers: Int8Array, at: number) => Promise<void>;

/** Reads the weight twice, so that no more than a piece of it is in memory. */
async function writePlain(source: ModelSource, entry: WeightEntry, write: WriteNumbers): Promise<Float32Array> {
  const [, columns = 0] = entry.shape;
  const found = new ColumnScales(columns);
  for await (const { data } of tensorPieces(source, entry)) found.add(toFloat32({ dtype: entry.dtype, data }));
  const { scales } = found;
  for await (const { firstRow, data } of tensorPieces(source, entry))
    await write(quantizePlain(toFloat32({ dtype: entry.dtype, data }), scales), firstRow * columns);
  return scales;
}

/** Holds the weight's numbers in memory: a quarter of float32's bytes. */
async function writeTransposed(source: ModelSource, entry: WeightEntry, write: WriteNumbers): Promise<Float32Array> {
  const [rows = 0, columns = 0] = entry.shape;
  const matrix = { numbers: new Int8Array(rows * columns), scales: new Float32Array(rows) };
  for await (const { firstRow, data } of tensorPieces(source, entry))
    quantizeTransposed(toFloat32({ dtype: entry.dtype, data }), columns, firstRow, matrix);
  await write(matrix.numbers, 0);
  return matrix.scales;
}

/** As int8, or moved to uint8 in place. */
function storedAs({ buffer, byteOffset, byteLength }: Int8Array, unsigned: boolean): Uint8Array {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  // Adds 128.
  if (unsigned) for (let i = 0; i < byteLength; i++) bytes[i]! ^= 0x80;
  return bytes;
}

/** A session reads every byte anyway: asking the checksum first costs a tenth of a second for each 100 MB. */
async function isWhole(folder: string): Promise<boolean> {
  const expected = await readFile(join(folder, CHECKSUM), "utf8").catch(() => "");
  return expected !== "" && expected === (await sha256Of(join(folder, WEIGHTS)).catch(() => ""));
}

/** In one stroke, and only the one that was read: others may find it damaged as well, have replaced it, or have mapped it. */
async function remove(folder: string, ino: number): Promise<void> {
  // What is left of it goes as half-made folders do.
  const aside = join(dirname(folder), `.${basename(folder)}-${randomUUID()}`);
  if ((await stat(folder).catch(() => undefined))?.ino === ino) await rename(folder, aside).catch(() => undefined);
  await rm(aside, { recursive: true, force: true });
}
