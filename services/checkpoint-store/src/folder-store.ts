import type { Checkpoint, SaveFile, SaveHeader } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import type { ArtifactStore, LoadedPiece, LoadSelection } from "./artifact-store.js";
import { openListed } from "./checkpoint-folder.js";
import { CheckpointReader } from "./checkpoint-reader.js";
import { Claims } from "./claims.js";
import { DeleteRequests } from "./delete-requests.js";
import { explain } from "./errors.js";
import { ensureFolder, removeTree, writeFileSynced, type FileSystem } from "./file-system.js";
import { findAll, findNamed } from "./found.js";
import { FolderWork } from "./folder-work.js";
import { manifestBytes, type ManifestFile } from "./manifest.js";
import { checkCheckpointName, checkOutputDir, checkRunId, MANIFEST, stageName } from "./names.js";
import { clearLeftovers, publish, removeCheckpoint, removeRecoveryPoints } from "./output-folder.js";
import { checkSaveHeader } from "./save-header.js";
import { surplus } from "./surplus.js";
import { writeUpload } from "./upload.js";

/** Checkpoints and results in folders of this machine; see output-folder.ts for how they stay whole (I5). */
export class FolderStore implements ArtifactStore {
  readonly #fs: FileSystem;
  readonly #now: () => Date;
  readonly #claims: Claims;
  readonly #reader: CheckpointReader;
  /** Whatever renames or removes in an output folder does so alone. */
  readonly #work: FolderWork;
  /** Stages that running calls write to. */
  readonly #active = new Set<string>();
  readonly #deletes = new DeleteRequests();
  readonly #saves = new Set<Promise<unknown>>();

  constructor(fs: FileSystem, now: () => Date, log: Logger) {
    this.#fs = fs;
    this.#now = now;
    this.#work = new FolderWork(explain, log);
    this.#claims = new Claims(fs);
    const source = {
      findAll: (folder: string) => findAll(fs, folder),
      findNamed: (folder: string, name: string) => findNamed(fs, folder, name),
      open: (_: string, location: string, file: ManifestFile) => openListed(fs, location, file),
    };
    this.#reader = new CheckpointReader(source, this.#work, log);
  }

  async claim(outputDir: string, runId: string): Promise<string> {
    const folder = checkOutputDir(outputDir);
    checkRunId(runId);
    await this.#work.alone(folder, async () => {
      await ensureFolder(this.#fs, folder);
      await this.#claims.take(folder, runId);
      await clearLeftovers(this.#fs, folder, this.#active);
    });
    return folder;
  }

  async release(outputDir: string, runId: string): Promise<void> {
    const folder = checkOutputDir(outputDir);
    await this.#work.alone(folder, () => this.#claims.release(folder, runId));
  }

  async save(
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ path: string; removed: string[] }> {
    checkSaveHeader(header);
    const saving = this.#save(checkOutputDir(header.outputDir), header, data, signal);
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
  ): Promise<{ path: string; removed: string[] }> {
    const stage = `${folder}/${stageName(header.name || "result", "saving")}`;
    const again = await this.#work.alone(folder, async () => {
      await ensureFolder(this.#fs, folder);
      const { again } = await this.#claims.take(folder, header.runId);
      this.#active.add(stage);
      try {
        await clearLeftovers(this.#fs, folder, this.#active);
        await this.#fs.mkdir(stage);
      } catch (error) {
        this.#active.delete(stage);
        if (!again) await this.#work.tidy(folder, () => this.#claims.release(folder, header.runId));
        throw error;
      }
      return again;
    });
    try {
      return await this.#work.explained(folder, () => this.#upload(folder, stage, header, data, signal));
    } finally {
      await this.#work.tidy(folder, () => removeTree(this.#fs, stage));
      this.#active.delete(stage);
      // A run that never claimed the folder does not keep it.
      if (!again) await this.#work.tidy(folder, () => this.release(folder, header.runId));
    }
  }

  async #upload(
    folder: string,
    stage: string,
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ path: string; removed: string[] }> {
    const { name, runId, epoch, step } = header;
    const create = ({ path }: SaveFile) => this.#fs.create(`${stage}/${path}`);
    const files = await writeUpload(create, header.files, data, signal);
    signal.throwIfAborted();
    if (name === "") {
      await this.#work.alone(folder, async () => {
        for (const { path } of files) await this.#fs.rename(`${stage}/${path}`, `${folder}/${path}`);
        await this.#fs.syncFolder(folder);
        await this.#work.tidy(folder, () => removeRecoveryPoints(this.#fs, folder, name));
      });
      return { path: folder, removed: [] };
    }
    const manifest = manifestBytes({ runId, epoch, step, savedAt: this.#now(), files });
    await writeFileSynced(this.#fs, `${stage}/${MANIFEST}`, manifest);
    return this.#work.alone(folder, async () => {
      await publish(this.#fs, folder, name, stage);
      // It is saved: what fails from here on must not look as if it were not.
      await this.#work.tidy(folder, () => clearLeftovers(this.#fs, folder, this.#active));
      await this.#work.tidy(folder, () => removeRecoveryPoints(this.#fs, folder, name));
      const removed: string[] = [];
      await this.#work.tidy(folder, () => this.#removeOld(folder, header, removed));
      return { path: `${folder}/${name}`, removed };
    });
  }

  /** keep_last_n. */
  async #removeOld(folder: string, header: SaveHeader, removed: string[]): Promise<void> {
    for (const old of surplus(await findAll(this.#fs, folder), header)) {
      await removeCheckpoint(this.#fs, folder, old.name);
      removed.push(`${folder}/${old.name}`);
    }
  }

  load(outputDir: string, selection: LoadSelection, signal: AbortSignal): AsyncIterable<LoadedPiece> {
    return this.#reader.load(checkOutputDir(outputDir), selection, signal);
  }

  list(outputDir: string): Promise<Checkpoint[]> {
    return this.#reader.list(checkOutputDir(outputDir));
  }

  verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]> {
    return this.#reader.verify(checkOutputDir(outputDir), name, signal);
  }

  async remove(outputDir: string, name: string, requestId: string): Promise<void> {
    const folder = checkOutputDir(outputDir);
    checkCheckpointName(name);
    await this.#deletes.once(requestId, `${folder}/${name}`, () =>
      this.#work.alone(folder, async () => {
        await this.#reader.require(folder, name);
        await removeCheckpoint(this.#fs, folder, name);
      }),
    );
  }

  /** Waits for the saves whose calls have ended to clear up, then gives back all folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#saves);
    for (const [folder, runId] of this.#claims.held) await this.#work.tidy(folder, () => this.release(folder, runId));
  }
}
