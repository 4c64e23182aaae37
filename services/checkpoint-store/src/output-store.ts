import { GradpoolError } from "@gradpool/errors";
import type { Checkpoint, SaveHeader } from "@gradpool/rpc";
import {
  ADAPTER_CONFIG_FILE,
  checkCheckpointName,
  isRecoveryName,
  manifestBytes,
  METRICS_FILE,
  METRICS_HEAD_BYTES,
  runIdOfMetrics,
} from "@gradpool/run-folder";
import type { Logger } from "@gradpool/service-kit";
import type { ArtifactStore, Claimant, LoadedPiece, LoadSelection } from "./artifact-store.js";
import { CheckpointReader } from "./checkpoint-reader.js";
import { olderOwner } from "./claims.js";
import { DeleteRequests } from "./delete-requests.js";
import { FolderWork } from "./folder-work.js";
import { checkRunId } from "./names.js";
import type { OutputFolders, Stage } from "./output-folders.js";
import { checkSaveHeader } from "./save-header.js";
import { surplus } from "./surplus.js";
import { writeUpload } from "./upload.js";

type Saved = Awaited<ReturnType<ArtifactStore["save"]>>;

/** Checkpoints and results in output folders, wherever those are. */
export class OutputStore implements ArtifactStore {
  readonly #folders: OutputFolders;
  readonly #now: () => Date;
  readonly #reader: CheckpointReader;
  /** Serializes changes to an output folder. */
  readonly #work: FolderWork;
  readonly #deletes = new DeleteRequests();
  readonly #saves = new Set<Promise<unknown>>();

  constructor(folders: OutputFolders, now: () => Date, log: Logger) {
    this.#folders = folders;
    this.#now = now;
    this.#work = new FolderWork((error, folder) => folders.explain(error, folder), log);
    this.#reader = new CheckpointReader(folders, this.#work, log);
  }

