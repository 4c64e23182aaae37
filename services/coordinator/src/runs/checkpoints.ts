import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import type { CheckpointUpdate, Cursor, SaveHeader, SaveResponse } from "@gradpool/rpc";
import { checkpointName, placeOf, recoveryName, type Place } from "@gradpool/run-folder";
import type { Services } from "../services.js";
import { checkpointFiles, recoveryFiles, resultFiles, type Files, type RunFacts } from "./files.js";
import { LiveMetrics, metricsFiles } from "./live-metrics.js";
import { isAwayOrFull, type Outages } from "./outages.js";
import { saveFiles } from "./save-files.js";
import type { Training } from "./training.js";

export interface CheckpointsOptions {
  services: Services;
  outages: Outages;
  signal: AbortSignal;
  /** A recovery point is due when this much time has passed since the last save; 0: never. */
  recoveryMs: number;
  /** A checkpoint was saved or removed. */
  onCheckpoint(checkpoint: CheckpointUpdate): void;
  /** A save failed for good. */
  onFailed(error: unknown): void;
}

/**
 * A run's saves, one at a time: checkpoints that its recipe asks for, and between them recovery points,
 * from which it resumes after a crash. While a save waits for disk space, the run is paused (see Outages).
 */
export class Checkpoints {
  readonly #options: CheckpointsOptions;
  #saving: Promise<void> | undefined;
  #savedAt = performance.now();
  #savedStep: number;
  /** Step of the last checkpoint since the coordinator started, recovery points not counted. */
  #checkpointStep = 0;
  readonly #live: LiveMetrics;
  #hasResult = false;

  constructor(options: CheckpointsOptions, savedStep: number) {
    this.#options = options;
    this.#savedStep = savedStep;
    this.#live = new LiveMetrics(options.services.checkpointStore);
  }

  /** After a step: saves a checkpoint if one `isDue`, once the previous save is done, or else a recovery point if due. */
  async afterStep(isDue: boolean, facts: RunFacts, training: Training, cursor: Cursor): Promise<void> {
    const { recoveryMs, signal } = this.#options;
    this.#live.afterStep(facts, training, signal);
    if (isDue) {
      await this.#saving;
      this.#checkpointStep = training.version;
      this.#start(() => this.#saveCheckpoint(facts, checkpointFiles(facts, training, cursor)), training);
    } else if (recoveryMs > 0 && performance.now() - this.#savedAt >= recoveryMs) {
      this.recover(facts, training, cursor);
    }
  }

  /** Saves a recovery point, unless a save is in progress or nothing happened since the last one. */
  recover(facts: RunFacts, training: Training, cursor: Cursor): void {
    if (this.#saving || this.#options.recoveryMs === 0 || training.version === this.#savedStep) return;
    const files = recoveryFiles(facts, training, cursor);
    this.#start(async () => void (await this.#save(headerOf(facts, recoveryName, 0), files)), training);
  }

  /** Writes the result, when all saves are done; a run resumed after its last step saves its checkpoint here. */
  async finish(facts: RunFacts, training: Training, cursor: Cursor): Promise<void> {
    if (this.#checkpointStep < training.version) await this.afterStep(true, facts, training, cursor);
    await this.#saving;
    await this.#live.settled();
    const metrics = await metricsFiles(facts, training, this.#options.signal);
    await this.#saveResult(facts, new Map([...resultFiles(facts, training), ...metrics]));
    this.#hasResult = true;
  }

  /** Adds charts to the result. Errors: those of CheckpointStoreService.Save. */
  async addCharts(facts: RunFacts, charts: Files): Promise<void> {
    await this.#saveResult(facts, charts);
  }

  /** Leaves the metrics of a run that ends without a result, as far as that can be done now. */
  async saveMetrics(facts: RunFacts, training: Training, signal: AbortSignal): Promise<void> {
    if (!this.#hasResult) await this.#live.last(facts, training, signal);
  }

  /** Saves the last step's checkpoint of a run that failed, unless there is one; a failure of that is the last one's. */
  async keepLast(facts: RunFacts, training: Training, cursor: Cursor): Promise<void> {
    await this.#saving;
    if (this.#checkpointStep < training.version) await this.afterStep(true, facts, training, cursor);
    await this.#saving;
  }

  /** Waits until nothing is being written. */
  async settled(): Promise<void> {
    await this.#saving;
    await this.#live.settled();
  }

  /** `save` copies its files at once: the next step changes the tensors. */
  #start(save: () => Promise<void>, { version }: Training): void {
    this.#savedAt = performance.now();
    this.#savedStep = version;
    const saving = save()
      .catch((error: unknown) => this.#options.onFailed(error))
      .finally(() => {
        if (this.#saving === saving) this.#saving = undefined;
      });
    this.#saving = saving;
  }

  /** The store cannot tell which checkpoint is best: if one is, old ones are removed here. */
  async #saveCheckpoint(facts: RunFacts, files: Files): Promise<void> {
    const { keepLastNCheckpoints: keepLastN } = facts.prepared.recipe;
    const header = headerOf(facts, checkpointName, facts.best ? 0 : keepLastN);
    const { epoch, step } = header;
    const { path, removed } = await this.#save(header, files);
    this.#options.onCheckpoint({ path, step, epoch, removed: false });
    if (facts.best && keepLastN > 0) removed.push(...(await this.#removeOld(facts, facts.best.step, keepLastN)));
    for (const gone of removed) {
      this.#options.onCheckpoint({ path: gone, ...placeOf(basename(gone)), removed: true });
    }
  }

  /** Removes all but the run's newest and its best; what cannot be removed now is removed at the next save. */
  async #removeOld({ prepared, runId, ownerEpoch }: RunFacts, bestStep: number, keepLastN: number): Promise<string[]> {
    const { services, signal } = this.#options;
    const { outputDir } = prepared;
    const asked = { outputDir, runId, ownerEpoch };
    const removed: string[] = [];
    try {
      const { checkpoints } = await services.checkpointStore.list({ outputDir }, { signal });
      const runs = [runId, ...continuedRunIdsOf(prepared)];
      // Newest first.
      const own = checkpoints.filter((found) => runs.includes(found.runId) && !found.recovery && found.damage === "");
      for (const { name, path, step } of own.slice(keepLastN)) {
        if (step === bestStep) continue;
        await services.checkpointStore.delete({ ...asked, name, requestId: randomUUID() }, { signal });
        removed.push(path);
      }
    } catch (error) {
      if (signal.aborted) throw error;
    }
    return removed;
  }

  async #saveResult(facts: RunFacts, files: Files): Promise<void> {
    await this.#save(
      headerOf(facts, () => "", 0),
      files,
    );
  }

  #save(header: Omit<SaveHeader, "files">, files: Files): Promise<SaveResponse> {
    const { services, outages, signal } = this.#options;
    const save = () => saveFiles(services.checkpointStore, header, files, signal);
    return outages.waitOut("checkpoint-store", save, signal, isAwayOrFull);
  }
}

function headerOf(
  { runId, ownerEpoch, prepared, steps }: RunFacts,
  nameOf: (place: Place) => string,
  keepLastN: number,
): Omit<SaveHeader, "files"> {
  const { step, epoch } = steps.at(-1) ?? { step: 0, epoch: 0 };
  const { outputDir } = prepared;
  const place = { outputDir, runId, ownerEpoch, name: nameOf({ epoch, step }), epoch, step };
  return { ...place, keepLastN, continuedRunIds: continuedRunIdsOf(prepared), unfinished: false };
}

const continuedRunIdsOf = ({ resumed }: RunFacts["prepared"]) => resumed?.continuedRunIds ?? [];
