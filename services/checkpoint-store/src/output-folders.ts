import type { SaveFile, SaveHeader } from "@gradpool/rpc";
import type { Claimant } from "./artifact-store.js";
import type { CheckpointSource } from "./checkpoint-reader.js";
import type { NewFile } from "./file-system.js";

/**
 * Output folders of one kind: what OutputStore needs of a file system or an object store to keep I5. A folder is called
 * by its full name. All but `open` and what a Stage does before `publish` is called for one folder at a time.
 */
export interface OutputFolders extends CheckpointSource {
  /** The full name. Errors: `invalid_argument`. */
  nameOf(outputDir: string): string;
  /** What a failure means to the person who chose the folder. */
  explain(error: unknown, folder: string): unknown;
  /**
   * Claims the folder, creating it if needed, for a run; the same run may claim it again, also from a restarted store.
   * `again`: the run had it. `unclean`: a crash may have left something. Errors: `failed_precondition` when another
   * active run has it, `aborted` when a newer owner of the run has it.
   */
  take(folder: string, claimant: Claimant): Promise<{ again: boolean; unclean: boolean }>;
  /**
   * Nobody has taken the folder over since `take`. Errors: `aborted` when a newer owner of the run has, `unavailable` when
   * another store has: a repeated save finds another place, or says who has the folder.
   */
  checkHeld(folder: string, claimant: Claimant): Promise<void>;
  /** Errors: `aborted` when a newer owner of the run has the folder. */
  refuseOlder(folder: string, claimant: Claimant): Promise<void>;
  /** Releases the folder if the run claimed it through this store, and no newer owner of the run has it. */
  release(folder: string, claimant: Claimant): Promise<void>;
  /** Claimed folders, and by whom. */
  readonly taken: [folder: string, claimant: Claimant][];
  /** Starts saving what `header` lists; the caller must end it in any case. */
  stage(folder: string, header: SaveHeader, signal: AbortSignal): Promise<Stage>;
  /** At most the first `maxBytes` bytes of a result's file; undefined: there is no such file. */
  head(folder: string, file: string, maxBytes: number): Promise<Uint8Array | undefined>;
  /** Names of the checkpoints, which may include some that are not complete. */
  names(folder: string): Promise<string[]>;
  /** Removes the checkpoint `name`, if there is one; it disappears at once, its files later. */
  remove(folder: string, name: string): Promise<void>;
  /** Removes what crashes left of saves and removals. */
  clearLeftovers(folder: string): Promise<void>;
  close(): Promise<void>;
}

/** A checkpoint or result that is being saved. */
export interface Stage {
  create(file: SaveFile): Promise<NewFile>;
  /** Makes it appear, a checkpoint by its manifest, a result without; returns once it is durable. */
  publish(manifest: Uint8Array | undefined): Promise<void>;
  /** After `publish`: removes what was replaced. */
  removeReplaced(): Promise<void>;
  /** Removes what was not published. */
  end(): Promise<void>;
}
