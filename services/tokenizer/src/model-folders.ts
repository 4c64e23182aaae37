import type { ModelPlaces } from "@gradpool/hub";
import { modelPath } from "@gradpool/model-source";
import { JobThreads } from "@gradpool/threads";
import { BOUNDS } from "./worker-pool.js";

/** Folders of models. A GGUF file is converted in a thread. */
export class ModelFolders implements AsyncDisposable {
  readonly #places: ModelPlaces;
  readonly #threads = new JobThreads({ module: new URL("./gguf-thread.js", import.meta.url), bounds: BOUNDS });

  constructor(places: ModelPlaces) {
    this.#places = places;
  }

  /** Errors: those of modelPath; `failed_precondition` for a file that takes too much to read. */
  async folderOf(modelId: string, signal: AbortSignal): Promise<string> {
    const { folder } = await modelPath(modelId, this.#places, {
      signal,
      convert: (...args) => this.#threads.only<string>(args, { signal, work: `reading ${args[1]}` }),
    });
    return folder;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#threads[Symbol.asyncDispose]();
  }
}
