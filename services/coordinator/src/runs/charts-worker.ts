import { parentPort, workerData } from "node:worker_threads";
import { loadDrawing, PLOTS } from "@gradpool/plots";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";
import type { Files } from "./files.js";

export interface ChartData {
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  title: string;
}

const { steps, evaluations, title } = workerData as ChartData;
const files: Files = new Map();
const { plotSvg, rasterize } = await loadDrawing();
for (const name of PLOTS) {
  const svg = plotSvg(name, title, [{ name: title, steps, evaluations }]);
  files.set(`${name}.svg`, new TextEncoder().encode(svg));
  files.set(`${name}.png`, rasterize(svg));
}
parentPort?.postMessage(files);
