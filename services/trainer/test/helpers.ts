import { modelPlaces } from "@gradpool/hub";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { initAdapter, writeAdapter } from "@gradpool/adapter";
import { openModel } from "@gradpool/model-source";
import { selectTargets, type LinearModule } from "@gradpool/models";
import type { MicroBatchTask } from "@gradpool/rpc";
import { createLogger, type Service } from "@gradpool/service-kit";
import { startTrainer as start } from "../src/trainer.js";
import { key } from "./key.js";

export const TINY_CODER = fileURLToPath(new URL("../../../../models/tiny-coder", import.meta.url));
export const GOLDEN = fileURLToPath(new URL("../../../../integration-tests/fixtures/golden", import.meta.url));

export const quiet = createLogger("trainer", { GRADPOOL_LOG_LEVEL: "silent" });

const source = await openModel(TINY_CODER);
export const targets: LinearModule[] = selectTargets(source.model.description, ["c_attn", "c_proj"]);

export const base = {
  modelId: TINY_CODER,
  modelHash: source.modelHash,
  targetModules: targets.map(({ name }) => name),
  padRow: false,
};

/** An adapter whose B is not zero, so that no gradient is zero. */
export function adapterFile(r: number, seed: number): Uint8Array<ArrayBuffer> {
  const tensors = initAdapter(targets, r, seed);
  for (const [name, { data }] of tensors) {
    if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i + seed) / 50));
  }
  return writeAdapter(tensors);
}

/** A micro-batch of rows with falling lengths. */
export function taskOf(taskId: string, changes: Partial<MicroBatchTask> = {}): MicroBatchTask {
  const { rows = 2, rowLength = 16 } = changes;
  const ids = Int32Array.from({ length: rows * rowLength }, (_, i) => (i * 37 + 11) % 4096);
  return {
    taskId,
    runId: "run",
    step: 1,
    microBatch: 0,
    adapterVersion: 0,
    base,
    loraScaling: 4,
    loraR: 8,
    loraDropout: 0,
    modelDropout: false,
    gradientCheckpointing: false,
    useDora: false,
    dtype: "float32",
    lossScale: 0,
    ownRanks: {},
    ownScalings: {},
    seed: 7,
    rows,
    rowLength,
    ids: new Uint8Array(ids.buffer),
    lengths: Array.from({ length: rows }, (_, row) => Math.max(1, rowLength - row)),
    targetMask: new Uint8Array(),
    documentLengths: [],
    evaluate: false,
    traceparent: "",
    // As an older coordinator without these fields sends it.
    recipe: undefined,
    longestTurnMs: 0,
    ...changes,
  };
}

export interface StartOptions {
  threads?: number;
  computeModule?: URL;
  onCrash?: () => void;
  trainerId?: string;
  log?: typeof quiet;
}

/** A trainer in this process, dialling these coordinators. */
export function startTrainer(addresses: string | string[], options: StartOptions = {}): Promise<Service> {
  const { threads = 1, trainerId = "trainer-1", log = quiet, computeModule } = options;
  const crash = () => {
    throw new Error("the compute thread died");
  };
  const config = {
    listen: "127.0.0.1:0",
    coordinatorAddresses: [addresses].flat(),
    trainerId,
    threads,
    device: { kind: "cpu" } as const,
    finishMs: 25_000,
    env: process.env,
    models: modelPlaces({ GRADPOOL_HOME: join(tmpdir(), "gradpool-no-cache") }),
  };
  return start(config, log, { key }, options.onCrash ?? crash, computeModule);
}
