/** Bytes that many may use at a time: whoever finds too few left waits, in order. */
export class Budget {
  #freeBytes: number;
  readonly #parent: Budget | undefined;
  readonly #waiting = new Set<{ bytes: number; begin: () => void }>();

  /** With a parent, what is taken of this one is then taken of that one, too. */
  constructor(maxBytes: number, parent?: Budget) {
    this.#freeBytes = maxBytes;
    this.#parent = parent;
  }

  /** Calls `begin` once the bytes are there, perhaps at once; what it returns gives them back, or ends the wait. */
  take(bytes: number, begin: () => void): () => void {
    let giveBack = () => {
      this.#waiting.delete(one);
    };
    const one = {
      bytes,
      begin: () => {
        this.#freeBytes -= bytes;
        const ofParent = this.#parent?.take(bytes, begin);
        giveBack = () => {
          ofParent?.();
          this.#freeBytes += bytes;
          this.#serve();
        };
        if (!this.#parent) begin();
      },
    };
    this.#waiting.add(one);
    this.#serve();
    let isBack = false;
    return () => {
      if (!isBack) giveBack();
      isBack = true;
    };
  }

  #serve(): void {
    for (const one of this.#waiting) {
      if (one.bytes > this.#freeBytes) return;
      this.#waiting.delete(one);
      one.begin();
    }
  }
}
