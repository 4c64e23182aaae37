import { parentPort, workerData } from "node:worker_threads";
import { loadDrawing, PLOTS } from "@gradpool/plots";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";
import { EVENT_FILE, eventFile } from "@gradpool/tensorboard";
import type { Files } from "./files.js";

export interface ChartData {
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  title: string;
  /** When its first step began, since 1970. */
  startMs: number;
}

const { steps, evaluations, title, startMs } = workerData as ChartData;
const files: Files = new Map([[EVENT_FILE, eventFile(steps, evaluations, startMs)]]);
const { plotSvg, rasterize } = await loadDrawing();
for (const name of PLOTS) {
  const svg = plotSvg(name, title, [{ name: title, steps, evaluations }]);
  files.set(`${name}.svg`, new TextEncoder().encode(svg));
  files.set(`${name}.png`, rasterize(svg));
}
parentPort?.postMessage(files);
