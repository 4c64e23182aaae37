/** What of a run MLflow is told, under the names that transformers' MLflowCallback uses. */
import { recipeValues } from "@gradpool/recipe";
import { RunState, type Evaluation, type Run, type RunSpec, type StepMetrics } from "@gradpool/rpc";
import type { MlflowMetric } from "./mlflow-client.js";

/** TrainingArguments' names of fields that are called otherwise here. */
const NAMES: Readonly<Record<string, string>> = {
  epochs: "num_train_epochs",
  batch_size: "per_device_train_batch_size",
  gradient_accumulation: "gradient_accumulation_steps",
  lr_scheduler: "lr_scheduler_type",
  save_every: "save_steps",
  keep_last_n_checkpoints: "save_total_limit",
  eval_every: "eval_steps",
};

/** MLflow refuses longer values; transformers leaves them out, too. */
const MAX_VALUE_CHARACTERS = 6_000;

/** The metric by which a report knows which steps have arrived, and the one for evaluations. */
export const LOSS = "loss";
export const EVAL_LOSS = "eval_loss";

export function paramsOf(spec: RunSpec): Record<string, string> {
  const values: Record<string, unknown> = {
    model_name_or_path: spec.modelId,
    dataset_name: spec.dataset,
    ...(spec.evalDataset.length > 0 && { eval_dataset: spec.evalDataset }),
    output_dir: spec.outputDir,
    ...(spec.recipe && recipeValues(spec.recipe)),
  };
  const params = Object.entries(values).map(([name, value]) => [NAMES[name] ?? name, textOf(value)] as const);
  return Object.fromEntries(params.filter(([, text]) => text.length <= MAX_VALUE_CHARACTERS));
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(",");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Identifies the run there. */
export const RUN_ID_TAG = "gradpool.run_id";

export const tagsOf = ({ runId, spec }: Run): Record<string, string> => ({
  [RUN_ID_TAG]: runId,
  "gradpool.output_dir": spec?.outputDir ?? "",
  "gradpool.tags": spec?.tags.join(",") ?? "",
  "mlflow.source.name": "gradpool",
});

/** `timestamp`: in ms since 1970. The loss comes last: where it has arrived, so have the others. */
export function metricsOfStep(
  { step, loss, gradNorm, learningRate, tokens, seconds }: StepMetrics,
  timestamp: number,
): MlflowMetric[] {
  const values = {
    grad_norm: gradNorm,
    learning_rate: learningRate,
    ...(seconds > 0 && { tokens_per_second: tokens / seconds }),
    [LOSS]: loss,
  };
  return Object.entries(values).map(([key, value]) => ({ key, value, timestamp, step }));
}

export const metricsOfEvaluation = ({ step, loss, perplexity }: Evaluation, timestamp: number): MlflowMetric[] =>
  Object.entries({ eval_perplexity: perplexity, [EVAL_LOSS]: loss }).map(([key, value]) => ({
    key,
    value,
    timestamp,
    step,
  }));

/** MLflow's RunStatus for how a run ended. */
export function statusOf({ state }: Run): string {
  if (state === RunState.RUN_STATE_COMPLETED) return "FINISHED";
  return state === RunState.RUN_STATE_CANCELLED ? "KILLED" : "FAILED";
}
