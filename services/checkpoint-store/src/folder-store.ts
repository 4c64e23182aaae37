import type { Checkpoint, SaveHeader } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import type { ArtifactStore, LoadedPiece, LoadSelection } from "./artifact-store.js";
import { damagedError, openListed, verifiedPieces } from "./checkpoint-folder.js";
import { Claims } from "./claims.js";
import { DeleteRequests } from "./delete-requests.js";
import { explain } from "./errors.js";
import { ensureFolder, removeTree, writeFileSynced, type FileSystem, type OpenFile } from "./file-system.js";
import { asCheckpoint, deeply, findAll, findNamed, isSame, listedFile, requireNamed, type Found } from "./found.js";
import { manifestBytes, type ManifestFile } from "./manifest.js";
import { checkCheckpointName, checkOutputDir, checkRunId, isRecoveryName, MANIFEST, stageName } from "./names.js";
import { newestWhole, type Chosen } from "./newest-whole.js";
import { clearLeftovers, publish, removeCheckpoint, removeRecoveryPoints } from "./output-folder.js";
import { checkSaveHeader } from "./save-header.js";
import { Serial } from "./serial.js";
import { writeUpload } from "./upload.js";

interface OpenedFile {
  handle: OpenFile;
  file: ManifestFile;
}

/** Checkpoints and results in folders of this machine; see output-folder.ts for how they stay whole (I5). */
export class FolderStore implements ArtifactStore {
  readonly #fs: FileSystem;
  readonly #now: () => Date;
  readonly #log: Logger;
  readonly #claims: Claims;
  /** Whatever renames or removes in an output folder does so alone. */
  readonly #serial = new Serial();
  /** Stages that running calls write to. */
  readonly #active = new Set<string>();
  readonly #deletes = new DeleteRequests();
  readonly #saves = new Set<Promise<unknown>>();

  constructor(fs: FileSystem, now: () => Date, log: Logger) {
    this.#fs = fs;
    this.#now = now;
    this.#log = log;
    this.#claims = new Claims(fs);
  }

  async claim(outputDir: string, runId: string): Promise<string> {
    const folder = checkOutputDir(outputDir);
    checkRunId(runId);
    await this.#alone(folder, async () => {
      await ensureFolder(this.#fs, folder);
      await this.#claims.take(folder, runId);
      await clearLeftovers(this.#fs, folder, this.#active);
    });
    return folder;
  }

  async release(outputDir: string, runId: string): Promise<void> {
    const folder = checkOutputDir(outputDir);
    await this.#alone(folder, () => this.#claims.release(folder, runId));
  }

