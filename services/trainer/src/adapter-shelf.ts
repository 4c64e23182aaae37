import { readAdapter, type AdaptedModule, type AdapterTensors } from "@gradpool/adapter";

interface Shelved {
  file: Uint8Array;
  /** Read at the first use, when targets and ranks are known. */
  parsed?: { key: string; tensors: AdapterTensors };
}

/** The compute thread's adapters. Which to keep is the main thread's decision. */
export class AdapterShelf {
  readonly #adapters = new Map<number, Shelved>();

  put(adapterId: number, file: Uint8Array): void {
    this.#adapters.set(adapterId, { file });
  }

  drop(adapterId: number): void {
    this.#adapters.delete(adapterId);
  }

  /** Errors: `data_loss` for a damaged file, `failed_precondition` for one that does not fit targets and ranks. */
  get(adapterId: number, targets: readonly (AdaptedModule & { r: number })[]): AdapterTensors {
    const adapter = this.#adapters.get(adapterId);
    if (!adapter) throw new Error(`adapter ${adapterId} was never added or was dropped`);
    const key = JSON.stringify(targets.map(({ name, r }) => [name, r]));
    if (adapter.parsed?.key !== key) {
      adapter.parsed = { key, tensors: readAdapter(adapter.file, targets, targets[0]?.r ?? 0, "the adapter") };
    }
    return adapter.parsed.tensors;
  }
}
