/**
 * The spans of one run since the coordinator started. A week-long run has a million steps, so its trace holds few
 * of them: the first step and evaluation after each start and each pause, and those in which a micro-batch was lost or
 * failed. Of the others, one in ten seconds is a trace of its own, linked to the run's.
 */
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import type { Evaluation, Run, StepMetrics } from "@gradpool/rpc";
import {
  recordError,
  startSpan,
  traceparentOf,
  within,
  withinSpan,
  type Attributes,
  type Span,
} from "@gradpool/tracing";
import type { TaskFact } from "../core/facts.js";
import type { Task, TaskResult } from "../core/state.js";

/** Least time between two steps or evaluations with a trace of their own. */
export const OWN_TRACE_INTERVAL_MS = 10_000;
/** At most this many steps and evaluations are in the run's own trace, per start of the coordinator. */
export const MAX_GROUPS_IN_RUN = 100;

/** The micro-batches of a step, or of an evaluation. */
interface Group {
  kind: "step" | "evaluation";
  step: number;
  startMs: number;
  /** None when it is not traced; two when it was added to the run's trace while it had its own. */
  spans: Span[];
  isInRun: boolean;
}

interface OpenTask {
  startMs: number;
  span: Span | undefined;
  /** Its span is part of the run's trace. */
  isInRun: boolean;
  attributes: Attributes;
}

export class RunTrace {
  /** Which run it is. */
  readonly #about: Attributes;
  readonly #tags: readonly string[];
  readonly #traceparent: string;
  readonly #clock: () => number;
  readonly #tasks = new Map<string, OpenTask>();
  #group: Group | undefined;
  #groupsInRun = 0;
  /** Kinds whose next group is the first after a start or a pause. */
  #first = new Set<Group["kind"]>(["step", "evaluation"]);
  #ownTraceMs = -Infinity;

  /** `clock`: milliseconds since 1970. */
  constructor({ runId, spec, traceparent }: Pick<Run, "runId" | "spec" | "traceparent">, clock: () => number) {
    this.#about = { "gradpool.run_id": runId, ...(spec?.runName && { "gradpool.run_name": spec.runName }) };
    this.#tags = spec?.tags ?? [];
    this.#traceparent = traceparent;
    this.#clock = clock;
  }

  openGroup(kind: Group["kind"], step: number): void {
    this.#group = this.#beginGroup(kind, step);
  }

  closeGroup(): void {
    for (const span of this.#group?.spans ?? []) span.end();
    this.#group = undefined;
  }

  /** The next groups are the first after a pause. */
  rest(): void {
    this.#first = new Set(["step", "evaluation"]);
  }

  taskChanged(fact: TaskFact): void {
    if (fact.type === "task-assigned") this.#assigned(fact);
    else if (fact.type === "task-accepted") this.#taskEnded(fact.task, "accepted", fact.result);
    else if (fact.type === "task-cancelled") this.#taskEnded(fact.task, "cancelled");
    else this.taskFailed(fact.task, new GradpoolError(fact.code as ErrorCode, fact.message));
  }

  #assigned({ task, attempt, deviceClass, waitedMs }: TaskFact & { type: "task-assigned" }): void {
    const group = this.#group;
    if (!group) return;
    const { taskId, trainerId, microBatch } = task;
    const startMs = this.#clock();
    const attributes = {
      ...this.#attributesOf(group),
      "gradpool.task_id": taskId,
      "gradpool.micro_batch": microBatch,
      "gradpool.attempt": attempt,
      "gradpool.trainer_id": trainerId,
      "gradpool.device_class": deviceClass,
      "gradpool.queue_ms": waitedMs,
    };
    const parent = group.spans.at(-1);
    const span = parent && startSpan("micro-batch", { parent: traceparentOf(parent), attributes, startMs });
    this.#tasks.set(taskId, { startMs, span, isInRun: group.isInRun, attributes });
  }

  /** Parent of the trainer's part of a trace; "" when the task is not traced. */
  traceparentOf(taskId: string): string {
    const span = this.#tasks.get(taskId)?.span;
    return span ? traceparentOf(span) : "";
  }

