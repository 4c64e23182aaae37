/** Messages between the main thread and the compute thread. Buffers are transferred, never copied. */
import type { ModelPlaces } from "@gradpool/hub";
import type { MessagePort } from "node:worker_threads";
import type { BaseModel, LoraRecipe, Recipe } from "@gradpool/rpc";
import type { ErrorCode } from "@gradpool/errors";
import type { SessionOptions } from "@gradpool/runtime";

/** One micro-batch to compute, with an adapter that the compute thread holds. */
export interface ComputeTask {
  base: BaseModel;
  /** As in the adapter's "adapter" message. */
  adapterId: number;
  /** How to compute: the fields of adapter, graph and seed count. */
  recipe: Recipe & { lora: LoraRecipe };
  /** Multiplies B·A·x. */
  loraScaling: number;
  /** Factor for the gradients; 0 and 1: unscaled. */
  lossScale: number;
  /** For modules whose own differ, by full name. */
  ownRanks: Readonly<Record<string, number>>;
  ownScalings: Readonly<Record<string, number>>;
  /** Determines the dropout masks, with the recipe's seed. */
  step: number;
  microBatch: number;
  /** B. */
  rows: number;
  /** S. */
  rowLength: number;
  /** Token ids [B, S], int32 little-endian. */
  ids: Uint8Array<ArrayBuffer>;
  /** Tokens of each row without padding [B]. */
  lengths: number[];
  /** Which ids count in the loss where they are targets [B, S], a byte each; empty: all. */
  targetMask: Uint8Array<ArrayBuffer>;
  /** Tokens of the documents that rows hold, row after row; empty: each row is one. */
  documentLengths: number[];
  /** Only the loss, without dropout. */
  evaluate: boolean;
}

export interface ComputeResult {
  /** Sum of the targets' negative log likelihoods, in nats. */
  lossSum: number;
  targetTokens: number;
  /** A safetensors file: one gradient per LoRA tensor, under the adapter's names; empty for an evaluation. */
  gradients: Uint8Array<ArrayBuffer>;
  /** Milliseconds of computing, without loading. */
  computeMs: number;
}

/** The compute thread's workerData. */
export interface ComputeOptions extends SessionOptions {
  /** Absolute folder for converted models. */
  models: ModelPlaces;
}

/** To the compute thread, which handles one message after the other. */
export type ComputeRequest =
  | { type: "adapter"; adapterId: number; file: Uint8Array<ArrayBuffer> }
  | { type: "drop-adapter"; adapterId: number }
  | { type: "run"; requestId: number; task: ComputeTask }
  | { type: "close" };

/** From the compute thread. `ready` comes first, `done` or `failed` once for each `run`. */
export type ComputeAnswer =
  | { type: "ready"; onnxRuntimeVersion: string }
  | { type: "loading"; modelId: string }
  | { type: "loaded"; modelId: string; seconds: number }
  | { type: "done"; requestId: number; result: ComputeResult }
  | { type: "failed"; requestId: number; code: ErrorCode; message: string; stack?: string | undefined };

/** Posts a message, transferring its large buffers. */
export function post(port: Pick<MessagePort, "postMessage">, message: ComputeRequest | ComputeAnswer): void {
  port.postMessage(message, buffersOf(message));
}

function buffersOf(message: ComputeRequest | ComputeAnswer): ArrayBuffer[] {
  switch (message.type) {
    case "adapter":
      return [message.file.buffer];
    case "run":
      return [message.task.ids.buffer];
    case "done":
      return [message.result.gradients.buffer];
    default:
      return [];
  }
}
