/** Reads checkpoints from any store: the newest undamaged one, or one by name. I5: a damaged one is never returned. */
import { GradpoolError } from "@gradpool/errors";
import type { Checkpoint } from "@gradpool/rpc";
import { checkCheckpointName, type ManifestFile } from "@gradpool/run-folder";
import type { Logger } from "@gradpool/service-kit";
import type { LoadedPiece, LoadSelection } from "./artifact-store.js";
import { damagedError, verifiedPieces } from "./checkpoint-folder.js";
import type { OpenFile } from "./file-system.js";
import type { FolderWork } from "./folder-work.js";
import { asCheckpoint, deeply, isSame, listedFile, noCheckpoint, type Found } from "./found.js";
import { newestWhole, type Chosen } from "./newest-whole.js";

/** How a store finds and reads what is in the output folder `folder`. */
export interface CheckpointSource {
  /** Newest first; those without a readable manifest last. */
  findAll(folder: string): Promise<Found[]>;
  /** Undefined when none has that name. */
  findNamed(folder: string, name: string): Promise<Found | undefined>;
  /** Opens a file of the checkpoint at `location`, or says what is wrong with it. */
  open(folder: string, location: string, file: ManifestFile): Promise<OpenFile | string>;
}

interface OpenedFile {
  handle: OpenFile;
  file: ManifestFile;
}

/** The methods are those of ArtifactStore, with the folder's checked name. */
export class CheckpointReader {
  readonly #source: CheckpointSource;
  readonly #work: FolderWork;
  readonly #log: Logger;

  constructor(source: CheckpointSource, work: FolderWork, log: Logger) {
    this.#source = source;
    this.#work = work;
    this.#log = log;
  }

  async *load(folder: string, selection: LoadSelection, signal: AbortSignal): AsyncGenerator<LoadedPiece> {
    if (selection.name !== "") checkCheckpointName(selection.name);
    for (;;) {
      const { chosen, damaged } = await this.#choose(folder, selection, signal);
      const opened = await this.#open(folder, chosen, selection.paths);
      // It was replaced or removed in the meantime.
      if (!opened) continue;
      try {
        for (const { handle, file } of opened) yield* this.#pieces(folder, chosen, damaged, handle, file);
      } finally {
        for (const { handle } of opened) await handle.close();
      }
      return;
    }
  }

  async *#pieces(
    folder: string,
    chosen: Found,
    damaged: readonly Found[],
    handle: OpenFile,
    file: ManifestFile,
  ): AsyncGenerator<LoadedPiece> {
    const passedOver = damaged.map((found) => asCheckpoint(folder, found));
    const pieces = verifiedPieces(handle, file);
    for (;;) {
      const { value: piece, done } = await this.#work.explained(folder, () => pieces.next());
      if (done) return;
      if (typeof piece === "string") throw await this.#broken(folder, chosen, piece);
      yield { checkpoint: chosen.name, damaged: passedOver, path: file.path, data: piece };
    }
  }

  /** Where open files do not outlive their checkpoint, its removal or replacement during a read is not damage. */
  async #broken(folder: string, chosen: Found, damage: string): Promise<GradpoolError> {
    const path = `${folder}/${chosen.name}`;
    const now = await this.#work.alone(folder, () => this.#source.findNamed(folder, chosen.name));
    if (now && now.location === chosen.location) return damagedError(path, damage);
    return new GradpoolError("unavailable", `checkpoint ${path} was removed while it was read; try again`);
  }

  async list(folder: string): Promise<Checkpoint[]> {
    const found = await this.#work.alone(folder, () => this.#source.findAll(folder));
    return found.map((one) => asCheckpoint(folder, one));
  }

  async verify(folder: string, name: string, signal: AbortSignal): Promise<Checkpoint[]> {
    if (name !== "") checkCheckpointName(name);
    const all = await this.#work.alone(folder, async () =>
      name === "" ? this.#source.findAll(folder) : [await this.require(folder, name)],
    );
    const checked: Checkpoint[] = [];
    for (const found of all) {
      const result = await this.#deeply(folder, found, signal);
      if (result) checked.push(asCheckpoint(folder, result));
      // It was removed in the meantime: either it is back by now, or this reports that it is gone.
      else if (name !== "") checked.push(...(await this.verify(folder, name, signal)));
    }
    return checked;
  }

  /** Not to be called concurrently. Errors: `not_found`, naming what exists. */
  async require(folder: string, name: string): Promise<Found> {
    const found = await this.#source.findNamed(folder, name);
    if (found) return found;
    throw noCheckpoint(folder, name, await this.#source.findAll(folder));
  }

  async #choose(folder: string, { name, runId }: LoadSelection, signal: AbortSignal): Promise<Chosen> {
    if (name !== "") {
      const chosen = await this.#work.alone(folder, () => this.require(folder, name));
      if (chosen.damage) throw damagedError(`${folder}/${name}`, chosen.damage);
      return { chosen, damaged: [] };
    }
    const found = await this.#work.alone(folder, () => this.#source.findAll(folder));
    return newestWhole(folder, found, runId, async (candidate) => {
      const checked = await this.#deeply(folder, candidate, signal);
      if (checked?.damage) {
        this.#log.warn({ outputDir: folder, checkpoint: checked.name, damage: checked.damage }, "damaged checkpoint");
      }
      return checked;
    });
  }

  /**
   * Opens the files all at once: an open file stays readable when keep_last_n removes its checkpoint.
   * Undefined when the checkpoint is no longer the one that was found.
   */
  #open(folder: string, found: Found, paths: readonly string[]): Promise<OpenedFile[] | undefined> {
    const { name, location, manifest } = found;
    if (!manifest) throw new Error("only checkpoints with a manifest are loaded");
    const listed = [...new Set(paths)].map((path) => listedFile(name, manifest, path));
    const opened: OpenedFile[] = [];
    return this.#work
      .alone(folder, async () => {
        for (const file of listed.length === 0 ? manifest.files : listed) {
          const handle = await this.#source.open(folder, location, file);
          if (typeof handle !== "string") {
            opened.push({ handle, file });
            continue;
          }
          const now = await this.#source.findNamed(folder, name);
          if (!now || !isSame({ ...now, damage: "" }, found)) {
            for (const { handle } of opened) await handle.close();
            return undefined;
          }
          throw damagedError(`${folder}/${name}`, handle);
        }
        return opened;
      })
      .catch(async (error: unknown) => {
        for (const { handle } of opened) await handle.close();
        throw error;
      });
  }

  #deeply(folder: string, found: Found, signal: AbortSignal): Promise<Found | undefined> {
    const source = this.#source;
    const open = (location: string, file: ManifestFile) => source.open(folder, location, file);
    const again = () => this.#work.alone(folder, () => source.findNamed(folder, found.name));
    return this.#work.explained(folder, () => deeply(open, found, again, signal));
  }
}
