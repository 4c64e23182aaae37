import { parentPort } from "node:worker_threads";
import { loadDrawing, PLOTS } from "@gradpool/plots";
import type { Evaluation, StepMetrics } from "@gradpool/rpc";
import type { Files } from "./files.js";

export interface ChartData {
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
  title: string;
}

const { plotSvg, rasterize } = await loadDrawing();
parentPort?.on("message", ({ steps, evaluations, title }: ChartData) => {
  const files: Files = new Map();
  for (const name of PLOTS) {
    const svg = plotSvg(name, title, [{ name: title, steps, evaluations }]);
    files.set(`${name}.svg`, new TextEncoder().encode(svg));
    files.set(`${name}.png`, rasterize(svg));
  }
  parentPort?.postMessage(files);
});
