import { once } from "node:events";
import type { MicroBatch } from "@gradpool/rpc";

/** Micro-batches of a run that are read ahead: enough to keep a few dozen trainers busy. */
export const MAX_MICRO_BATCHES_AHEAD = 128;

const NONE = new Uint8Array();

/**
 * Micro-batches between the data stream and their results, cut into steps as the core cuts them: a step
 * ends with its last micro-batch by number or with the epoch.
 */
export class MicroBatchBuffer {
  readonly #gradientAccumulation: number;
  /** Steps from #firstStep on; the last one is still being filled. */
  #steps: MicroBatch[][] = [[]];
  #firstStep: number;
  #waiting = 0;
  readonly #room = new EventTarget();

  /** `stepsDone`: earlier steps; the first micro-batch belongs to the next one. */
  constructor(gradientAccumulation: number, stepsDone: number) {
    this.#gradientAccumulation = gradientAccumulation;
    this.#firstStep = stepsDone + 1;
  }

  /** Complete steps that have arrived so far. */
  get wholeSteps(): number {
    return this.#firstStep + this.#steps.length - 2;
  }

  /** Waits until there is room for another micro-batch. Errors: `cancelled` when `signal` aborts first. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.#waiting >= MAX_MICRO_BATCHES_AHEAD) await once(this.#room, "room", { signal });
  }

  add(microBatch: MicroBatch): void {
    const last = this.#steps.at(-1) as MicroBatch[];
    last.push(microBatch);
    this.#waiting += 1;
    if (microBatch.lastOfEpoch || last.length === this.#gradientAccumulation) this.#steps.push([]);
  }

  get(step: number, microBatch: number): MicroBatch {
    const found = this.#steps[step - this.#firstStep]?.[microBatch];
    if (!found) throw new Error(`step ${step} has no micro-batch ${microBatch}`);
    return found;
  }

  /** Frees a micro-batch's tokens: its result has arrived. */
  done(step: number, microBatch: number): void {
    Object.assign(this.get(step, microBatch), { ids: NONE, targetMask: NONE });
    this.#waiting -= 1;
    this.#room.dispatchEvent(new Event("room"));
  }

  /** Removes the micro-batches of the oldest step, all done, and returns the last of them. */
  takeStep(): MicroBatch {
    const last = this.#steps.shift()?.at(-1);
    if (!last) throw new Error("the step has no micro-batch");
    this.#firstStep += 1;
    return last;
  }
}
