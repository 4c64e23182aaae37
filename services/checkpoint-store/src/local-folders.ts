import type { SaveFile, SaveHeader } from "@gradpool/rpc";
import { MANIFEST_FILE, type ManifestFile } from "@gradpool/run-folder";
import type { Claimant } from "./artifact-store.js";
import { openListed } from "./checkpoint-folder.js";
import { Claims } from "./claims.js";
import { explain } from "./errors.js";
import { ensureFolder, removeTree, writeFileSynced, type FileSystem, type NewFile } from "./file-system.js";
import { findAll, findNamed, type Found } from "./found.js";
import { checkOutputDir, stageName } from "./names.js";
import { clearLeftovers, locateCheckpoints, publish, removeCheckpoint } from "./output-folder.js";
import type { OutputFolders, Stage } from "./output-folders.js";

/** Output folders of this machine; see output-folder.ts for how they stay whole (I5). */
export class LocalFolders implements OutputFolders {
  readonly #fs: FileSystem;
  readonly #claims: Claims;
  /** Stages that running saves write to. */
  readonly #active = new Set<string>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
    this.#claims = new Claims(fs);
  }

  nameOf(outputDir: string): string {
    return checkOutputDir(outputDir);
  }

  explain(error: unknown, folder: string): unknown {
    return explain(error, folder);
  }

  async take(folder: string, claimant: Claimant): Promise<{ again: boolean; unclean: boolean }> {
    await ensureFolder(this.#fs, folder);
    return { ...(await this.#claims.take(folder, claimant)), unclean: true };
  }

  checkHeld(folder: string, claimant: Claimant): Promise<void> {
    return this.#claims.checkHeld(folder, claimant);
  }

  refuseOlder(folder: string, claimant: Claimant): Promise<void> {
    return this.#claims.refuseOlder(folder, claimant);
  }

  release(folder: string, claimant: Claimant): Promise<void> {
    return this.#claims.release(folder, claimant);
  }

  get taken(): [folder: string, claimant: Claimant][] {
    return this.#claims.held;
  }

  async stage(folder: string, { name }: SaveHeader): Promise<Stage> {
    const stage = new LocalStage(this.#fs, folder, name, this.#active);
    await stage.begin();
    return stage;
  }

  async head(folder: string, file: string, maxBytes: number): Promise<Uint8Array | undefined> {
    const path = `${folder}/${file}`;
    if ((await this.#fs.kind(path)) !== "file") return undefined;
    const opened = await this.#fs.open(path);
    try {
      const bytes = new Uint8Array(Math.min(opened.sizeBytes, maxBytes));
      return bytes.subarray(0, await opened.read(bytes, 0));
    } finally {
      await opened.close();
    }
  }

  async names(folder: string): Promise<string[]> {
    return [...(await locateCheckpoints(this.#fs, folder)).keys()];
  }

  findAll(folder: string): Promise<Found[]> {
    return findAll(this.#fs, folder);
  }

  findNamed(folder: string, name: string): Promise<Found | undefined> {
    return findNamed(this.#fs, folder, name);
  }

  open(_folder: string, location: string, file: ManifestFile) {
    return openListed(this.#fs, location, file);
  }

  remove(folder: string, name: string): Promise<void> {
    return removeCheckpoint(this.#fs, folder, name);
  }

  clearLeftovers(folder: string): Promise<void> {
    return clearLeftovers(this.#fs, folder, this.#active);
  }

  async close(): Promise<void> {}
}

/** A folder beside the checkpoints, whose content is moved into place. */
class LocalStage implements Stage {
  readonly #fs: FileSystem;
  readonly #folder: string;
  readonly #name: string;
  readonly #path: string;
  readonly #active: Set<string>;
  readonly #files: string[] = [];

  /** `name`: of the checkpoint; empty: a result. */
  constructor(fs: FileSystem, folder: string, name: string, active: Set<string>) {
    this.#fs = fs;
    this.#folder = folder;
    this.#name = name;
    this.#path = `${folder}/${stageName(name || "result", "saving")}`;
    this.#active = active;
  }

  async begin(): Promise<void> {
    await this.#fs.mkdir(this.#path);
    this.#active.add(this.#path);
  }

  create({ path }: SaveFile): Promise<NewFile> {
    this.#files.push(path);
    return this.#fs.create(`${this.#path}/${path}`);
  }

  async publish(manifest: Uint8Array | undefined): Promise<void> {
    if (manifest) {
      await writeFileSynced(this.#fs, `${this.#path}/${MANIFEST_FILE}`, manifest);
      return publish(this.#fs, this.#folder, this.#name, this.#path);
    }
    for (const path of this.#files) await this.#fs.rename(`${this.#path}/${path}`, `${this.#folder}/${path}`);
    await this.#fs.syncFolder(this.#folder);
  }

  /** It was moved aside, as the leftovers of a crash are. */
  removeReplaced(): Promise<void> {
    return clearLeftovers(this.#fs, this.#folder, this.#active);
  }

  async end(): Promise<void> {
    try {
      await removeTree(this.#fs, this.#path);
    } finally {
      this.#active.delete(this.#path);
    }
  }
}
