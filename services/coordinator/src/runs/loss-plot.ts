import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { LossPlot, PlotData } from "./loss-plot-worker.js";
import type { Files } from "./files.js";

/** loss.svg and loss.png, drawn in a thread of their own, since drawing takes a while (I10). */
export async function drawLossPlot(workerData: PlotData, signal: AbortSignal): Promise<Files> {
  const worker = new Worker(new URL("./loss-plot-worker.js", import.meta.url), { workerData });
  try {
    const [plot] = (await once(worker, "message", { signal })) as [LossPlot];
    return new Map([
      ["loss.svg", new TextEncoder().encode(plot.svg)],
      ["loss.png", plot.png],
    ]);
  } finally {
    await worker.terminate();
  }
}
