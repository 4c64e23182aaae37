/**
 * The compute thread: ONNX Runtime's run() blocks the thread that calls it, so everything that touches it
 * is here, and the main thread's heartbeats keep going (I10). An error that is not a task's own ends
 * the thread, and with it the trainer.
 */
import { parentPort, workerData } from "node:worker_threads";
import type { AdaptedModule } from "@gradpool/adapter";
import { GradpoolError } from "@gradpool/errors";
import { BASE_PRECISIONS, type BasePrecision } from "@gradpool/models";
import { LostDeviceError, onnxRuntimeVersion, type Adapter } from "@gradpool/runtime";
import { writeSafetensors } from "@gradpool/safetensors";
import { AdapterShelf } from "./adapter-shelf.js";
import { batchOf } from "./batch-of.js";
import {
  post,
  type ComputeOptions,
  type ComputeRequest,
  type ComputeResult,
  type ComputeTask,
} from "./compute-messages.js";
import { SessionCache } from "./session-cache.js";

if (!parentPort) throw new Error("compute-worker runs as a worker thread only");
const port = parentPort;
const { models, ...session } = workerData as ComputeOptions;
const { gpu } = session;
const adapters = new AdapterShelf();
const sessions = new SessionCache({
  session,
  models,
  onLoading: (modelId) => post(port, { type: "loading", modelId }),
  onLoaded: (modelId, seconds) => post(port, { type: "loaded", modelId, seconds }),
});

function adapterOf(task: ComputeTask, targets: readonly AdaptedModule[]): Adapter {
  const ranked = targets.map((module) => ({ ...module, r: task.ownRanks[module.name] ?? task.recipe.lora.r }));
  const tensors = adapters.get(task.adapterId, ranked);
  return { tensors, scaling: task.loraScaling, ownScalings: new Map(Object.entries(task.ownScalings)) };
}

const variantOf = ({ recipe: { lora, dtype }, documentLengths }: ComputeTask) => ({
  ...{ useDora: lora.useDora, dtype },
  documents: documentLengths.length > 0,
});

function precisionOf({ recipe: { basePrecision: asked } }: ComputeTask): BasePrecision {
  // Coordinators that do not know the field leave it empty.
  const precision = BASE_PRECISIONS.find((known) => known === (asked || "float32"));
  const refuse = (why: string) => new GradpoolError("failed_precondition", `base_precision is ${asked}, ${why}`);
  if (!precision) throw refuse("which this trainer does not know; update it");
  if (precision === "float32" || gpu === undefined) return precision;
  throw refuse("but this trainer computes on a GPU; start one with --device cpu, or leave base_precision out");
}

async function evaluate(task: ComputeTask): Promise<ComputeResult> {
  const { session, source, targets } = await sessions.getForLoss(task.base, variantOf(task));
  const batch = batchOf(task, source.model.description, task.base.padRow);
  const adapter = adapterOf(task, targets);
  const startedAt = performance.now();
  const { lossSum, targetTokens } = await orReleased(session, session.run(batch, adapter));
  return { lossSum, targetTokens, gradients: new Uint8Array(), computeMs: performance.now() - startedAt };
}

async function compute(task: ComputeTask): Promise<ComputeResult> {
  const { lora, seed, modelDropout, gradientCheckpointing } = task.recipe;
  const basePrecision = precisionOf(task);
  const options = { dropout: lora.dropout > 0, modelDropout, gradientCheckpointing, basePrecision };
  const { session, source, targets } = await sessions.get(task.base, options, variantOf(task));
  const batch = batchOf(task, source.model.description, task.base.padRow);
  const { step, microBatch } = task;
  const adapter = adapterOf(task, targets);
  const startedAt = performance.now();
  const key = { probability: lora.dropout, seed, step, microBatch };
  const running = session.run(batch, adapter, key, task.lossScale || 1);
  const { lossSum, targetTokens, gradients } = await orReleased(session, running);
  const computeMs = performance.now() - startedAt;
  return { lossSum, targetTokens, gradients: writeSafetensors(gradients), computeMs };
}

/** The result of a session, which is given up where a GPU's memory is exhausted. */
async function orReleased<Result>(
  session: Parameters<SessionCache["release"]>[0],
  running: Promise<Result>,
): Promise<Result> {
  try {
    return await running;
  } catch (reason) {
    if (gpu && GradpoolError.from(reason).code === "resource_exhausted") await sessions.release(session);
    throw reason;
  }
}

async function run(requestId: number, task: ComputeTask): Promise<void> {
  let result: ComputeResult;
  try {
    result = await (task.evaluate ? evaluate(task) : compute(task));
  } catch (reason) {
    if (reason instanceof LostDeviceError) throw reason;
    const { code, message } = GradpoolError.from(reason);
    const stack = code === "internal" && reason instanceof Error ? reason.stack : undefined;
    return post(port, { type: "failed", requestId, code, message, stack });
  }
  post(port, { type: "done", requestId, result });
}

async function handle(request: ComputeRequest): Promise<void> {
  switch (request.type) {
    case "adapter":
      return adapters.put(request.adapterId, request.file);
    case "drop-adapter":
      return adapters.drop(request.adapterId);
    case "run":
      return run(request.requestId, request.task);
    case "close":
      await sessions[Symbol.asyncDispose]();
      return port.close();
  }
}

let previous = Promise.resolve();
port.on("message", (request: ComputeRequest) => {
  previous = previous.then(() => handle(request));
});
post(port, { type: "ready", onnxRuntimeVersion: onnxRuntimeVersion() });
