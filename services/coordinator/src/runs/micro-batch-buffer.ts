import type { MicroBatch } from "@gradpool/rpc";

/**
 * Micro-batches between the data stream and the optimizer, cut into steps as the core cuts them: a
 * step ends with its last micro-batch by number or with the epoch. They stay until their step is made.
 */
export class MicroBatchBuffer {
  readonly #gradientAccumulation: number;
  readonly #capacity: number;
  #firstStep = 1;
  #steps: MicroBatch[][] = [[]];
  #count = 0;
  #wake = () => {};

  constructor(gradientAccumulation: number) {
    this.#gradientAccumulation = gradientAccumulation;
    // A whole step must fit, and another one should be at hand when it is made.
    this.#capacity = 2 * gradientAccumulation + 4;
  }

  /** Waits until there is room for another micro-batch, or `signal` aborts. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#count >= this.#capacity && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  add(microBatch: MicroBatch): void {
    const last = this.#steps.at(-1) ?? [];
    last.push(microBatch);
    this.#count += 1;
    if (microBatch.lastOfEpoch || last.length === this.#gradientAccumulation) this.#steps.push([]);
  }

  get(step: number, microBatch: number): MicroBatch {
    const found = this.#steps[step - this.#firstStep]?.[microBatch];
    if (!found) throw new Error(`step ${step} has no micro-batch ${microBatch}`);
    return found;
  }

  /** Forgets the micro-batches of the oldest step and gives the last of them. */
  takeStep(): MicroBatch {
    const step = this.#steps.shift() ?? [];
    this.#firstStep += 1;
    this.#count -= step.length;
    this.#wake();
    const last = step.at(-1);
    if (!last) throw new Error("the step has no micro-batch");
    return last;
  }
}
