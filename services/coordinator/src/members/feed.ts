/** What other coordinators record, as it reaches this one: they tell which runs they have changed, and it reads those. */
import type { Clock } from "../driver/ports.js";
import { CHANGES_CHANNEL } from "../store/postgres/postgres-tables.js";
import type { Listen } from "./ports.js";

/** Changes are read together, at most this often. */
const EVERY_MS = 250;

export interface FeedOptions {
  listen: Listen;
  clock: Clock;
  /** This coordinator. */
  memberId: string;
  /** Reads what may have changed: these runs, and what belongs to none; "all": anything. */
  read: (runIds: ReadonlySet<string> | "all") => Promise<void>;
  /** It cannot continue. */
  onFailed: (error: unknown) => void;
}

export class Feed implements AsyncDisposable {
  readonly #options: FeedOptions;
  readonly #closing = new AbortController();
  readonly #listening: Promise<void>;
  #changed: Set<string> | "all" | undefined;
  #reading: Promise<void> | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
    const { listen, memberId, onFailed } = options;
    const heard = (message: string) => {
      const [member = "", runId = ""] = message.split(" ");
      if (member !== memberId) this.#note(runId);
    };
    const again = () => {
      this.#changed = "all";
      this.#read();
    };
    this.#listening = listen(CHANGES_CHANNEL, heard, again, this.#closing.signal).catch(onFailed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#listening;
    await this.#reading;
  }

  #note(runId: string): void {
    if (this.#changed === undefined) this.#changed = new Set([runId]);
    else if (this.#changed !== "all") this.#changed.add(runId);
    this.#read();
  }

  #read(): void {
    this.#reading ??= this.#readAll()
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted) this.#options.onFailed(error);
      })
      .finally(() => (this.#reading = undefined));
  }

  async #readAll(): Promise<void> {
    const { signal } = this.#closing;
    while (this.#changed && !signal.aborted) {
      const changed = this.#changed;
      this.#changed = undefined;
      await this.#options.read(changed);
      await this.#options.clock.sleep(EVERY_MS, signal);
    }
  }
}