  async save(
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ path: string; removed: string[] }> {
    const saving = this.#save(checkSaveHeader(header), header, data, signal);
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
    const again = await this.#alone(folder, async () => {
      await ensureFolder(this.#fs, folder);
      const { again } = await this.#claims.take(folder, header.runId);
      this.#active.add(stage);
      try {
        await clearLeftovers(this.#fs, folder, this.#active);
        await this.#fs.mkdir(stage);
      } catch (error) {
        this.#active.delete(stage);
        if (!again) await this.#tidy(folder, () => this.#claims.release(folder, header.runId));
        throw error;
      }
      return again;
    });
    try {
      return await this.#explained(folder, () => this.#upload(folder, stage, header, data, signal));
    } finally {
      await this.#tidy(folder, () => removeTree(this.#fs, stage));
      this.#active.delete(stage);
      // A run that never claimed the folder does not keep it.
      if (!again) await this.#tidy(folder, () => this.release(folder, header.runId));
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
    const files = await writeUpload(this.#fs, stage, header.files, data, signal);
    signal.throwIfAborted();
    if (name === "") {
      await this.#alone(folder, async () => {
        for (const { path } of files) await this.#fs.rename(`${stage}/${path}`, `${folder}/${path}`);
        await this.#fs.syncFolder(folder);
        await this.#tidy(folder, () => removeRecoveryPoints(this.#fs, folder, name));
      });
      return { path: folder, removed: [] };
    }
    const manifest = manifestBytes({ runId, epoch, step, savedAt: this.#now(), files });
    await writeFileSynced(this.#fs, `${stage}/${MANIFEST}`, manifest);
    return this.#alone(folder, async () => {
      await publish(this.#fs, folder, name, stage);
      // It is saved: what fails from here on must not look as if it were not.
      await this.#tidy(folder, () => clearLeftovers(this.#fs, folder, this.#active));
      await this.#tidy(folder, () => removeRecoveryPoints(this.#fs, folder, name));
      const removed: string[] = [];
      await this.#tidy(folder, () => this.#removeOld(folder, header, removed));
      return { path: `${folder}/${name}`, removed };
    });
  }

  /** keep_last_n: removes this run's oldest whole checkpoints, never the one just saved nor recovery points. */
  async #removeOld(folder: string, { runId, name, keepLastN }: SaveHeader, removed: string[]): Promise<void> {
    if (keepLastN <= 0) return;
    const found = (await findAll(this.#fs, folder)).filter((other) => !isRecoveryName(other.name));
    const others = found.filter((other) => !other.damage && other.manifest?.runId === runId && other.name !== name);
    const kept = isRecoveryName(name) ? keepLastN : keepLastN - 1;
    for (const old of others.slice(kept).reverse()) {
      await removeCheckpoint(this.#fs, folder, old.name);
      removed.push(`${folder}/${old.name}`);
    }
  }

  async *load(outputDir: string, selection: LoadSelection, signal: AbortSignal): AsyncIterable<LoadedPiece> {
    const folder = checkOutputDir(outputDir);
    if (selection.name !== "") checkCheckpointName(selection.name);
    for (;;) {
      const { chosen, damaged } = await this.#choose(folder, selection, signal);
      const opened = await this.#open(folder, chosen, selection.paths);
      // It was replaced or removed meanwhile.
      if (!opened) continue;
      try {
        for (const { handle, file } of opened) {
          for await (const piece of verifiedPieces(handle, file)) {
            if (typeof piece === "string") throw damagedError(`${folder}/${chosen.name}`, piece);
            yield {
              checkpoint: chosen.name,
              damaged: damaged.map((found) => asCheckpoint(folder, found)),
              path: file.path,
              data: piece,
            };
          }
        }
      } finally {
        for (const { handle } of opened) await handle.close();
      }
      return;
    }
  }

  async list(outputDir: string): Promise<Checkpoint[]> {
    const folder = checkOutputDir(outputDir);
    return (await this.#alone(folder, () => findAll(this.#fs, folder))).map((found) => asCheckpoint(folder, found));
  }

  async verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]> {
    const folder = checkOutputDir(outputDir);
    if (name !== "") checkCheckpointName(name);
    const all = await this.#alone(folder, async () =>
      name === "" ? findAll(this.#fs, folder) : [await requireNamed(this.#fs, folder, name)],
    );
    const checked: Checkpoint[] = [];
    for (const found of all) {
      const result = await this.#deeply(folder, found, signal);
      if (result) checked.push(asCheckpoint(folder, result));
      // It went away meanwhile: either it is back by now, or this says that it is gone.
      else if (name !== "") checked.push(...(await this.verify(outputDir, name, signal)));
    }
    return checked;
  }

  async remove(outputDir: string, name: string, requestId: string): Promise<void> {
    const folder = checkOutputDir(outputDir);
    checkCheckpointName(name);
    await this.#deletes.once(requestId, `${folder}/${name}`, () =>
      this.#alone(folder, async () => {
        await requireNamed(this.#fs, folder, name);
        await removeCheckpoint(this.#fs, folder, name);
      }),
    );
  }

  /** Waits for the saves whose calls have ended to clear up, then gives back all folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#saves);
    for (const [folder, runId] of this.#claims.held) await this.#tidy(folder, () => this.release(folder, runId));
  }

  async #choose(folder: string, { name, runId }: LoadSelection, signal: AbortSignal): Promise<Chosen> {
    if (name !== "") {
      const chosen = await this.#alone(folder, () => requireNamed(this.#fs, folder, name));
      if (chosen.damage) throw damagedError(`${folder}/${name}`, chosen.damage);
      return { chosen, damaged: [] };
    }
    const found = await this.#alone(folder, () => findAll(this.#fs, folder));
    return newestWhole(folder, found, runId, async (candidate) => {
      const checked = await this.#deeply(folder, candidate, signal);
      if (checked?.damage) {
        this.#log.warn({ outputDir: folder, checkpoint: checked.name, damage: checked.damage }, "damaged checkpoint");
      }
      return checked;
    });
  }

  /**
   * Opens the files all at once: an open file stays readable when keep_last_n removes its checkpoint meanwhile.
   * Undefined when the checkpoint is no longer the one that was found.
   */
  #open(folder: string, found: Found, paths: readonly string[]): Promise<OpenedFile[] | undefined> {
    const { name, location, manifest } = found;
    if (!manifest) throw new Error("only checkpoints with a manifest are loaded");
    const listed = [...new Set(paths)].map((path) => listedFile(name, manifest, path));
    const opened: OpenedFile[] = [];
    return this.#alone(folder, async () => {
      for (const file of listed.length === 0 ? manifest.files : listed) {
        const handle = await openListed(this.#fs, location, file);
        if (typeof handle !== "string") {
          opened.push({ handle, file });
          continue;
        }
        const now = await findNamed(this.#fs, folder, name);
        if (!now || !isSame({ ...now, damage: "" }, found)) {
          for (const { handle } of opened) await handle.close();
          return undefined;
        }
        throw damagedError(`${folder}/${name}`, handle);
      }
      return opened;
    }).catch(async (error: unknown) => {
      for (const { handle } of opened) await handle.close();
      throw error;
    });
  }

  #deeply(folder: string, found: Found, signal: AbortSignal): Promise<Found | undefined> {
    const again = () => this.#alone(folder, () => findNamed(this.#fs, folder, found.name));
    return this.#explained(folder, () => deeply(this.#fs, found, again, signal));
  }

  #alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
    return this.#serial.run(folder, () => this.#explained(folder, work));
  }

  async #explained<T>(folder: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explain(error, folder);
    }
  }

  /** Does what may fail without harm: the next call on the folder does it again. */
  async #tidy(folder: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log.warn({ err: error, outputDir: folder }, "could not clear up; the next save tries again");
    }
  }
}
