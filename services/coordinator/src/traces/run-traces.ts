/** The traces of the runs that have not ended: a projection of facts, on which nothing depends. */
import { GradpoolError } from "@gradpool/errors";
import type { Run } from "@gradpool/rpc";
import { isSampled, within } from "@gradpool/tracing";
import type { Effect } from "../core/effects.js";
import type { Task } from "../core/state.js";
import type { Fact } from "../facts.js";
import { RunTrace } from "./run-trace.js";

const LOST = new GradpoolError("unavailable", "its trainer was lost; another computes it");

export class RunTraces {
  /** Of runs whose trace is kept. */
  readonly #runs = new Map<string, RunTrace>();
  readonly #recordOf: (runId: string) => Run;
  readonly #clock: () => number;

  /** `recordOf`: a run as it is recorded. `clock`: milliseconds since 1970. */
  constructor(recordOf: (runId: string) => Run, clock: () => number = Date.now) {
    this.#recordOf = recordOf;
    this.#clock = clock;
  }

  /** Before the effects that come with the facts are carried out. */
  observe(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.type === "run-submitted" || fact.type === "run-recovered") this.#begin(fact.run);
      else if (this.#runs.size > 0) this.#follow(fact);
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

  /** Carries out `work` as part of a run's trace, before the run's end is observed. */
  withinRun<T>(runId: string, work: () => T): T {
    const trace = this.#runs.get(runId);
    return trace ? trace.within(work) : within("", work);
  }

  /** For the trainer; "" when the task is not traced. */
  traceparentOf({ runId, taskId }: Task): string {
    return this.#runs.get(runId)?.traceparentOf(taskId) ?? "";
  }

  #begin(run: Run): void {
    if (isSampled(run.traceparent)) this.#runs.set(run.runId, new RunTrace(run, this.#clock));
  }

  #follow(fact: Fact): void {
    if (fact.type === "trainer-lost") {
      for (const task of fact.tasks) this.#runs.get(task.runId)?.taskFailed(task, LOST);
    } else if ("task" in fact) {
      this.#runs.get(fact.task.runId)?.taskChanged(fact);
    } else if ("runId" in fact) {
      const trace = this.#runs.get(fact.runId);
      if (fact.type === "group-opened") trace?.openGroup(fact.evaluation ? "evaluation" : "step", fact.step);
      if (fact.type === "group-closed") trace?.closeGroup();
      if (fact.type === "run-state" && fact.state !== "running") trace?.rest();
      if (fact.type === "step-made") trace?.stepMade(fact.step);
      if (fact.type === "evaluation-made") trace?.evaluated(fact.evaluation);
      if (fact.type === "run-ended") trace?.ended(this.#recordOf(fact.runId));
      if (fact.type === "run-ended" || fact.type === "run-given-up") this.#runs.delete(fact.runId);
    }
  }
}
