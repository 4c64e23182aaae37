/** What the driver needs from outside. A coordinator provides services, trainers and a disk; a test simulates them. */
import type { CheckpointUpdate, Evaluation, RowCounts, Run, StepMetrics } from "@gradpool/rpc";
import type { Effect, TrainerEffect } from "../core/effects.js";
import type { MicroBatchResult, Needs, Outcome, Prepared, Task } from "../core/state.js";
import type { Fact } from "../facts.js";

export interface Ports<T extends TrainingPort = TrainingPort> {
  clock: Clock;
  /** Records the facts of all of these turns or none, durably; in the order of the calls. */
  record(turns: readonly (readonly Fact[])[]): Promise<void>;
  /** Called after the facts are recorded and before their effects are carried out. */
  observe(facts: readonly Fact[]): void;
  /** Carries out an effect as part of the trace that it belongs to. */
  traced<T>(effect: Effect, work: () => T): T;
  trainers: TrainersPort;
  /** A run that has not ended, as it is recorded. */
  openRun(run: Run, listener: RunListener): PreparingPort<T>;
  /** A bug of the coordinator, which survives it. */
  onUnexpected(runId: string, error: unknown): void;
  /** The driver has stopped: a broken invariant, or a store that refuses. */
  onCrash(error: unknown): void;
}

export interface Clock {
  /** Monotonic, in milliseconds. */
  nowMs(): number;
  /** Errors: `signal`'s reason when it aborts before. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export interface TrainersPort {
  carryOut(effect: TrainerEffect): void;
  /** Tells all trainers that a run has ended. */
  endRun(runId: string): void;
}

/** What a run reports to its driver. */
export interface RunListener {
  /** It is held up, or, with an empty reason, no longer. */
  onTrouble(reason: string): void;
  onCheckpoint(checkpoint: CheckpointUpdate): void;
  /** Something of it failed for good. */
  onFailed(error: unknown): void;
}

/** What a run has in every phase. */
interface RunPort {
  /** Retries at once what holds it up. */
  retry(): void;
  /** Stops all work and releases the output folder; what a failed run made is saved first. */
  end(outcome: Outcome): Promise<void>;
  /** Stops all work of a run that resumes after a restart: it keeps its folder, and saves what it has. */
  leave(): Promise<void>;
}

/** A run from its submission until its first step can begin. */
export interface PreparingPort<T extends TrainingPort> extends RunPort {
  /** Gives the run in its next phase, which replaces this one. */
  prepare(): Promise<T>;
}

/** The I/O of one run: its data, numbers and files. The core says what to do when. */
export interface TrainingPort extends RunPort {
  readonly findings: Findings;
  /** Streams the micro-batches of all steps; gives the number of the last one, once all are there. */
  stream(onMicroBatch: (lastOfStep: boolean, needs?: Needs) => void): Promise<number>;
  /** Streams the held-out micro-batches, for the adapter as it is. */
  evaluate(onMicroBatch: (last: boolean) => void): Promise<void>;
  /** Takes the result of a task that the core accepted. */
  accept(task: Task, result: MicroBatchResult): void;
  /** Applies the complete step; returns the row counts of all steps so far, and whether an evaluation is due. */
  applyStep(): { step: StepMetrics; rowCounts: RowCounts; evaluate: boolean };
  /** Records the complete evaluation; returns whether to stop, and whether a step could have followed. */
  applyEvaluation(): { evaluation: Evaluation; stop: boolean; stoppedEarly: boolean };
  /** Starts the save that is due after the last step, once the previous save is done. */
  saveIfDue(): Promise<void>;
  /** Saves what it has, since the pause may be long. */
  rest(): void;
  /** Writes the result. */
  finish(): Promise<void>;
}

/** What the core, users and the record need to know of a prepared run. */
export interface Findings {
  prepared: Prepared;
  found: Partial<Run>;
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
}
