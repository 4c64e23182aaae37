import type { Checkpoint, SaveHeader } from "@gradpool/rpc";

/** A piece of a file; pieces of a file come in order, file after file, at least one for each file. */
export interface LoadedPiece {
  checkpoint: string;
  path: string;
  data: Uint8Array;
}

/**
 * Where checkpoints and results live: a folder of this machine, or whatever else can keep I5, that a
 * checkpoint exists when its manifest does. Errors are those of checkpoint_store.proto.
 */
export interface ArtifactStore extends AsyncDisposable {
  /** Takes `outputDir` for a run; returns its full name. */
  claim(outputDir: string, runId: string): Promise<string>;
  release(outputDir: string, runId: string): Promise<void>;
  /** Saves the files that `header` lists, their bytes following one another in `data`, all or nothing. */
  save(
    header: SaveHeader,
    data: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ path: string; removed: string[] }>;
  /** Loads a checkpoint; without a name, the newest that is whole. Without paths, all its files. */
  load(outputDir: string, name: string, paths: readonly string[]): AsyncIterable<LoadedPiece>;
  /** Newest first, with the damage that a manifest shows without reading the files. */
  list(outputDir: string): Promise<Checkpoint[]>;
  /** Reads every file; without a name, of all checkpoints. */
  verify(outputDir: string, name: string, signal: AbortSignal): Promise<Checkpoint[]>;
  remove(outputDir: string, name: string): Promise<void>;
}
