import { parentPort, workerData } from "node:worker_threads";
import { renderLossPlot } from "@gradpool/plots";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";

export type LossPlot = ReturnType<typeof renderLossPlot>;

export interface PlotData {
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  title: string;
}

const { steps, evaluations, title } = workerData as PlotData;
parentPort?.postMessage(renderLossPlot(steps, title, evaluations));
