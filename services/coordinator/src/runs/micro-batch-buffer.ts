import { once } from "node:events";
import type { MicroBatch, RowCounts } from "@gradpool/rpc";
import { addCounts, NO_ROWS } from "./row-counts.js";
import type { StepPart } from "./target-groups.js";

/** Micro-batches of a run that are read ahead: enough to keep a few dozen trainers busy. */
export const MAX_MICRO_BATCHES_AHEAD = 128;

const NONE = new Uint8Array();

/** Micro-batches between the data stream and their results, by step. */
export class MicroBatchBuffer {
  /** Steps from #firstStep on; the last one is still being filled. */
  #steps: StepPart[][] = [[]];
  #firstStep: number;
  #waiting = 0;
  readonly #room = new EventTarget();

  /** `stepsDone`: earlier steps; the first micro-batch belongs to the next one. */
  constructor(stepsDone: number) {
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

  add(part: StepPart): void {
    const last = this.#steps.at(-1) as StepPart[];
    last.push(part);
    this.#waiting += 1;
    if (part.lastOfStep) this.#steps.push([]);
  }

  get(step: number, microBatch: number): MicroBatch {
    const found = this.#steps[step - this.#firstStep]?.[microBatch];
    if (!found) throw new Error(`step ${step} has no micro-batch ${microBatch}`);
    return found.microBatch;
  }

  /** Frees a micro-batch's tokens: its result has arrived. */
  done(step: number, microBatch: number): void {
    Object.assign(this.get(step, microBatch), { ids: NONE, targetMask: NONE });
    this.#waiting -= 1;
    this.#room.dispatchEvent(new Event("room"));
  }

  /** Removes the micro-batches of the oldest step, all done, and returns the last of them with the step's row counts. */
  takeStep(): Omit<StepPart, "lastOfStep"> {
    const parts = this.#steps.shift() ?? [];
    const last = parts.at(-1);
    if (!last) throw new Error("the step has no micro-batch");
    this.#firstStep += 1;
    const counts = parts.reduce<RowCounts>((sum, part) => addCounts(sum, part.counts), NO_ROWS);
    return { microBatch: last.microBatch, counts };
  }
}
