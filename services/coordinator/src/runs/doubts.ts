/** What is wrong with a trainer's result, though it has the right form. */
import type { AdapterTensors } from "@gradpool/adapter";
import type { TaskResult } from "../core/state.js";

export type Doubt = Pick<TaskResult, "doubt">;

/** Nats a target; float32 logits of a model that diverges give thousands. */
const MOST_LOSS = 1e6;
/** Rounding may bring a loss of 0 below it. */
const LEAST_LOSS = -1e-3;

/** Errors: a plain one for a loss that no model has: it would spoil charts and averages. */
export function requirePlausible(lossSum: number, targetTokens: number): void {
  const loss = lossSum / Math.max(1, targetTokens);
  if (!Number.isFinite(lossSum) || (loss >= LEAST_LOSS && loss <= MOST_LOSS)) return;
  throw new Error(`its loss is ${loss.toPrecision(3)} a target`);
}

/** What only a run that diverges has, or a trainer that computes wrong. Gradients of a scaled loss may overflow. */
export function doubtOf(lossSum: number, gradients: AdapterTensors, lossScale: number): string | undefined {
  if (!Number.isFinite(lossSum)) return `its loss is ${lossSum}`;
  return lossScale <= 1 && !areFinite(gradients) ? "its gradients are not finite" : undefined;
}

/** One infinity or NaN makes the sum NaN. By index: iterating over values takes five times as long. */
export function areFinite(tensors: AdapterTensors): boolean {
  let sum = 0;
  for (const { data } of tensors.values()) {
    for (let i = 0; i < data.length; i++) sum += 0 * (data[i] as number);
  }
  return sum === 0;
}
