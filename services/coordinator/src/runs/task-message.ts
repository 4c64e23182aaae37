import { loraScaling } from "@gradpool/adapter";
import type { MicroBatch, MicroBatchTask } from "@gradpool/rpc";
import type { Task } from "../core/state.js";
import { longestTurnMs } from "./longest-turn.js";
import type { PreparedRun } from "./preparation.js";

/** The message that hands a task to a trainer. */
export function taskMessage(
  task: Task,
  { recipe, base, source, targets, ownScalings, allParameters }: PreparedRun,
  { rows, rowLength, ids, lengths, targetMask, documentLengths }: MicroBatch,
  lossScale: number,
): Omit<MicroBatchTask, "traceparent"> {
  // Where there are none to leave out, both share a session (I9).
  const modelDropout = recipe.modelDropout && source.model.dropouts.length > 0;
  return {
    taskId: task.taskId,
    runId: task.runId,
    step: task.step,
    microBatch: task.microBatch,
    adapterVersion: task.evaluation ? task.step : task.step - 1,
    base,
    recipe: { ...recipe, modelDropout },
    // Older trainers read these instead.
    ...{ loraR: recipe.lora.r, loraDropout: recipe.lora.dropout, useDora: recipe.lora.useDora, modelDropout },
    ...{ seed: recipe.seed, gradientCheckpointing: recipe.gradientCheckpointing, dtype: recipe.dtype },
    loraScaling: loraScaling(recipe.lora),
    rows,
    rowLength,
    ids,
    lengths,
    targetMask,
    documentLengths,
    evaluate: task.evaluation,
    lossScale,
    longestTurnMs: longestTurnMs(allParameters, recipe),
    ownRanks: Object.fromEntries(targets.flatMap(({ name, r }) => (r === undefined ? [] : [[name, r]]))),
    ownScalings: Object.fromEntries(ownScalings),
  };
}
