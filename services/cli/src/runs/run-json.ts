/** Messages as --json shows them: keys in snake_case, times in ISO 8601, states in lower case. */
import type { Run, RunSpec, RunState } from "@gradpool/rpc";
import { flagValues } from "../recipe-flags.js";

/** "running" and the like. */
export const stateName = (state: RunState) => state.replace(/^RUN_STATE_/, "").toLowerCase();

export function runJson(run: Run): Record<string, unknown> {
  const { runId, spec, state, preparing, ...rest } = run;
  const facts = {
    runId,
    state: stateName(state),
    preparing: preparing || undefined,
    ...(spec && specJson(spec)),
    ...rest,
  };
  return snakeKeys(facts) as Record<string, unknown>;
}

function specJson({ modelId, dataset, outputDir, recipe }: RunSpec) {
  return { modelId, dataset, outputDir, recipe: recipe && flagValues(recipe) };
}

/** A message with keys in snake_case; dates become text. */
export function snakeKeys(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([key, inner]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), snakeKeys(inner)]),
  );
}
