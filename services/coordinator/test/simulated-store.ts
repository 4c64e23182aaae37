/** What survives a crash of the simulated coordinator: its run store, and the checkpoints. */

/** Raised in the middle of whatever the coordinator was doing. */
export class SimulatedCrash extends Error {}

export interface DurableRun {
  runId: string;
  paused: boolean;
  outcome: string | undefined;
  /** The newest checkpoint or recovery point. */
  saved: { steps: number; adapter: number; evaluations: readonly number[]; deviceClass: string | undefined };
}

export class SimulatedStore {
  readonly runs = new Map<string, DurableRun>();
  readonly requests = new Map<string, { content: string; subject: string }>();
  life = 1;
  readonly #crashes: () => boolean;

  /** `crashes` decides before and after each write whether the coordinator dies there. */
  constructor(crashes: () => boolean) {
    this.#crashes = crashes;
  }

  /** All of `write` or nothing. */
  write(write: () => void): void {
    if (this.#crashes()) throw new SimulatedCrash();
    write();
    if (this.#crashes()) throw new SimulatedCrash();
  }
}
