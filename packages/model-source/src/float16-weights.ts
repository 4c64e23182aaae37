/** A model's weights in float16, as torch's model.half() rounds them: written once, kept in the cache folder. */
import { open, realpath } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { WeightEntry } from "@gradpool/models";
import { fromFloat32, layOut, toFloat32 } from "@gradpool/safetensors";
import { cachedFolder } from "./cache-folder.js";
import { writeAt } from "./file-bytes.js";
import type { ModelSource } from "./model-source.js";
import { tensorPieces } from "./tensor-pieces.js";
import { identityOf } from "./weights-identity.js";

/** Part of the key: a change in what is written makes older folders unused. */
const CONVERSION = "float16-1";
const WEIGHTS = "model.safetensors";

/** What rounds to infinity: half a unit beyond the largest number, 65,504. */
const TOO_LARGE = 65_520;

/**
 * The same model with all its weights in float16. Errors: those of `cachedFolder` and tensorPieces;
 * `failed_precondition` for a weight that float16 cannot hold.
 */
export async function float16Weights(source: ModelSource, cacheDir: string): Promise<ModelSource> {
  const entries = weightsOf(source);
  if (entries.every(({ dtype }) => dtype === "F16")) return source;
  const name = `${CONVERSION}-${await identityOf(source)}`;
  const weightsDir = await cachedFolder(cacheDir, name, (dir) => write(source, dir));
  const tensors = new Map(layOutOf(source).entries.map((entry) => [entry.name, { ...entry, file: WEIGHTS }]));
  return { ...source, weightsDir: await realpath(weightsDir), header: { tensors } };
}

/** Those that the model reads. */
const weightsOf = ({ header, model }: ModelSource) =>
  [...header.tensors.values()].filter(({ name }) => model.weights.has(name));

const layOutOf = (source: ModelSource) =>
  layOut(new Map(weightsOf(source).map(({ name, shape }) => [name, { dtype: "F16", shape }])), {
    format: "pt",
  });

async function write(source: ModelSource, dir: string): Promise<void> {
  const { header, entries } = layOutOf(source);
  await using file = await open(join(dir, WEIGHTS), "wx");
  await writeAt(file, header, 0);
  for (const { name, begin } of entries) {
    const entry = source.header.tensors.get(name) as WeightEntry;
    let at = begin;
    for await (const { data } of tensorPieces(source, entry)) {
      const halves = fromFloat32(checked(toFloat32({ dtype: entry.dtype, data }), source, name), "F16");
      await writeAt(file, halves, at);
      at += halves.byteLength;
    }
  }
  await file.sync();
}

function checked(values: Float32Array, { modelId }: ModelSource, name: string): Float32Array {
  const stray = values.find((value) => Math.abs(value) >= TOO_LARGE);
  if (stray === undefined) return values;
  const message = `model_id: ${name} of ${modelId} has ${stray}, which float16 cannot represent; use --dtype float32`;
  throw new GradpoolError("failed_precondition", message);
}
