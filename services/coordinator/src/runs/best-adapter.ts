/** The adapter of the best evaluation, for runs with load_best_model_at_end. */
import { checkAdapter, type AdapterTensors } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { bestOf } from "./evaluations.js";
import type { PreparedRun } from "./preparation.js";

export interface BestAdapter {
  /** Steps it was trained for. */
  step: number;
  tensors: AdapterTensors;
}

/** A copy, since the optimizer changes the adapter in place. */
export function keptAdapter(step: number, adapter: AdapterTensors): BestAdapter {
  const tensors = new Map([...adapter].map(([name, { shape, data }]) => [name, { shape, data: data.slice() }]));
  return { step, tensors };
}

/** As the run was saved. Errors: `data_loss` when the checkpoint lacks it. */
export function resumedBest({ recipe, resumed, adapter, targets }: PreparedRun): BestAdapter | undefined {
  const best = bestOf(resumed?.evaluations ?? []);
  if (!recipe.loadBestModelAtEnd || !resumed || !best) return undefined;
  const { step } = best;
  if (step === resumed.steps.length) return keptAdapter(step, adapter);
  if (!resumed.best) {
    const message = `the checkpoint lacks the adapter of the best evaluation, after step ${step}; resume from another`;
    throw new GradpoolError("data_loss", message);
  }
  checkAdapter(resumed.best, targets, recipe.lora.r);
  return { step, tensors: resumed.best };
}
