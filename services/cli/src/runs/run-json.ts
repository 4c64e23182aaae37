/** Messages as --json shows them: keys in snake_case, times in ISO 8601, states in lower case. */
import { recipeValues, snakeCase } from "@gradpool/recipe";
import type { Run, RunSpec, RunState, Trainer, TrainerState } from "@gradpool/rpc";

/** "running" and the like. */
export const stateName = (state: RunState) => state.replace(/^RUN_STATE_/, "").toLowerCase();

/** "active" and the like. */
export const trainerStateName = (state: TrainerState) => state.replace(/^TRAINER_STATE_/, "").toLowerCase();

export function runJson(run: Run): Record<string, unknown> {
  const { runId, spec, state, preparing, pausedBecause, waitingFor, notes, reports, stoppedEarly, ...others } = run;
  const { traceId, traceparent, livesWithoutProgress, begunInLives: _, ...rest } = others;
  const facts = {
    runId,
    state: stateName(state),
    preparing: preparing || undefined,
    pausedBecause: pausedBecause || undefined,
    waitingFor: waitingFor || undefined,
    notes: notes.length > 0 ? notes : undefined,
    reports: reports.length > 0 ? reports : undefined,
    stoppedEarly: stoppedEarly || undefined,
    traceId: traceId || undefined,
    traceparent: traceparent || undefined,
    livesWithoutProgress: livesWithoutProgress || undefined,
    ...(spec && specJson(spec)),
    ...rest,
  };
  return snakeKeys(facts) as Record<string, unknown>;
}

function specJson(spec: RunSpec) {
  const { runName, tags, reportTo, modelId, dataset, evalDataset, outputDir, recipe } = spec;
  const { resumeFrom, resumeIfExists, resumeWeightsOnly } = spec;
  const named = { runName: runName || undefined, tags: tags.length > 0 ? tags : undefined };
  const reported = { reportTo: reportTo.length > 0 ? reportTo : undefined };
  const resume = resumeFrom === "" ? {} : { resumeFrom, resumeIfExists, resumeWeightsOnly };
  const evaluation = evalDataset.length > 0 ? { evalDataset } : {};
  return {
    ...named,
    ...reported,
    modelId,
    dataset,
    ...evaluation,
    outputDir,
    ...resume,
    recipe: recipe && recipeValues(recipe),
  };
}

export function trainerJson(trainer: Trainer): Record<string, unknown> {
  const { state, stateReason, ...rest } = trainer;
  const facts = { ...rest, state: trainerStateName(state), stateReason: stateReason || undefined };
  return snakeKeys(facts) as Record<string, unknown>;
}

/** A message with keys in snake_case; dates become text. */
export function snakeKeys(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([key, inner]) => [snakeCase(key), snakeKeys(inner)]),
  );
}
