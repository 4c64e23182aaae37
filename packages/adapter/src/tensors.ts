import { GradpoolError } from "@gradpool/errors";
import { readSafetensors, toFloat32, writeSafetensors, type FloatTensor } from "@gradpool/safetensors";
import { uniforms } from "./philox.js";

/** A linear layer that has a LoRA branch. */
export interface AdaptedModule {
  /** Full name, such as "transformer.h.0.attn.c_attn". */
  name: string;
  inFeatures: number;
  outFeatures: number;
  /** Rank of its own, where it is not the adapter's. */
  r?: number;
}

/** Under PEFT's names: "base_model.model.<module>.lora_A.weight" [r, in] and "….lora_B.weight" [out, r]. */
export type AdapterTensors = Map<string, FloatTensor>;

/** PEFT's names of a module's two tensors. */
export function loraNames(module: string): { a: string; b: string } {
  const prefix = `base_model.model.${module}`;
  return { a: `${prefix}.lora_A.weight`, b: `${prefix}.lora_B.weight` };
}

/** Names of all LoRA tensors in the order used everywhere: modules as given, A before B. */
export function loraTensorNames(modules: readonly Pick<AdaptedModule, "name">[]): string[] {
  return modules.flatMap(({ name }) => Object.values(loraNames(name)));
}

/** Shapes of all LoRA tensors, in the order of loraTensorNames. */
export function loraShapes(modules: readonly AdaptedModule[], r: number): Map<string, [number, number]> {
  const shapes = new Map<string, [number, number]>();
  for (const { name, inFeatures, outFeatures, r: own = r } of modules) {
    const { a, b } = loraNames(name);
    shapes.set(a, [own, inFeatures]);
    shapes.set(b, [outFeatures, own]);
  }
  return shapes;
}

/**
 * The adapter that training starts from, as PEFT's init_lora_weights=True: A by kaiming_uniform_ with
 * a = √5, which is uniform in ±1/√in, B zero, so that the adapted model equals its base. Each A has a
 * random stream of its own, named by `seed` and the tensor: neither order nor presence of other
 * modules changes it.
 */
export function initAdapter(modules: readonly AdaptedModule[], r: number, seed: number): AdapterTensors {
  const tensors: AdapterTensors = new Map();
  for (const { name, inFeatures, outFeatures, r: own = r } of modules) {
    const { a, b } = loraNames(name);
    const data = new Float32Array(own * inFeatures);
    const bound = 1 / Math.sqrt(inFeatures);
    const stream = uniforms(seed, a);
    for (let i = 0; i < data.length; i++) data[i] = ((stream.next().value as number) * 2 - 1) * bound;
    tensors.set(a, { shape: [own, inFeatures], data });
    tensors.set(b, { shape: [outFeatures, own], data: new Float32Array(outFeatures * own) });
  }
  return tensors;
}

/**
 * Makes sure that an adapter has exactly the LoRA tensors of these modules at rank `r`.
 * Errors: `failed_precondition`, naming the tensor that is missing, too many, or of another shape.
 */
export function checkAdapter(tensors: AdapterTensors, modules: readonly AdaptedModule[], r: number): void {
  const shapes = loraShapes(modules, r);
  for (const [name, shape] of shapes) {
    const tensor = tensors.get(name);
    if (!tensor) throw misfit(`it has no tensor ${name}`);
    if (tensor.shape.length !== 2 || tensor.shape[0] !== shape[0] || tensor.shape[1] !== shape[1]) {
      throw misfit(`${name} has shape [${tensor.shape.join(", ")}] instead of [${shape.join(", ")}]`);
    }
  }
  for (const name of tensors.keys()) {
    if (!shapes.has(name)) throw misfit(`it has the tensor ${JSON.stringify(name)}, which no target module takes`);
  }
}

/**
 * Reads adapter_model.safetensors into float32, in the order of loraTensorNames. Errors: `data_loss`
 * when the file is damaged; `failed_precondition` when it is no adapter for these modules at rank `r`.
 */
export function readAdapter(
  file: Uint8Array,
  modules: readonly AdaptedModule[],
  r: number,
  fileName = "adapter_model.safetensors",
): AdapterTensors {
  const tensors: AdapterTensors = new Map();
  for (const [name, tensor] of readSafetensors(file, fileName).tensors) {
    tensors.set(name, { shape: tensor.shape, data: toFloat32(tensor) });
  }
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
    "choose an adapter that was trained on this model with the same target_modules, lora_r and rank_pattern";
  return new GradpoolError("failed_precondition", `the adapter does not fit: ${what}; ${advice}`);
}
