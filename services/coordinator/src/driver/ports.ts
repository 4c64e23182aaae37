/** What the driver needs of the world. A coordinator gives it services, trainers and a disk; a test a simulated world. */
import type { CheckpointUpdate, Evaluation, Run, StepMetrics } from "@gradpool/rpc";
import type { Effect, TrainerEffect } from "../core/effects.js";
import type { MicroBatchResult, Prepared, Task } from "../core/state.js";
import type { Fact } from "../facts.js";

export interface Ports<T extends TrainingPort = TrainingPort> {
  clock: Clock;
  /** Records all of the facts or none, durably; in the order of the calls. */
  record(facts: readonly Fact[]): Promise<void>;
  /** Looks on, after the facts were recorded and before the effects that come with them are carried out. */
  observe(facts: readonly Fact[]): void;
  /** Carries out an effect as part of the trace that it belongs to. */
  traced<T>(effect: Effect, work: () => T): T;
  trainers: TrainersPort;
  /** A run that has not ended, as it is recorded. */
  openRun(run: Run, listener: RunListener): PreparingPort<T>;
  /** An error that is nobody's fault but the coordinator's, which is to survive it. */
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
  /** Says to all that a run is over. */
  endRun(runId: string): void;
}

/** What happens to a run, for whoever drives it. */
export interface RunListener {
  /** It is held up, or, with an empty reason, not any more. */
  onTrouble(reason: string): void;
  onCheckpoint(checkpoint: CheckpointUpdate): void;
  /** Something of it failed for good. */
  onFailed(error: unknown): void;
}

/** What holds for a run whatever its phase is. */
interface RunPort {
  /** Tries at once again what holds it up. */
  retry(): void;
  /** Stops all work and gives the output folder back. */
  end(): Promise<void>;
  /** Stops all work of a run that resumes when the coordinator starts again: it keeps its folder, and saves what it has. */
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
  /** Streams the micro-batches of all steps. */
  stream(onMicroBatch: (lastOfEpoch: boolean) => void): Promise<void>;
  /** Streams the held-out micro-batches, for the adapter as it is. */
  evaluate(onMicroBatch: (last: boolean) => void): Promise<void>;
  /** Takes the result of a task that the core accepted. */
  accept(task: Task, result: MicroBatchResult): void;
  /** Makes the step that is complete; whether an evaluation is due then. */
  applyStep(): { step: StepMetrics; evaluate: boolean };
  /** Takes in the evaluation that is complete; whether no step is to follow, and whether one could have. */
  applyEvaluation(): { evaluation: Evaluation; stop: boolean; stoppedEarly: boolean };
  /** Starts to save what is due after the last step, once the save before it is done. */
  saveIfDue(): Promise<void>;
  /** Saves what it has, since it may rest for long. */
  rest(): void;
  /** Writes the result. */
  finish(): Promise<void>;
}

/** What the core, people and the record want to know of a prepared run. */
export interface Findings {
  prepared: Prepared;
  found: Partial<Run>;
  steps: readonly StepMetrics[];
  evaluations: readonly Evaluation[];
}
