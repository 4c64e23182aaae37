/** Ctrl-C and SIGTERM: the first asks for an orderly shutdown, the second forces one. */
export class Interrupted extends Error {
  constructor() {
    super("interrupted");
    this.name = "Interrupted";
  }
}

export class Interrupts {
  readonly #controller = new AbortController();
  readonly #force = new Set<() => Promise<void>>();

  /** Aborted by the first. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Runs `end` at the second, until the returned function is called. */
  onForce(end: () => Promise<void>): () => void {
    this.#force.add(end);
    return () => this.#force.delete(end);
  }

  /** Returns whether it was the second, once everything has been ended by force. */
  async interrupt(): Promise<boolean> {
    if (!this.#controller.signal.aborted) {
      this.#controller.abort(new Interrupted());
      return false;
    }
    await Promise.all([...this.#force].map((end) => end()));
    return true;
  }
}
