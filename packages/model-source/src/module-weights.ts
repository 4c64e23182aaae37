/** The weight of a linear layer, as its file has it. */
import { addSquares } from "@gradpool/adapter";
import type { LinearModule, WeightEntry } from "@gradpool/models";
import { toFloat32 } from "@gradpool/safetensors";
import type { ModelSource } from "./model-source.js";
import { tensorPieces } from "./tensor-pieces.js";

/** A module's weight, in files whose names may lack the first part. */
export function moduleWeight({ header }: Pick<ModelSource, "header">, module: string): WeightEntry {
  const names = [`${module}.weight`, `${module.replace(/^[^.]*\./, "")}.weight`];
  const entry = names.map((name) => header.tensors.get(name)).find((found) => found !== undefined);
  if (!entry) throw new Error(`the weights of ${module} were checked when the model was opened`);
  return entry;
}

/** ‖W_o‖² of each output o of a linear layer [out], summed in float64. Errors: those of tensorPieces. */
export async function squaredNorms(source: ModelSource, { name, outFeatures }: LinearModule): Promise<Float64Array> {
  const entry = moduleWeight(source, name);
  const layout = { columns: entry.shape[1] ?? 1, fanInFanOut: source.model.description.fanInFanOut };
  const sums = new Float64Array(outFeatures);
  for await (const { firstRow, data } of tensorPieces(source, entry)) {
    addSquares(sums, toFloat32({ dtype: entry.dtype, data }), firstRow, layout);
  }
  return sums;
}

/** ‖W_o‖ of each output of the modules [out], by their names: the magnitudes that DoRA starts from. Errors: as squaredNorms. */
export async function weightNorms(
  source: ModelSource,
  modules: readonly LinearModule[],
): Promise<Map<string, Float32Array>> {
  const norms = new Map<string, Float32Array>();
  for (const module of modules)
    norms.set(module.name, Float32Array.from(await squaredNorms(source, module), Math.sqrt));
  return norms;
}
