/** What an output folder tells of its run: metrics.json when it is done, before that its newest checkpoint. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import { valuesOfJson } from "@gradpool/recipe";
import { z } from "zod";
import type { RunHistory } from "./run-history.js";

/** Of a million steps, and half as much again. */
const MAX_BYTES = 256 << 20;

/** JSON has no NaN: where there is no number, it stands for one. */
const number = z
  .number()
  .nullable()
  .transform((value) => value ?? NaN);

const stepSchema = z.object({
  step: z.int().positive(),
  loss: number,
  learning_rate: number,
  tokens: z.int().nonnegative(),
  seconds: number.optional(),
});
const evaluationSchema = z.object({ step: z.int().nonnegative(), loss: number });
const names = z.union([z.string(), z.array(z.string())]);

const metricsSchema = z.object({
  run_id: z.string(),
  model_id: z.string(),
  dataset: names,
  eval_dataset: names.default([]),
  recipe: z.record(z.string(), z.unknown()),
  steps: z.array(stepSchema),
  evaluations: z.array(evaluationSchema).default([]),
});

const stateSchema = z.object({
  recipe: z.record(z.string(), z.unknown()),
  receipt: z.object({ dataset: names, eval_dataset: names.default([]) }).catchall(z.unknown()),
  steps: z.array(stepSchema),
  evaluations: z.array(evaluationSchema).default([]),
  run: z.object({ run_id: z.string(), seconds: z.array(z.number()) }),
});
type State = z.infer<typeof stateSchema>;

/** Errors: `not_found` when there is no run in the folder, `data_loss` when its files cannot be used. */
export async function readRunFolder(folder: string): Promise<Omit<RunHistory, "name">> {
  const metrics = await readJson(join(folder, "metrics.json"), metricsSchema);
  const newest = await newestState(folder);
  if (metrics) {
    const { run_id: runId, model_id, dataset, eval_dataset, recipe, steps, evaluations } = metrics;
    const settings = { model_id, dataset, eval_dataset, ...valuesOfJson(recipe) };
    // A folder may hold checkpoints of several runs.
    const receipt = newest?.run.run_id === runId ? receiptOf(newest) : undefined;
    return { runId, settings, receipt, steps: steps.map(stepOf), evaluations };
  }
  if (!newest) {
    const advice = "name the folder that a run wrote into";
    throw new GradpoolError("not_found", `${folder} holds neither metrics.json nor a checkpoint; ${advice}`);
  }
  const { recipe, receipt, steps, evaluations, run } = newest;
  const settings = { dataset: receipt.dataset, eval_dataset: receipt.eval_dataset, ...valuesOfJson(recipe) };
  const timed = steps.map((step, i) => stepOf({ ...step, seconds: run.seconds[i] }));
  return { runId: run.run_id, settings, receipt: receiptOf(newest), steps: timed, evaluations };
}

function stepOf({ learning_rate: learningRate, seconds = NaN, ...step }: z.infer<typeof stepSchema>) {
  return { ...step, learningRate, seconds };
}

/** Hashes and runtime; the data's names are among the settings. */
function receiptOf({ receipt }: State): Record<string, unknown> {
  const { dataset: _dataset, eval_dataset: _evalDataset, ...hashes } = receipt;
  return hashes;
}

/** Of the checkpoint with most steps, recovery points included. */
async function newestState(folder: string): Promise<State | undefined> {
  const entries = await readdir(folder);
  const checkpoints = entries.flatMap((name) => {
    const [, step] = /^(?:checkpoint|\.recovery)-epoch\d+-step(\d+)$/.exec(name) ?? [];
    return step === undefined ? [] : [{ name, step: Number(step) }];
  });
  const [newest] = checkpoints.sort((a, b) => b.step - a.step);
  return newest && readJson(join(folder, newest.name, "trainer_state.json"), stateSchema);
}

/** Undefined when there is no such file. Errors: `data_loss` when it is not what its name says. */
async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  const unusable = (what: string, cause?: unknown) =>
    new GradpoolError("data_loss", `${path} cannot be used: ${what}; name another folder`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unusable("it is no JSON", cause);
  }
  const { data, error } = schema.safeParse(value);
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  throw unusable(`${issue?.path.join(".") || "it"}: ${issue?.message ?? "is wrong"}`);
}

async function readText(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size <= MAX_BYTES) return await file.readFile("utf8");
    throw new GradpoolError("data_loss", `${path} has ${size} bytes, more than metrics have; name another folder`);
  } catch (cause) {
    if (cause instanceof GradpoolError) throw cause;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new GradpoolError("permission_denied", `${path} cannot be read (${code}); mend that`, { cause });
  }
}
