import { parentPort, workerData } from "node:worker_threads";
import { renderLossPlot } from "@gradpool/plots";
import type { StepMetrics } from "@gradpool/rpc";

export type LossPlot = ReturnType<typeof renderLossPlot>;

const { steps, title } = workerData as { steps: StepMetrics[]; title: string };
parentPort?.postMessage(renderLossPlot(steps, title));
