/** A compute thread that dies of its first task, in the way that the task's model_id says. */
import { parentPort } from "node:worker_threads";
import { post, type ComputeRequest } from "../src/compute-messages.js";

if (!parentPort) throw new Error("dying-worker runs as a worker thread only");

const DEATHS: Record<string, () => void> = {
  throws: () => {
    throw new Error("what no task is at fault for");
  },
  "runs out of memory": () => {
    const kept: number[][] = [];
    for (;;) kept.push(Array.from({ length: 10_000 }, Math.random));
  },
  exits: () => process.exit(3),
};

parentPort.on("message", (request: ComputeRequest) => {
  if (request.type === "run") DEATHS[request.task.base.modelId]?.();
});
post(parentPort, { type: "ready", onnxRuntimeVersion: "0.0.0" });
