/**
 * Weights that ONNX Runtime cannot map as their file has them: float64, rounded to float32, and torch's tensors that are not
 * stored row by row. All of a model's weights are then written once, and kept in the cache folder.
 */
import { open, realpath } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { WeightEntry, WeightsHeader } from "@gradpool/models";
import { DTYPE_BYTES, layOut, toFloat32, type Dtype } from "@gradpool/safetensors";
import { cachedFolder } from "./cache-folder.js";
import { bytesOf, writeAt } from "./file-bytes.js";
import { readAt } from "./model-folder.js";
import { tensorPieces } from "./tensor-pieces.js";
import { identityOf } from "./weights-identity.js";
import type { StridedWeight } from "./weights.js";

/** Part of the key: a change in what is written makes older folders unused. */
const CONVERSION = "plain-1";
const WEIGHTS = "model.safetensors";

/** Elements of a tensor with strides, at most: a small file may claim many. */
const MAX_STRIDED_ELEMENTS = 2 ** 31;

type Stored = WeightEntry | StridedWeight;

/** The header as it will be: what has to be written first, as it will be written. */
export function plainHeader(header: WeightsHeader, strided: ReadonlyMap<string, StridedWeight>): WeightsHeader {
  const all = new Map<string, Stored>([...header.tensors, ...strided]);
  return {
    ...header,
    tensors: new Map([...all].map(([name, entry]) => [name, { ...entry, dtype: plainDtype(entry) }])),
  };
}

const plainDtype = ({ dtype }: Stored): Dtype => (dtype === "F64" ? "F32" : dtype);

interface Source {
  modelId: string;
  modelHash: string;
  weightsDir: string;
  header: WeightsHeader;
  strided: ReadonlyMap<string, StridedWeight>;
  /** Names of the weights that the model reads. */
  needed: ReadonlySet<string>;
}

/**
 * Folder and header of the weights in a form that can be mapped: as they are, or else written to the cache. Errors: those of
 * `cachedFolder`; `failed_precondition` without a `cacheDir`.
 */
export async function plainWeights(
  source: Source,
  cacheDir: string | undefined,
): Promise<Pick<Source, "weightsDir" | "header">> {
  const { header, strided, needed, modelId, weightsDir } = source;
  const entries = [...needed].map((name) => strided.get(name) ?? (header.tensors.get(name) as Stored));
  const other = entries.find((entry) => "strides" in entry || entry.dtype === "F64");
  if (!other) return { weightsDir, header };
  if (cacheDir === undefined) {
    const how = "strides" in other ? `with strides (${other.strides.join(", ")})` : "as F64";
    const message = `model_id: ${other.name} is stored ${how}, which needs a cache folder for its converted form; set GRADPOOL_HOME`;
    throw new GradpoolError("failed_precondition", message);
  }
  for (const { name, shape } of entries.filter((entry) => "strides" in entry)) {
    if (shape.reduce((product, size) => product * size, 1) <= MAX_STRIDED_ELEMENTS) continue;
    throw new GradpoolError(
      "data_loss",
      `model_id: ${name} of ${modelId} is too large to be rewritten row by row; save the model again with contiguous weights`,
    );
  }
  const shapes = new Map(entries.map((entry) => [entry.name, { dtype: plainDtype(entry), shape: entry.shape }]));
  const layout = layOut(shapes, { format: "pt" });
  const name = `${CONVERSION}-${await identityOf({ ...source, header: { tensors: new Map(entries.map((one) => [one.name, one])) } })}`;
  const folder = await cachedFolder(cacheDir, name, (dir) => write(weightsDir, entries, layout, dir));
  const tensors = new Map(layout.entries.map((entry) => [entry.name, { ...entry, file: WEIGHTS }]));
  return { weightsDir: await realpath(folder), header: { ...header, tensors } };
}

async function write(
  weightsDir: string,
  entries: readonly Stored[],
  layout: ReturnType<typeof layOut>,
  dir: string,
): Promise<void> {
  const stored = new Map(entries.map((entry) => [entry.name, entry]));
  await using file = await open(join(dir, WEIGHTS), "wx");
  await writeAt(file, layout.header, 0);
  for (const { name, begin } of layout.entries) {
    const entry = stored.get(name) as Stored;
    let at = begin;
    const pieces = "strides" in entry ? [await rowByRow(weightsDir, entry)] : tensorPieces({ weightsDir }, entry);
    for await (const { data } of pieces) {
      const plain = entry.dtype === "F64" ? bytesOf(toFloat32({ dtype: "F64", data })) : data;
      await writeAt(file, plain, at);
      at += plain.byteLength;
    }
  }
  await file.sync();
}

async function rowByRow(weightsDir: string, entry: StridedWeight): Promise<{ data: Uint8Array }> {
  const { shape, strides, begin, end, dtype } = entry;
  const size = DTYPE_BYTES[dtype];
  await using file = await open(join(weightsDir, entry.file));
  const viewed = await readAt(file, begin, end - begin);
  const count = shape.reduce((product, length) => product * length, 1);
  const data = new Uint8Array(count * size);
  const index = shape.map(() => 0);
  let from = 0;
  for (let to = 0; to < count; to++) {
    data.set(viewed.subarray(from * size, (from + 1) * size), to * size);
    // The next index, last dimension first.
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis] as number;
      from += stride;
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      from -= stride * (index[axis] as number);
      index[axis] = 0;
    }
  }
  return { data };
}