  /** A task failed, or its trainer was lost: its micro-batch waits for another. */
  taskFailed({ taskId }: Task, error: GradpoolError): void {
    const task = this.#tasks.get(taskId);
    this.#tasks.delete(taskId);
    const group = this.#group;
    if (!task || !group) return;
    const spans = task.span ? [task.span] : [];
    if (!task.isInRun && (group.isInRun || this.#bringIntoRun(group))) {
      const parent = traceparentOf(group.spans.at(-1) as Span);
      spans.push(startSpan("micro-batch", { parent, attributes: task.attributes, startMs: task.startMs }));
    }
    for (const span of spans) {
      recordError(span, error);
      span.end();
    }
  }

  stepMade({ loss, gradNorm, learningRate, tokens, epoch }: StepMetrics): void {
    this.#describeGroup({
      "gradpool.loss": loss,
      "gradpool.grad_norm": gradNorm,
      "gradpool.learning_rate": learningRate,
      "gradpool.tokens": tokens,
      "gradpool.epoch": epoch,
    });
  }

  evaluated({ loss, tokens, epoch }: Evaluation): void {
    this.#describeGroup({ "gradpool.loss": loss, "gradpool.tokens": tokens, "gradpool.epoch": epoch });
  }

  /** The run has ended: a span from submission to end sums it up. */
  ended({ state, step, tokens, submittedAt, error }: Run): void {
    const attributes = {
      ...this.#about,
      ...(this.#tags.length > 0 && { "gradpool.tags": [...this.#tags] }),
      "gradpool.state": state.replace(/^RUN_STATE_/, "").toLowerCase(),
      "gradpool.step": step,
      "gradpool.tokens": tokens,
    };
    const startMs = submittedAt?.getTime() ?? this.#clock();
    const span = startSpan("run", { parent: this.#traceparent, attributes, startMs });
    if (error) recordError(span, new GradpoolError(error.code as ErrorCode, error.message));
    span.end();
  }

  /** Spans that `work` starts are part of the run's trace. */
  within<T>(work: () => T): T {
    return within(this.#traceparent, work);
  }

  /** Spans that `work` starts are part of the current step or evaluation, and of no trace if that is not traced. */
  withinGroup<T>(work: () => T): T {
    const span = this.#group?.spans.at(-1);
    return span ? withinSpan(span, work) : within("", work);
  }

  #beginGroup(kind: Group["kind"], step: number): Group {
    const startMs = this.#clock();
    const group: Group = { kind, step, startMs, spans: [], isInRun: false };
    if (this.#first.delete(kind) && this.#bringIntoRun(group)) return group;
    if (startMs - this.#ownTraceMs < OWN_TRACE_INTERVAL_MS) return group;
    this.#ownTraceMs = startMs;
    const attributes = this.#attributesOf(group);
    group.spans.push(startSpan(kind, { parent: "", link: this.#traceparent, attributes, startMs }));
    return group;
  }

  /** A task's result was accepted or is no longer needed. */
  #taskEnded({ taskId }: Task, how: "accepted" | "cancelled", result?: TaskResult): void {
    const task = this.#tasks.get(taskId);
    this.#tasks.delete(taskId);
    if (!task?.span) return;
    task.span.setAttribute("gradpool.outcome", how);
    if (result) task.span.setAttributes(numbersOf(result, this.#clock() - task.startMs));
    task.span.end();
  }

  /** False when the run's trace is full. */
  #bringIntoRun(group: Group): boolean {
    if (this.#groupsInRun >= MAX_GROUPS_IN_RUN) return false;
    this.#groupsInRun += 1;
    const { kind, startMs } = group;
    const attributes = this.#attributesOf(group);
    group.spans.push(startSpan(kind, { parent: this.#traceparent, attributes, startMs }));
    group.isInRun = true;
    return true;
  }

  #describeGroup(attributes: Attributes): void {
    for (const span of this.#group?.spans ?? []) span.setAttributes(attributes);
  }

  #attributesOf({ step }: Group): Attributes {
    return { ...this.#about, "gradpool.step": step };
  }
}

/** `totalMs`: between assignment and result. What is neither computing nor waiting is transfer time. */
function numbersOf({ lossSum, targetTokens, computeMs, waitMs, fetchMs }: TaskResult, totalMs: number): Attributes {
  return {
    "gradpool.tokens": targetTokens,
    "gradpool.loss": lossSum / Math.max(1, targetTokens),
    "gradpool.compute_ms": computeMs,
    "gradpool.wait_ms": waitMs - fetchMs,
    "gradpool.transfer_ms": Math.max(0, totalMs - computeMs - waitMs) + fetchMs,
  };
}
