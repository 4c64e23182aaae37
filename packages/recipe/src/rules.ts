/** What must hold between several fields of a recipe, each of which is within its own bounds. */
import { GradpoolError } from "@gradpool/errors";
import type { Recipe } from "@gradpool/rpc";
import { fieldNamed, RECIPE_FIELDS, valueOf } from "./recipe.js";

function must(holds: boolean, field: string, value: unknown, bound: string): void {
  if (holds) return;
  throw new GradpoolError("invalid_argument", `${field} is ${String(value)}, but must be ${bound}`);
}

/** Errors: `invalid_argument`. */
export function checkRules(recipe: Recipe): void {
  checkColumns(recipe);
  checkSchedule(recipe);
  const { packing, packingStrategy } = recipe;
  must(packing || packingStrategy === "wrapped", "packing_strategy", packingStrategy, "left out without packing");
  const { earlyStoppingPatience: patience, earlyStoppingThreshold: least } = recipe;
  const { evalFraction, evalSplit } = recipe;
  must(evalFraction === 0 || evalSplit === "", "eval_split", evalSplit, "left out with eval_fraction");
  must(least === 0 || patience > 0, "early_stopping_threshold", least, "left out without early_stopping_patience");
}

function checkColumns({ promptColumn, completionColumn, messagesColumn, chatDate }: Recipe): void {
  const together = "given together with prompt_column, or not at all";
  must((promptColumn === "") === (completionColumn === ""), "completion_column", `"${completionColumn}"`, together);
  const alone = messagesColumn === "" || promptColumn === "";
  must(alone, "messages_column", `"${messagesColumn}"`, "unset with prompt_column");
  const isDay = chatDate === "" || (/^\d{4}-\d\d-\d\d$/.test(chatDate) && !Number.isNaN(Date.parse(chatDate)));
  must(isDay, "chat_date", `"${chatDate}"`, "a day such as 2026-01-31");
}

function checkSchedule(recipe: Recipe): void {
  const { lrScheduler, warmupSteps, warmupRatio, numCycles, lrEnd, learningRate } = recipe;
  must(warmupRatio === 0 || warmupSteps === 0, "warmup_ratio", warmupRatio, "0 when warmup_steps is given");
  if (lrScheduler === "cosine_with_restarts") {
    must(numCycles >= 1, "num_cycles", numCycles, "a whole number of at least 1");
  } else {
    onlyFor("cosine_with_restarts", "num_cycles", numCycles);
  }
  if (lrScheduler === "polynomial") {
    must(lrEnd < learningRate, "lr_end", lrEnd, "at least 0 and below learning_rate");
  } else {
    onlyFor("polynomial", "power", recipe.power);
    onlyFor("polynomial", "lr_end", lrEnd);
  }
}

/** A client that does not know the field sends 0, not the default. */
function onlyFor(scheduler: string, field: string, value: number): void {
  const ignored = value === 0 || value === fieldNamed(field)?.default;
  must(ignored, field, value, `left out: it is for lr_scheduler ${scheduler}`);
}

/** Errors: `invalid_argument` for rows longer than the model has positions. */
export function checkPositions({ maxLength }: Recipe, maxPositions: number): void {
  if (maxLength <= maxPositions) return;
  const problem = `max_length ${maxLength} is beyond the model's ${maxPositions} positions`;
  throw new GradpoolError("invalid_argument", `${problem}; lower max_length`);
}

/** The first field that asks for what only evaluations give; undefined: none does. */
export function evaluationField(recipe: Recipe): string | undefined {
  const asks = RECIPE_FIELDS.find(
    (field) => field.readBy.includes("evaluation") && valueOf(recipe, field) !== field.default,
  );
  return asks?.name;
}
