/** Adapters kept per run: the version in use, and the next one for the waiting task. */
export const VERSIONS_PER_RUN = 2;

/** Where adapter files go: the compute thread. */
export interface AdapterHolder {
  addAdapter(file: Uint8Array<ArrayBuffer>): number;
  dropAdapter(adapterId: number): void;
}

export type FetchAdapter = (runId: string, version: number) => Promise<Uint8Array<ArrayBuffer>>;

interface Kept {
  version: number;
  /** Its id in the holder, once it is fetched. */
  adapterId: Promise<number>;
}

/** Fetches each version of a run's adapter once, and keeps the newest ones. */
export class AdapterCache {
  /** By run; of each, the least recently used first. */
  readonly #runs = new Map<string, Kept[]>();

  constructor(
    private readonly holder: AdapterHolder,
    private readonly fetch: FetchAdapter,
  ) {}

  /** The holder's id of the adapter, which is fetched if needed. Errors: those of `fetch`. */
  async get(runId: string, version: number): Promise<number> {
    const kept = this.#runs.get(runId) ?? [];
    this.#runs.set(runId, kept);
    let entry = kept.find((candidate) => candidate.version === version);
    if (entry) kept.splice(kept.indexOf(entry), 1);
    else entry = { version, adapterId: this.fetch(runId, version).then((file) => this.holder.addAdapter(file)) };
    kept.push(entry);
    while (kept.length > VERSIONS_PER_RUN) this.#release(kept.shift());
    try {
      return await entry.adapterId;
    } catch (error) {
      // So that the next task tries again.
      if (kept.includes(entry)) kept.splice(kept.indexOf(entry), 1);
      throw error;
    }
  }

  /** Drops all that is kept for a run. */
  dropRun(runId: string): void {
    for (const entry of this.#runs.get(runId) ?? []) this.#release(entry);
    this.#runs.delete(runId);
  }

  /** Drops everything. */
  clear(): void {
    for (const runId of [...this.#runs.keys()]) this.dropRun(runId);
  }

  #release(entry: Kept | undefined): void {
    entry?.adapterId.then(
      (adapterId) => this.holder.dropAdapter(adapterId),
      // Nothing arrived that could be dropped; its requester gets the error.
      () => {},
    );
  }
}
