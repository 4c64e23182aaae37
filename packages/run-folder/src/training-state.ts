/** training_state.safetensors: what training needs besides the adapter. */
import type { AdapterTensors } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import type { AdamWState, Moments } from "@gradpool/optim";
import { readSafetensors, toFloat32, writeSafetensors, type FloatTensor } from "@gradpool/safetensors";

const MOMENTS = { exp_avg: "expAvg", exp_avg_sq: "expAvgSq" } as const;

export interface TrainingTensors {
  adapter: AdapterTensors;
  optimizer: AdamWState;
  /** The adapter of the best evaluation; undefined: there is none, or it is the adapter. */
  best: AdapterTensors | undefined;
}

/**
 * The file after `step` steps, each tensor in its parameter's shape: Adam's moments as "exp_avg.<tensor>" and
 * "exp_avg_sq.<tensor>", the best adapter as "best.<tensor>".
 */
export function trainingStateBytes({ adapter, optimizer, best }: TrainingTensors, step: number): Uint8Array {
  const tensors = new Map<string, FloatTensor>();
  for (const [name, moments] of optimizer.moments) {
    const shape = adapter.get(name)?.shape ?? [];
    for (const [kind, key] of Object.entries(MOMENTS)) tensors.set(`${kind}.${name}`, { shape, data: moments[key] });
  }
  for (const [name, tensor] of best ?? []) tensors.set(`best.${name}`, tensor);
  return writeSafetensors(tensors, { step: String(step) });
}

/** The optimizer's state after `step` steps, and the best adapter. `path`: named in errors. Errors: `data_loss`. */
export function readTrainingState(
  file: Uint8Array,
  step: number,
  path: string,
): Pick<TrainingTensors, "optimizer" | "best"> {
  const moments = new Map<string, Moments>();
  const best: AdapterTensors = new Map();
  for (const [name, tensor] of readSafetensors(file, path).tensors) {
    const [, kind = "", parameter = ""] = /^(exp_avg|exp_avg_sq|best)\.(.*)$/s.exec(name) ?? [];
    if (kind === "best") {
      best.set(parameter, { shape: tensor.shape, data: toFloat32(tensor) });
      continue;
    }
    const key = MOMENTS[kind as keyof typeof MOMENTS];
    if (!key) {
      throw new GradpoolError("data_loss", `${path} holds ${name}, which is not a moment of Adam's; use another`);
    }
    const known = moments.get(parameter) ?? { expAvg: new Float32Array(), expAvgSq: new Float32Array() };
    moments.set(parameter, { ...known, [key]: toFloat32(tensor) });
  }
  return { optimizer: { step, moments }, best: best.size > 0 ? best : undefined };
}
