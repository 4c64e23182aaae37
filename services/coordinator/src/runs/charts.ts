import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Evaluation, ResumePoint, StepMetrics } from "@gradpool/rpc";
import type { ChartData } from "./charts-worker.js";
import type { Files } from "./files.js";

/** Plots and TensorBoard's event file, made in their own thread, since drawing takes a while (I10). */
export async function drawCharts(
  { steps, evaluations, title, startMs }: ChartData,
  signal: AbortSignal,
): Promise<Files> {
  const workerData: ChartData = { steps, evaluations, title, startMs };
  const worker = new Worker(new URL("./charts-worker.js", import.meta.url), { workerData });
  try {
    const [files] = (await once(worker, "message", { signal })) as [Files];
    return files;
  } finally {
    await worker.terminate();
  }
}

/**
 * When a run's first step would have begun had nothing ever paused, in ms since 1970: `startedAt`, less the time of the
 * steps and evaluations inherited from an earlier run.
 */
export function firstStepMs(
  startedAt: Date,
  resumedFrom: ResumePoint | undefined,
  steps: readonly StepMetrics[],
  evaluations: readonly Evaluation[],
): number {
  const stepsBefore = !resumedFrom || resumedFrom.weightsOnly ? 0 : resumedFrom.step;
  const before = [...steps, ...evaluations].filter(({ step }) => step <= stepsBefore);
  return startedAt.getTime() - 1000 * before.reduce((sum, { seconds }) => sum + seconds, 0);
}
