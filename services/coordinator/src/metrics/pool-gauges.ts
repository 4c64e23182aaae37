import { RunState, TrainerState, type Run, type Trainer } from "@gradpool/rpc";
import type { MetricSet, Reading } from "@gradpool/service-kit";
import { waitingIn } from "../core/assignment.js";
import type { PoolState } from "../core/state.js";
import { ON_REQUEST } from "../core/runs.js";

/** The pool at the time of a scrape. */
export interface PoolView {
  state: PoolState;
  /** Those that have not ended. */
  runs: readonly Run[];
  /** Those that are connected. */
  trainers: readonly Trainer[];
  /** Events that are not published yet. */
  eventsWaiting: number;
}

const RUN_STATES: ReadonlyMap<RunState, string> = new Map([
  [RunState.RUN_STATE_QUEUED, "queued"],
  [RunState.RUN_STATE_PREPARING, "preparing"],
  [RunState.RUN_STATE_RUNNING, "running"],
  [RunState.RUN_STATE_PAUSED, "paused"],
]);

const TRAINER_STATES: ReadonlyMap<TrainerState, string> = new Map([
  [TrainerState.TRAINER_STATE_ACTIVE, "active"],
  [TrainerState.TRAINER_STATE_DRAINING, "draining"],
  [TrainerState.TRAINER_STATE_QUARANTINED, "quarantined"],
]);

/** Runs or trainers beyond this many have no gauges of their own. */
const MAX_LISTED = 256;

/** Gauges of runs and trainers. */
export function readPool(set: MetricSet, view: () => PoolView): void {
  set.gauge("gradpool_runs", "Runs that have not ended, by state.", ["state"], () =>
    countBy(view().runs, RUN_STATES, ({ state }) => state),
  );
  set.gauge("gradpool_runs_held_up", "Runs held up by something other than a pause request.", [], () => [
    [view().runs.filter(({ pausedBecause, waitingFor }) => isTrouble(pausedBecause) || waitingFor !== "").length],
  ]);
  set.gauge("gradpool_runs_without_trainer", "Running runs that no trainer of the pool can serve.", [], () => [
    [view().runs.filter(({ waitingFor }) => waitingFor !== "").length],
  ]);
  set.gauge("gradpool_trainers", "Connected trainers, by state.", ["state"], () =>
    countBy(view().trainers, TRAINER_STATES, ({ state }) => state),
  );
  set.gauge("gradpool_micro_batches_waiting", "Micro-batches that could be handed to a trainer now.", [], () => [
    [view().state.runs.reduce((sum, run) => sum + waitingIn(run).length, 0)],
  ]);
  set.gauge("gradpool_micro_batches_out", "Micro-batches assigned to trainers.", [], () => [
    [view().state.tasks.length],
  ]);
  set.gauge("gradpool_event_outbox_events", "Events not yet published to NATS; 0 without NATS.", [], () => [
    [view().eventsWaiting],
  ]);
  readRuns(set, view);
  readTrainers(set, view);
}

function readRuns(set: MetricSet, view: () => PoolView): void {
  const running = () =>
    view()
      .runs.filter(({ totalSteps }) => totalSteps > 0)
      .slice(0, MAX_LISTED);
  const perRun = (name: string, help: string, of: (run: Run) => number | undefined) =>
    set.gauge(name, help, ["run_id"], () => readings(running(), of, ({ runId }) => ({ run_id: runId })));
  perRun("gradpool_run_step", "Steps a run has made. Absent after it ends.", ({ step }) => step);
  perRun("gradpool_run_total_steps", "Total steps of a run.", ({ totalSteps }) => totalSteps);
  perRun("gradpool_run_loss", "Loss of a run's last step, in nats per target token.", ({ lastStep }) => lastStep?.loss);
}

function readTrainers(set: MetricSet, view: () => PoolView): void {
  const labels = ({ trainerId, device }: Trainer) => ({ trainer_id: trainerId, device });
  const perTrainer = (name: string, help: string, of: (trainer: Trainer) => number) =>
    set.gauge(name, help, ["trainer_id", "device"], () => readings(view().trainers.slice(0, MAX_LISTED), of, labels));
  perTrainer(
    "gradpool_trainer_tokens_per_second",
    "Target tokens a second while a trainer computes, over its last micro-batches. Absent after it leaves.",
    ({ tokensPerSecond }) => tokensPerSecond,
  );
  perTrainer(
    "gradpool_trainer_utilization_ratio",
    "Share of the last half minute in which a trainer's device computed.",
    ({ deviceUse }) => deviceUse,
  );
  perTrainer("gradpool_trainer_resident_bytes", "Memory of a trainer's process.", ({ residentBytes }) => residentBytes);
}

const isTrouble = (pausedBecause: string): boolean => pausedBecause !== "" && pausedBecause !== ON_REQUEST;

/** Every state has a value, so that zero differs from no data. */
function countBy<T, S>(all: readonly T[], names: ReadonlyMap<S, string>, stateOf: (one: T) => S): Reading<"state">[] {
  return [...names].map(([state, name]) => [all.filter((one) => stateOf(one) === state).length, { state: name }]);
}

function* readings<T, L extends string>(
  all: readonly T[],
  of: (one: T) => number | undefined,
  labels: (one: T) => Record<L, string>,
): Iterable<Reading<L>> {
  for (const one of all) {
    const value = of(one);
    if (value !== undefined) yield [value, labels(one)];
  }
}
