/** The traces of the runs that have not ended. Watches what the core decides; nothing depends on it. */
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import type { Evaluation, ResultHeader, Run, StepMetrics } from "@gradpool/rpc";
import { isSampled, within } from "@gradpool/tracing";
import type { Effect, TaskState } from "../core/state.js";
import type { Happened } from "../event-loop.js";
import { RunTrace } from "./run-trace.js";

const LOST = new GradpoolError("unavailable", "its trainer was lost; another computes it");

export class RunTraces {
  /** Of runs whose trace is kept. */
  readonly #runs = new Map<string, RunTrace>();
  readonly #clock: () => number;

  /** `clock`: milliseconds since 1970. */
  constructor(clock: () => number = Date.now) {
    this.#clock = clock;
  }

  /** A run is submitted, or taken up again. */
  begin({ runId, traceparent }: Run): void {
    if (isSampled(traceparent)) this.#runs.set(runId, new RunTrace(runId, traceparent, this.#clock));
  }

  /** Before the effects of what happened are carried out. */
  observe(happened: Happened): void {
    if (this.#runs.size === 0) return;
    const { before, after, effects } = happened;
    const kept = new Set(after.tasks);
    for (const task of before.tasks) if (!kept.has(task)) this.#taskGone(task, happened);
    for (const [runId, trace] of this.#runs) trace.follow(after.runs.find((run) => run.runId === runId));
    for (const effect of effects) {
      if (effect.type !== "assign") continue;
      const run = after.runs.find(({ runId }) => runId === effect.task.runId);
      if (run) this.#runs.get(run.runId)?.assigned(effect.task, run);
    }
  }

  /** Carries out an effect as part of the trace that it belongs to. */
  within<T>(effect: Effect, work: () => T): T {
    const trace = "runId" in effect ? this.#runs.get(effect.runId) : undefined;
    if (!trace) return within("", work);
    // Saves and held-out data come again and again: they are traced as often as steps are.
    const isOfGroup = ["apply-step", "open-evaluation", "apply-evaluation"].includes(effect.type);
    return isOfGroup ? trace.withinGroup(work) : trace.within(work);
  }

  resultArrived(result: ResultHeader): void {
    this.#runs.get(result.runId)?.arrived(result);
  }

  /** For the trainer; "" when the task is not traced. */
  traceparentOf({ runId, taskId }: TaskState): string {
    return this.#runs.get(runId)?.traceparentOf(taskId) ?? "";
  }

  stepMade(runId: string, step: StepMetrics): void {
    this.#runs.get(runId)?.stepMade(step);
  }

  evaluated(runId: string, evaluation: Evaluation): void {
    this.#runs.get(runId)?.evaluated(evaluation);
  }

  /** The run is over; `run`: as it is recorded then. */
  ended(run: Run): void {
    this.#runs.get(run.runId)?.ended(run);
    this.#runs.delete(run.runId);
  }

  #taskGone(task: TaskState, { event, effects }: Happened): void {
    const trace = this.#runs.get(task.runId);
    if (!trace) return;
    const { taskId } = task;
    if (event?.type === "task-failed" && event.taskId === taskId) {
      trace.taskFailed(task, new GradpoolError(event.code as ErrorCode, event.message));
    } else if (event?.type === "result-arrived" && event.taskId === taskId) {
      trace.taskEnded(task, "accepted");
    } else if (effects.some((effect) => effect.type === "cancel-task" && effect.taskId === taskId)) {
      trace.taskEnded(task, "cancelled");
    } else {
      trace.taskFailed(task, LOST);
    }
  }
}
