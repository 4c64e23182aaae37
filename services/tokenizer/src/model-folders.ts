import { isAbsolute, join } from "node:path";
import { checkInRoots } from "@gradpool/access";
import type { ModelPlaces } from "@gradpool/hub";
import { modelPath } from "@gradpool/model-source";
import { JobThreads } from "@gradpool/threads";
import { SOURCE_FILES } from "@gradpool/tokenizers";
import { BOUNDS } from "./worker-pool.js";

/** Folders of models. A GGUF file is converted in a thread. */
export class ModelFolders implements AsyncDisposable {
  readonly #places: ModelPlaces;
  readonly #threads = new JobThreads({ module: new URL("./gguf-thread.js", import.meta.url), bounds: BOUNDS });

  constructor(places: ModelPlaces) {
    this.#places = places;
  }

  /** Errors: those of modelPath and checkInRoots; `failed_precondition` for a file that takes too much to read. */
  async folderOf(modelId: string, signal: AbortSignal): Promise<string> {
    const { folder, id } = await modelPath(modelId, this.#places, {
      signal,
      convert: (...args) => this.#threads.only<string>(args, { signal, work: `reading ${args[1]}` }),
    });
    // Files of a folder may be links; those of the hub's cache and of a converted GGUF file are this pool's own.
    if (isAbsolute(id) && folder === id) {
      for (const name of SOURCE_FILES) await checkInRoots(join(folder, name), this.#places.roots, "model_id:");
    }
    return folder;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#threads[Symbol.asyncDispose]();
  }
}
