import type { Checkpoint, SaveHeader } from "@gradpool/rpc";

/** A piece of a file; pieces of a file come in order, file after file, at least one for each file. */
export interface LoadedPiece {
  checkpoint: string;
  /** Damaged checkpoints that were skipped. */
  damaged: readonly Checkpoint[];
  path: string;
  data: Uint8Array;
}

/** What to load. */
export interface LoadSelection {
  /** Empty: the newest that is whole. */
  name: string;
  /** Without a name: only checkpoints of this run, most steps first; empty: of any run, by time. */
  runId: string;
  /** Only these files; empty: all. */
  paths: readonly string[];
}

/** Who uses an output folder: a run, and how often it has changed hands between coordinators; 0: never. */
export interface Claimant {
  runId: string;
  ownerEpoch?: number | undefined;
}

/**
 * Where checkpoints and results are kept: a folder of this machine, or anything else that can keep I5, that a
 * checkpoint exists when its manifest does. Errors are those of checkpoint_store.proto.
 */
export interface ArtifactStore extends AsyncDisposable {
  /** Claims `outputDir` for a run, with `keepResult` only if it holds no adapter of others; returns its full name. */
  claim(outputDir: string, claimant: Claimant, keepResult: boolean): Promise<string>;
  release(outputDir: string, claimant: Claimant): Promise<void>;
  /**
   * Saves the files that `header` lists, their bytes following one another in `data`, all or nothing;
   * then removes all recovery points but the one that was saved, unless the files are those of an unfinished run.
   */
  save(
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ path: string; removed: string[] }>;
  load(outputDir: string, selection: LoadSelection, signal: AbortSignal): AsyncIterable<LoadedPiece>;
  /** Newest first, with the damage that a manifest shows without reading the files. */
  list(outputDir: string): Promise<Checkpoint[]>;
  /** Reads every file; without a name, of all checkpoints. */
  verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]>;
  /** Does nothing when `requestId` has already removed it. `claimant`: the run that no longer keeps it, if one asks. */
  remove(outputDir: string, name: string, requestId: string, claimant?: Claimant): Promise<void>;
}