  async claim(outputDir: string, claimant: Claimant, keepResult: boolean): Promise<string> {
    const folder = this.#folders.nameOf(outputDir);
    checkRunId(claimant.runId);
    await this.#work.alone(folder, async () => {
      if (keepResult) await this.#refuseResult(folder, claimant.runId);
      await this.#take(folder, claimant);
    });
    return folder;
  }

  /** Errors: `failed_precondition` when the folder holds an adapter that the run did not put there. */
  async #refuseResult(folder: string, runId: string): Promise<void> {
    if (!(await this.#folders.head(folder, ADAPTER_CONFIG_FILE, 0))) return;
    const metrics = await this.#folders.head(folder, METRICS_FILE, METRICS_HEAD_BYTES);
    const owner = metrics && runIdOfMetrics(metrics);
    if (owner === runId) return;
    const problem = `output_dir ${folder} holds ${owner === undefined ? "an adapter" : `the result of run ${owner}`}`;
    const advice = "choose another --output_dir, or give --overwrite_output_dir to replace it";
    throw new GradpoolError("failed_precondition", `${problem}; ${advice}`);
  }

  async release(outputDir: string, claimant: Claimant): Promise<void> {
    const folder = this.#folders.nameOf(outputDir);
    await this.#work.alone(folder, () => this.#folders.release(folder, claimant));
  }

  async save(header: SaveHeader, data: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Saved> {
    checkSaveHeader(header);
    const saving = this.#save(this.#folders.nameOf(header.outputDir), header, data, signal);
    this.#saves.add(saving);
    try {
      return await saving;
    } finally {
      this.#saves.delete(saving);
    }
  }

  async #save(
    folder: string,
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Saved> {
    const { again, stage } = await this.#work.alone(folder, async () => {
      const { again } = await this.#take(folder, header);
      try {
        return { again, stage: await this.#folders.stage(folder, header, signal) };
      } catch (error) {
        if (!again) await this.#work.tidy(folder, () => this.#folders.release(folder, header));
        throw error;
      }
    });
    try {
      return await this.#work.explained(folder, () => this.#fill(stage, folder, header, data, signal));
    } finally {
      await this.#work.tidy(folder, () => stage.end());
      // A run that did not claim the folder before does not keep it.
      if (!again) await this.#work.tidy(folder, () => this.release(folder, header));
    }
  }

  async #fill(
    stage: Stage,
    folder: string,
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Saved> {
    const { name, runId, epoch, step, ownerEpoch = 0 } = header;
    const files = await writeUpload((file) => stage.create(file), header.files, data, signal);
    signal.throwIfAborted();
    const isResult = name === "";
    const manifest = isResult
      ? undefined
      : manifestBytes({ runId, epoch, step, ownerEpoch, savedAt: this.#now(), files });
    return this.#work.alone(folder, async () => {
      await this.#folders.checkHeld(folder, header);
      await stage.publish(manifest);
      // It is saved: a failure from here on must not look like a failed save.
      await this.#work.tidy(folder, () => stage.removeReplaced());
      if (!header.unfinished) await this.#work.tidy(folder, () => this.#removeRecoveryPoints(folder, name));
      const removed: string[] = [];
      await this.#work.tidy(folder, () => this.#removeOld(folder, header, removed));
      return { path: isResult ? folder : `${folder}/${name}`, removed };
    });
  }

  async #take(folder: string, claimant: Claimant): Promise<{ again: boolean }> {
    const { again, unclean } = await this.#folders.take(folder, claimant);
    if (!again) await this.#refuseOlder(folder, claimant);
    if (unclean) await this.#work.tidy(folder, () => this.#folders.clearLeftovers(folder));
    return { again };
  }

  /** A newer owner of the run has already released the folder: what it saved is there. Errors: `aborted`. */
  async #refuseOlder(folder: string, claimant: Claimant): Promise<void> {
    const { runId, ownerEpoch = 0 } = claimant;
    if (ownerEpoch === 0) return;
    const saved = (await this.#folders.findAll(folder)).map(({ manifest }) => manifest);
    const newest = Math.max(...saved.map((manifest) => (manifest?.runId === runId ? manifest.ownerEpoch : 0)));
    if (newest <= ownerEpoch) return;
    await this.#work.tidy(folder, () => this.#folders.release(folder, claimant));
    throw olderOwner(folder, claimant, newest);
  }

  /** All but `kept`, of any run: a newer save replaces them. */
  async #removeRecoveryPoints(folder: string, kept: string): Promise<void> {
    for (const name of await this.#folders.names(folder)) {
      if (isRecoveryName(name) && name !== kept) await this.#folders.remove(folder, name);
    }
  }

  /** keep_last_n. */
  async #removeOld(folder: string, header: SaveHeader, removed: string[]): Promise<void> {
    if (header.keepLastN <= 0) return;
    for (const { name } of surplus(await this.#folders.findAll(folder), header)) {
      await this.#folders.remove(folder, name);
      removed.push(`${folder}/${name}`);
    }
  }

  load(outputDir: string, selection: LoadSelection, signal: AbortSignal): AsyncIterable<LoadedPiece> {
    return this.#reader.load(this.#folders.nameOf(outputDir), selection, signal);
  }

  async list(outputDir: string): Promise<Checkpoint[]> {
    return this.#reader.list(this.#folders.nameOf(outputDir));
  }

  async verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]> {
    return this.#reader.verify(this.#folders.nameOf(outputDir), name, signal);
  }

  async remove(outputDir: string, name: string, requestId: string, claimant?: Claimant): Promise<void> {
    const folder = this.#folders.nameOf(outputDir);
    checkCheckpointName(name);
    await this.#deletes.once(requestId, `${folder}/${name}`, () =>
      this.#work.alone(folder, async () => {
        if (claimant) await this.#folders.refuseOlder(folder, claimant);
        await this.#reader.require(folder, name);
        await this.#folders.remove(folder, name);
      }),
    );
  }

  /** Waits until ended saves have cleaned up, then releases all folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#saves);
    for (const [folder, claimant] of this.#folders.taken) {
      await this.#work.tidy(folder, () => this.release(folder, claimant));
    }
    await this.#folders.close();
  }
}
