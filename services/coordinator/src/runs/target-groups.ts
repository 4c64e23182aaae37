/**
 * Groups of micro-batches that make a step. One in which no row has a target is not a step: it leaves no gradient, loss or
 * number, and what is known of its rows is counted with the step before it, or with the next where it begins its epoch.
 */
import type { MicroBatch, RowCounts } from "@gradpool/rpc";
import { addCounts, countsOf, NO_ROWS } from "./row-counts.js";

/** A micro-batch of a step. */
export interface StepPart {
  microBatch: MicroBatch;
  /** What its step counts with it. */
  counts: RowCounts;
  /** It is its step's last one. */
  lastOfStep: boolean;
}

export class TargetGroups {
  readonly #gradientAccumulation: number;
  readonly #lastStep: number;
  /** Steps whose parts were all given. */
  #steps: number;
  /** Micro-batches of the group so far. */
  #size = 0;
  #hasTarget = false;
  /** Parts of a group that has no target so far. */
  #held: StepPart[] = [];
  /** The last part of a step, until it shows whether its epoch has another one. */
  #end: StepPart | undefined;
  /** Of groups that were left out before the next step. */
  #before: RowCounts = NO_ROWS;
  #leftOut = 0;

  /** `stepsDone`: those made before; `lastStep`: the number of the last one that is wanted. */
  constructor(gradientAccumulation: number, stepsDone: number, lastStep: number) {
    this.#gradientAccumulation = gradientAccumulation;
    this.#steps = stepsDone;
    this.#lastStep = lastStep;
  }

  /** Steps that are known, those made before included. */
  get steps(): number {
    return this.#steps;
  }

  /** Groups that were left out. */
  get leftOut(): number {
    return this.#leftOut;
  }

  /** Of those, what no step has counted yet. */
  get uncounted(): RowCounts {
    return this.#before;
  }

  /** Takes the next micro-batch of the stream; gives the parts of steps that are known to be such by now. */
  add(microBatch: MicroBatch): StepPart[] {
    const { lastOfEpoch, targetTokens } = microBatch;
    this.#size += 1;
    const isEnd = lastOfEpoch || this.#size === this.#gradientAccumulation;
    const part = {
      microBatch: targetTokens > 0 ? microBatch : shortened(microBatch),
      counts: countsOf(microBatch),
      lastOfStep: isEnd,
    };
    const given: StepPart[] = [];
    if (targetTokens > 0 && !this.#hasTarget) given.push(...this.#open());
    if (this.#hasTarget) given.push(...this.#take(part));
    else this.#held.push(part);
    if (!isEnd) return given;
    if (!this.#hasTarget) given.push(...this.#leaveOut(microBatch));
    this.#size = 0;
    this.#hasTarget = false;
    return given;
  }

  /** The group is a step, so that the one before it did not end its epoch. */
  #open(): StepPart[] {
    this.#hasTarget = true;
    const parts = [...(this.#end ? [this.#end] : []), ...this.#held];
    this.#end = undefined;
    this.#held = [];
    return parts;
  }

  #take(taken: StepPart): StepPart[] {
    const part = { ...taken, counts: addCounts(this.#before, taken.counts) };
    this.#before = NO_ROWS;
    if (!part.lastOfStep) return [part];
    this.#steps += 1;
    if (part.microBatch.lastOfEpoch || this.#steps === this.#lastStep) return [part];
    this.#end = part;
    return [];
  }

  #leaveOut({ lastOfEpoch, cursorAfter }: MicroBatch): StepPart[] {
    const counts = this.#held.reduce((sum, part) => addCounts(sum, part.counts), { ...NO_ROWS, stepsWithoutTarget: 1 });
    this.#held = [];
    this.#leftOut += 1;
    if (!this.#end) {
      this.#before = addCounts(this.#before, counts);
      return [];
    }
    const { microBatch, counts: own } = this.#end;
    this.#end = {
      microBatch: { ...microBatch, lastOfEpoch, cursorAfter },
      counts: addCounts(own, counts),
      lastOfStep: true,
    };
    return lastOfEpoch ? this.#given() : [];
  }

  #given(): StepPart[] {
    const parts = this.#end ? [this.#end] : [];
    this.#end = undefined;
    return parts;
  }
}

/** Nothing comes of it, so a single token stands for it: it takes no memory while it waits, and trainers hardly any time. */
function shortened({ ids, ...microBatch }: MicroBatch): MicroBatch {
  const first = { rows: 1, rowLength: 1, ids: ids.slice(0, Int32Array.BYTES_PER_ELEMENT), lengths: [1] };
  const documentLengths = microBatch.documentLengths.slice(0, 1).map(() => 1);
  return { ...microBatch, ...first, targetMask: new Uint8Array(), documentLengths };
}
