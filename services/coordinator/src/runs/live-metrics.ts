/** metrics.json and TensorBoard's file while a run trains: there to look at, whatever becomes of it. */
import { setImmediate } from "node:timers/promises";
import { concat, type CheckpointStoreServiceService, type Client } from "@gradpool/rpc";
import { METRICS_FILE, metricsPieces } from "@gradpool/run-folder";
import { EVENT_FILE, eventRecords } from "@gradpool/tensorboard";
import { metricsFactsOf, type Files, type RunFacts } from "./files.js";
import { saveFiles } from "./save-files.js";
import type { Training } from "./training.js";

/** The shortest time between two writes. */
const INTERVAL_MS = 5_000;
/** Writing takes at most this share of the time: longer files are written less often. */
const MAX_SHARE = 0.01;
/** The longest the event loop is held (I10). */
const SLICE_MS = 2;

/**
 * Writes the files now and then, while steps and saves continue. A write that fails is tried again when it is next due,
 * and never holds up the run.
 */
export class LiveMetrics {
  readonly #store: Client<CheckpointStoreServiceService>;
  #writing: Promise<void> | undefined;
  #dueMs = performance.now() + INTERVAL_MS;
  #writtenSteps = 0;

  constructor(store: Client<CheckpointStoreServiceService>) {
    this.#store = store;
  }

  afterStep(facts: RunFacts, training: Training, signal: AbortSignal): void {
    if (this.#writing || performance.now() < this.#dueMs) return;
    this.#writing = this.#write(facts, training, signal).finally(() => (this.#writing = undefined));
  }

  /** Waits until nothing is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Writes what a run has made that ends without a result. */
  async last(facts: RunFacts, training: Training, signal: AbortSignal): Promise<void> {
    await this.#writing;
    if (facts.steps.length > this.#writtenSteps) await this.#write(facts, training, signal);
  }

  async #write(facts: RunFacts, training: Training, signal: AbortSignal): Promise<void> {
    const beganMs = performance.now();
    const { runId, ownerEpoch, prepared, steps } = facts;
    const { step, epoch } = steps.at(-1) ?? { step: 0, epoch: 0 };
    const place = { outputDir: prepared.outputDir, runId, ownerEpoch, name: "", epoch, step };
    const header = { ...place, unfinished: true };
    try {
      const files = await metricsFiles(facts, training, signal);
      await saveFiles(this.#store, { ...header, keepLastN: 0, continuedRunIds: [] }, files, signal);
      this.#writtenSteps = steps.length;
    } catch {
      // Tried again when it is due.
    }
    const nowMs = performance.now();
    this.#dueMs = nowMs + Math.max(INTERVAL_MS, (nowMs - beganMs) / MAX_SHARE);
  }
}

/** metrics.json and TensorBoard's file of the run so far. Errors: the signal's reason. */
export async function metricsFiles(facts: RunFacts, training: Training, signal: AbortSignal): Promise<Files> {
  const { steps, evaluations, startMs } = facts;
  return new Map([
    [METRICS_FILE, await collected(metricsPieces(metricsFactsOf(facts, training)), signal)],
    [EVENT_FILE, await collected(eventRecords(steps, evaluations, startMs), signal)],
  ]);
}

/** The pieces in one, made in slices that let others work. */
async function collected(pieces: Iterable<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let sliceMs = performance.now();
  for (const piece of pieces) {
    parts.push(piece);
    if (performance.now() - sliceMs < SLICE_MS) continue;
    await setImmediate();
    signal.throwIfAborted();
    sliceMs = performance.now();
  }
  return concat(parts);
}
