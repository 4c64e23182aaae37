import { GradpoolError } from "@gradpool/errors";
import type { Checkpoint, SaveHeader } from "@gradpool/rpc";
import type { Logger } from "@gradpool/service-kit";
import type { ArtifactStore, LoadedPiece } from "./artifact-store.js";
import { damaged, deepDamage, openListed, readManifest, shallowDamage, verifiedPieces } from "./checkpoint-folder.js";
import { Claims } from "./claims.js";
import { explain } from "./errors.js";
import { ensureFolder, errnoOf, removeTree, writeFileSynced, type FileSystem, type OpenFile } from "./file-system.js";
import { manifestBytes, MAX_FILES, type Manifest } from "./manifest.js";
import { checkCheckpointName, checkFileName, checkOutputDir, checkRunId, MANIFEST, stageName } from "./names.js";
import { clearLeftovers, locateCheckpoints, publish, removeCheckpoint } from "./output-folder.js";
import { Serial } from "./serial.js";
import { writeUpload } from "./upload.js";

interface Found {
  name: string;
  /** Where it lies now. */
  location: string;
  manifest: Manifest | undefined;
  /** Empty: nothing that shows. */
  damage: string;
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
    const saving = this.#save(checkHeader(header), header, data, signal);
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
      const taken = await this.#claims.take(folder, header.runId);
      this.#active.add(stage);
      await clearLeftovers(this.#fs, folder, this.#active);
      await this.#fs.mkdir(stage);
      return taken.again;
    }).catch((error: unknown) => {
      this.#active.delete(stage);
      throw error;
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
      });
      return { path: folder, removed: [] };
    }
    const manifest = manifestBytes({ runId, epoch, step, savedAt: this.#now(), files });
    await writeFileSynced(this.#fs, `${stage}/${MANIFEST}`, manifest);
    return this.#alone(folder, async () => {
      await publish(this.#fs, folder, name, stage);
      // It is saved: what fails from here on must not look as if it were not.
      await this.#tidy(folder, () => clearLeftovers(this.#fs, folder, this.#active));
      const removed: string[] = [];
      await this.#tidy(folder, () => this.#removeOld(folder, header, removed));
      return { path: `${folder}/${name}`, removed };
    });
  }

  /** keep_last_n: removes this run's oldest whole checkpoints, never the one just saved. */
  async #removeOld(folder: string, { runId, name, keepLastN }: SaveHeader, removed: string[]): Promise<void> {
    if (keepLastN <= 0) return;
    const found = await this.#find(folder);
    const others = found.filter((other) => !other.damage && other.manifest?.runId === runId && other.name !== name);
    for (const old of others.slice(keepLastN - 1).reverse()) {
      await removeCheckpoint(this.#fs, folder, old.name, old.location);
      removed.push(`${folder}/${old.name}`);
    }
  }

  async *load(outputDir: string, name: string, paths: readonly string[]): AsyncIterable<LoadedPiece> {
    const folder = checkOutputDir(outputDir);
    if (name !== "") checkCheckpointName(name);
    const chosen = name === "" ? await this.#newestWhole(folder) : await this.#named(folder, name);
    const { manifest, damage } = chosen;
    if (!manifest || damage) throw damaged(`${folder}/${chosen.name}`, damage);
    const listed = [...new Set(paths)].map((path) => listedFile(chosen, manifest, path));
    const files = listed.length === 0 ? manifest.files : listed;
    const opened: OpenFile[] = [];
    try {
      // All at once: an open file stays readable when keep_last_n removes its checkpoint meanwhile.
      await this.#alone(folder, async () => {
        for (const file of files) {
          const handle = await openListed(this.#fs, chosen.location, file);
          if (typeof handle === "string") throw damaged(`${folder}/${chosen.name}`, handle);
          opened.push(handle);
        }
      });
      for (const [i, file] of files.entries()) {
        for await (const piece of verifiedPieces(opened[i] as OpenFile, file)) {
          if (typeof piece === "string") throw damaged(`${folder}/${chosen.name}`, piece);
          yield { checkpoint: chosen.name, path: file.path, data: piece };
        }
      }
    } finally {
      for (const handle of opened) await handle.close();
    }
  }

  async list(outputDir: string): Promise<Checkpoint[]> {
    const folder = checkOutputDir(outputDir);
    return (await this.#alone(folder, () => this.#find(folder))).map((found) => asCheckpoint(folder, found));
  }

  async verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]> {
    const folder = checkOutputDir(outputDir);
    if (name !== "") checkCheckpointName(name);
    const all = name === "" ? await this.#alone(folder, () => this.#find(folder)) : [await this.#named(folder, name)];
    const checked: Checkpoint[] = [];
    for (const found of all) checked.push(asCheckpoint(folder, await this.#deeply(folder, found, signal)));
    return checked;
  }

  async remove(outputDir: string, name: string): Promise<void> {
    const folder = checkOutputDir(outputDir);
    checkCheckpointName(name);
    await this.#alone(folder, async () => {
      const location = (await this.#locate(folder)).get(name);
      if (location === undefined) throw absent(folder, name);
      await removeCheckpoint(this.#fs, folder, name, location);
    });
  }

  /** Waits for the saves whose calls have ended to clear up, then gives back all folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#saves);
    for (const [folder, runId] of this.#claims.held) await this.#tidy(folder, () => this.release(folder, runId));
  }

  async #newestWhole(folder: string): Promise<Found> {
    const damage: string[] = [];
    for (const found of await this.#alone(folder, () => this.#find(folder))) {
      // Checked before the first piece is sent: what a client has received cannot be taken back.
      const checked = await this.#deeply(folder, found, new AbortController().signal);
      if (!checked.damage) return checked;
      damage.push(`${checked.name}: ${checked.damage}`);
      this.#log.warn({ outputDir: folder, checkpoint: checked.name, damage: checked.damage }, "damaged checkpoint");
    }
    if (damage.length === 0) {
      throw new GradpoolError("not_found", `output_dir ${folder} has no checkpoint; train with --save_every first`);
    }
    const message = `output_dir ${folder} has only damaged checkpoints (${damage.join("; ")}); copy one again`;
    throw new GradpoolError("data_loss", message);
  }

  #named(folder: string, name: string): Promise<Found> {
    return this.#alone(folder, async () => {
      const location = (await this.#locate(folder)).get(name);
      if (location === undefined) throw absent(folder, name);
      return this.#examine(name, location);
    });
  }

  /** Newest first; those without a readable manifest last. */
  async #find(folder: string): Promise<Found[]> {
    const found: Found[] = [];
    for (const [name, location] of await this.#locate(folder)) found.push(await this.#examine(name, location));
    return found.sort((a, b) => savedAtMs(b) - savedAtMs(a) || (b.manifest?.step ?? 0) - (a.manifest?.step ?? 0));
  }

  async #locate(folder: string): Promise<Map<string, string>> {
    try {
      return await locateCheckpoints(this.#fs, folder);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      throw new GradpoolError("not_found", `output_dir ${folder} does not exist; check its name`);
    }
  }

  async #examine(name: string, location: string): Promise<Found> {
    const manifest = await readManifest(this.#fs, location);
    if (typeof manifest === "string") return { name, location, manifest: undefined, damage: manifest };
    return { name, location, manifest, damage: await shallowDamage(this.#fs, location, manifest.files) };
  }

  async #deeply(folder: string, found: Found, signal: AbortSignal): Promise<Found> {
    if (!found.manifest || found.damage) return found;
    const { files } = found.manifest;
    return this.#explained(folder, async () => {
      return { ...found, damage: await deepDamage(this.#fs, found.location, files, signal) };
    });
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

function checkHeader({ outputDir, runId, name, files }: SaveHeader): string {
  const folder = checkOutputDir(outputDir);
  checkRunId(runId);
  if (name !== "") checkCheckpointName(name);
  if (files.length === 0 || files.length > MAX_FILES) {
    throw new GradpoolError("invalid_argument", `${files.length} files to save; send between 1 and ${MAX_FILES}`);
  }
  const names = new Set<string>();
  for (const { path } of files) {
    checkFileName(path);
    if (names.has(path)) throw new GradpoolError("invalid_argument", `file ${path} is listed twice; send it once`);
    names.add(path);
  }
  return folder;
}

function listedFile(found: Found, manifest: Manifest, path: string): Manifest["files"][number] {
  const file = manifest.files.find((candidate) => candidate.path === path);
  if (file) return file;
  const names = manifest.files.map((candidate) => candidate.path).join(", ");
  throw new GradpoolError("not_found", `checkpoint ${found.name} has no file ${JSON.stringify(path)}; it has ${names}`);
}

function asCheckpoint(folder: string, { name, manifest, damage }: Found): Checkpoint {
  return {
    name,
    path: `${folder}/${name}`,
    runId: manifest?.runId ?? "",
    epoch: manifest?.epoch ?? 0,
    step: manifest?.step ?? 0,
    savedAt: manifest?.savedAt,
    sizeBytes: manifest?.files.reduce((sum, file) => sum + file.sizeBytes, 0) ?? 0,
    damage,
  };
}

function savedAtMs({ manifest }: Found): number {
  return manifest?.savedAt.getTime() ?? Number.NEGATIVE_INFINITY;
}

function absent(folder: string, name: string): GradpoolError {
  return new GradpoolError("not_found", `there is no checkpoint ${name} in ${folder}; list them to see what there is`);
}
