/**
 * A model with an adapter in its weights: W + scaling · B·A in the base's dtypes (with DoRA the outputs have the
 * magnitudes as lengths), and where training added a
 * pad token, tables with its row. Read and written piece by piece: memory does not grow with the model.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { addProduct, addSquares, loraProduct, scaleOutputs, type LoraProduct } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { meanRow, moduleWeight, tensorPieces, type ModelSource } from "@gradpool/model-source";
import type { WeightEntry } from "@gradpool/models";
import { fromFloat32, layOut, toFloat32 } from "@gradpool/safetensors";
import { SOURCE_FILES, withNamedTemplates } from "@gradpool/tokenizers";
import type { AdaptedModel } from "./adapted-model.js";

const CONFIG = "config.json";
/** Copied where it exists; how the model's authors sample from it. */
const GENERATION_CONFIG = "generation_config.json";
const WEIGHTS = "model.safetensors";

/** A piece of a file; each file's come together. */
export interface FilePiece {
  name: string;
  data: Uint8Array;
}

/** The files of the merged model. Errors: those of reading the model. */
export async function* mergedModel(model: AdaptedModel): AsyncGenerator<FilePiece> {
  const { source, tokenizer, adapterPad, padRow } = model;
  yield { name: CONFIG, data: padRow ? await grownConfig(source) : await readFile(join(source.dir, CONFIG)) };
  const generationConfig = await readIfPresent(join(source.dir, GENERATION_CONFIG));
  if (generationConfig) yield { name: GENERATION_CONFIG, data: generationConfig };
  const tokenizerFiles = adapterPad === undefined ? await baseTokenizer(source.dir) : tokenizer.files();
  for (const [name, data] of tokenizerFiles) yield { name, data };
  for await (const data of mergedWeights(model)) yield { name: WEIGHTS, data };
}

/** The model's config.json for one token more. */
async function grownConfig({ dir, model }: ModelSource): Promise<Uint8Array> {
  const config = JSON.parse(await readFile(join(dir, CONFIG), "utf8")) as Record<string, unknown>;
  const grown = { ...config, vocab_size: model.description.vocabSize + 1 };
  return Buffer.from(`${JSON.stringify(grown, null, 2)}\n`);
}

/** Without a pad token that only loading it here would add. */
async function baseTokenizer(dir: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of SOURCE_FILES) {
    const data = name === CONFIG ? undefined : await readIfPresent(join(dir, name));
    if (data) files.set(name, data);
  }
  return withNamedTemplates(files);
}

async function readIfPresent(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new GradpoolError("permission_denied", `model_id: ${path} cannot be read; check its path and permissions`, {
      cause,
    });
  }
}

async function* mergedWeights({ source, targets, adapter, padRow }: AdaptedModel): AsyncGenerator<Uint8Array> {
  const { header, model } = source;
  const products = new Map<string, LoraProduct>();
  for (const target of adapter ? targets : []) {
    const { tensors, scaling, ownScalings } = adapter as NonNullable<typeof adapter>;
    const own = ownScalings?.get(target.name) ?? scaling;
    products.set(
      moduleWeight(source, target.name).name,
      loraProduct(target, tensors, own, model.description.fanInFanOut),
    );
  }
  const padRows = padRow ? await tablePadRows(source) : new Map<string, Float32Array>();
  const stored = [...header.tensors.values()].map(
    ({ name, dtype, shape }): [string, Pick<WeightEntry, "dtype" | "shape">] => {
      const [rows = 0, ...rest] = shape;
      return [name, { dtype, shape: padRows.has(name) ? [rows + 1, ...rest] : shape }];
    },
  );
  const { header: fileHeader, entries } = layOut(new Map(stored), { format: "pt" });
  yield fileHeader;
  for (const { name, dtype } of entries) {
    const entry = header.tensors.get(name) as WeightEntry;
    yield* mergedTensor(source, entry, products.get(name));
    const row = padRows.get(name);
    if (row) yield fromFloat32(row, dtype);
  }
}

async function* mergedTensor(
  source: ModelSource,
  entry: WeightEntry,
  product: LoraProduct | undefined,
): AsyncGenerator<Uint8Array> {
  if (!product) {
    for await (const { data } of tensorPieces(source, entry)) yield data;
    return;
  }
  const layout = { columns: product.columns, fanInFanOut: source.model.description.fanInFanOut };
  const factors = product.magnitude && (await doraFactors(source, entry, product, product.magnitude));
  for await (const { firstRow, rows } of summedPieces(source, entry, product)) {
    if (factors) scaleOutputs(rows, firstRow, factors, layout);
    yield fromFloat32(rows, entry.dtype);
  }
}

/** Rows of W + scaling · B·A. */
async function* summedPieces(source: ModelSource, entry: WeightEntry, product: LoraProduct) {
  for await (const { firstRow, data } of tensorPieces(source, entry)) {
    // A copy of its own, which may be changed.
    const rows = Float32Array.from(toFloat32({ dtype: entry.dtype, data }));
    addProduct(rows, firstRow, product);
    yield { firstRow, rows };
  }
}

/** What DoRA multiplies each output of the sum by [out]: its magnitude over its length. */
async function doraFactors(
  source: ModelSource,
  entry: WeightEntry,
  product: LoraProduct,
  magnitude: Float32Array,
): Promise<Float64Array> {
  const layout = { columns: product.columns, fanInFanOut: source.model.description.fanInFanOut };
  const squares = new Float64Array(magnitude.length);
  for await (const { firstRow, rows } of summedPieces(source, entry, product)) {
    addSquares(squares, rows, firstRow, layout);
  }
  return squares.map((square, output) => magnitude[output]! / Math.sqrt(square));
}

/** The row that an added pad token has in each table of tokens, as training used it. */
async function tablePadRows(source: ModelSource): Promise<Map<string, Float32Array>> {
  const { embedding, head } = source.model.tokenTables;
  const rows = new Map<string, Float32Array>();
  // Some files hold the tied head as well.
  const copies = ["lm_head.weight"].filter((name) => source.header.tensors.has(name));
  for (const table of new Set([embedding, head, ...copies])) rows.set(table, await meanRow(source, table));
  return rows;
}
