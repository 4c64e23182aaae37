import { GradpoolError } from "@gradpool/errors";
import { readSafetensors, toFloat32, writeSafetensors, type FloatTensor, type Tensor } from "@gradpool/safetensors";
import { uniforms } from "./philox.js";

/** A linear layer that has a LoRA branch. */
export interface AdaptedModule {
  /** Full name, such as "transformer.h.0.attn.c_attn". */
  name: string;
  inFeatures: number;
  outFeatures: number;
  /** Rank of its own, where it is not the adapter's. */
  r?: number;
  /** DoRA: it has a magnitude vector besides. */
  useDora?: boolean;
}

/**
 * Under PEFT's names: "base_model.model.<module>.lora_A.weight" [r, in] and "….lora_B.weight" [out, r], and for
 * DoRA "….lora_magnitude_vector" [out].
 */
export type AdapterTensors = Map<string, FloatTensor>;

/** PEFT's names of a module's tensors; the magnitude is DoRA's alone. */
export function loraNames(module: string): { a: string; b: string; magnitude: string } {
  const prefix = `base_model.model.${module}.lora_`;
  return { a: `${prefix}A.weight`, b: `${prefix}B.weight`, magnitude: `${prefix}magnitude_vector` };
}

/** Names of all LoRA tensors in the order used everywhere: modules as given, A before B before the magnitude. */
export function loraTensorNames(modules: readonly Pick<AdaptedModule, "name" | "useDora">[]): string[] {
  return modules.flatMap(({ name, useDora }) => {
    const { a, b, magnitude } = loraNames(name);
    return useDora ? [a, b, magnitude] : [a, b];
  });
}

/** Shapes of all LoRA tensors, in the order of loraTensorNames. */
export function loraShapes(modules: readonly AdaptedModule[], r: number): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  for (const { name, inFeatures, outFeatures, r: own = r, useDora } of modules) {
    const { a, b, magnitude } = loraNames(name);
    shapes.set(a, [own, inFeatures]);
    shapes.set(b, [outFeatures, own]);
    if (useDora) shapes.set(magnitude, [outFeatures]);
  }
  return shapes;
}

/**
 * The adapter that training starts from, as PEFT's init_lora_weights=True: A by kaiming_uniform_ with
 * a = √5, which is uniform in ±1/√in, B zero, so that the adapted model equals its base. Each A has a
 * random stream of its own, named by `seed` and the tensor: neither order nor presence of other
 * modules changes it. DoRA's magnitudes are `norms`: those of the base's weights [out], by module.
 */
export function initAdapter(
  modules: readonly AdaptedModule[],
  r: number,
  seed: number,
  norms: ReadonlyMap<string, Float32Array> = new Map(),
): AdapterTensors {
  const tensors: AdapterTensors = new Map();
  for (const { name, inFeatures, outFeatures, r: own = r, useDora } of modules) {
    const { a, b, magnitude } = loraNames(name);
    const data = new Float32Array(own * inFeatures);
    const bound = 1 / Math.sqrt(inFeatures);
    const stream = uniforms(seed, a);
    for (let i = 0; i < data.length; i++) data[i] = ((stream.next().value as number) * 2 - 1) * bound;
    tensors.set(a, { shape: [own, inFeatures], data });
    tensors.set(b, { shape: [outFeatures, own], data: new Float32Array(outFeatures * own) });
    if (useDora) {
      const norm = norms.get(name);
      if (norm?.length !== outFeatures) throw new Error(`DoRA needs the norms of ${name}'s weight`);
      tensors.set(magnitude, { shape: [outFeatures], data: Float32Array.from(norm) });
    }
  }
  return tensors;
}

/**
 * Makes sure that an adapter has exactly the LoRA tensors of these modules at rank `r`.
 * Errors: `failed_precondition`, naming the tensor that is missing, unexpected, or of another shape.
 */
export function checkAdapter(tensors: AdapterTensors, modules: readonly AdaptedModule[], r: number): void {
  const shapes = loraShapes(modules, r);
  for (const [name, shape] of shapes) {
    const tensor = tensors.get(name);
    if (!tensor) throw misfit(`it has no tensor ${name}`);
    if (tensor.shape.join() !== shape.join()) {
      throw misfit(`${name} has shape [${tensor.shape.join(", ")}] instead of [${shape.join(", ")}]`);
    }
  }
  for (const [name, { shape }] of tensors) {
    if (shapes.has(name)) continue;
    if (TOKEN_TABLE.test(name)) throw ofTokens(name, shape);
    throw misfit(`it has the tensor ${JSON.stringify(name)}, which belongs to no target module`);
  }
}

/** The embedding, or the head: whole (modules_to_save, or a vocabulary that was resized), or adapted itself. */
const TOKEN_TABLE = /\.(embed_tokens|wte|embed_in|lm_head|embed_out)\.|lora_embedding_[AB]/;

function ofTokens(name: string, shape: readonly number[]): GradpoolError {
  const what = /lora_/.test(name) ? "adapts" : "holds";
  const message = `the adapter ${what} a table of tokens, ${JSON.stringify(name)} [${shape.join(", ")}]: PEFT saves one for a vocabulary that was resized, for modules_to_save, or for such a target; gradpool adapts only the layers between; train one with other target_modules, on the unchanged vocabulary`;
  return new GradpoolError("failed_precondition", message);
}

/**
 * Reads adapter_model.safetensors into float32, in the order of loraTensorNames. Errors: `data_loss`
 * when the file is damaged; `failed_precondition` when it is not an adapter for these modules at rank `r`.
 */
export function readAdapter(
  file: Uint8Array,
  modules: readonly AdaptedModule[],
  r: number,
  fileName = "adapter_model.safetensors",
): AdapterTensors {
  return adapterOf(readSafetensors(file, fileName).tensors, modules, r);
}

/** The same of tensors from another file. Errors: `failed_precondition` as for readAdapter. */
export function adapterOf(
  stored: ReadonlyMap<string, Tensor>,
  modules: readonly AdaptedModule[],
  r: number,
): AdapterTensors {
  const tensors: AdapterTensors = new Map();
  for (const [name, tensor] of stored) tensors.set(name, { shape: tensor.shape, data: toFloat32(tensor) });
  checkAdapter(tensors, modules, r);
  const ordered: AdapterTensors = new Map();
  for (const name of loraTensorNames(modules)) {
    const tensor = tensors.get(name) as FloatTensor;
    if (!tensor.data.every(Number.isFinite)) throw misfit(`${name} has values that are not finite`);
    ordered.set(name, tensor);
  }
  return ordered;
}

/** The bytes of adapter_model.safetensors, as PEFT writes them. */
export function writeAdapter(tensors: AdapterTensors): Uint8Array<ArrayBuffer> {
  return writeSafetensors(tensors, { format: "pt" });
}

function misfit(what: string): GradpoolError {
  const advice =
    "choose an adapter that was trained on this model with the same target_modules, lora_r, rank_pattern and use_dora";
  return new GradpoolError("failed_precondition", `the adapter does not fit: ${what}; ${advice}`);
}
