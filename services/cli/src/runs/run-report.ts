/** Reports what happens to a run: for people, or as JSON lines. */
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { count, counted, duration } from "@gradpool/format";
import { RunState, type CheckpointUpdate, type Evaluation, type Run, type StepMetrics } from "@gradpool/rpc";
import { trainableParameters } from "../terminal/format.js";
import type { Output } from "../terminal/output.js";
import { TrainingProgress } from "../terminal/training-progress.js";
import type { RunUpdate } from "./pool.js";
import { runJson, snakeKeys } from "./run-json.js";
import { hasEnded } from "./run-state.js";
import { evaluationText, reportText, resumedText, rowCountLines, stallText } from "./run-text.js";

export class RunReport {
  readonly #output: Output;
  readonly #progress = new TrainingProgress();
  #run: Run | undefined;
  #first: StepMetrics | undefined;
  #last: StepMetrics | undefined;
  #saidStart = false;
  readonly #saidNotes = new Set<string>();
  /** Step of the last evaluation reported; after a restart of the pool it may come again. */
  #evaluatedStep = 0;
  #stall = "";

  constructor(output: Output) {
    this.#output = output;
  }

  /** The run as last reported. */
  get run(): Run | undefined {
    return this.#run;
  }

  get hasEnded(): boolean {
    return this.#run !== undefined && hasEnded(this.#run);
  }

  update(update: RunUpdate): void {
    if (update.$case === "run") this.#onRun(update.value);
    else if (update.$case === "step") this.#onStep(update.value);
    else if (update.$case === "evaluation") this.#onEvaluation(update.value);
    else this.#onCheckpoint(update.value);
  }

  /** How it ended, for people. Errors: the run's own, or `cancelled`. */
  finish(): Run {
    const run = this.#run;
    this.#output.endProgress();
    if (!run || !this.hasEnded)
      throw new GradpoolError("unavailable", "the pool stopped before the run ended; see its logs");
    if (run.state === RunState.RUN_STATE_FAILED) {
      this.#sayRows(run);
      throw new GradpoolError((run.error?.code ?? "internal") as ErrorCode, run.error?.message ?? "the run failed");
    }
    if (run.state === RunState.RUN_STATE_CANCELLED) {
      throw new GradpoolError(
        "cancelled",
        `run ${run.runId} was cancelled; what it saved is in ${run.spec?.outputDir}`,
      );
    }
    this.#output.say(this.#summary(run));
    this.#sayRows(run);
    return run;
  }

  #sayRows(run: Run): void {
    for (const line of rowCountLines(run)) this.#output.say(line);
  }

  #onRun(run: Run): void {
    this.#run = run;
    this.#output.document({ event: "run", ...runJson(run) });
    if (run.state === RunState.RUN_STATE_QUEUED) this.#output.progress("waiting in the queue", true);
    if (run.state === RunState.RUN_STATE_PREPARING && run.preparing) this.#output.progress(run.preparing);
    this.#onStall(stallText(run));
    for (const note of [...run.notes, ...run.reports.map((report) => `reported to ${reportText(report)}`)]) {
      if (!this.#saidNotes.has(note)) this.#output.say(note);
      this.#saidNotes.add(note);
    }
    if (run.totalSteps > 0 && !this.#saidStart) {
      this.#saidStart = true;
      if (run.resumedFrom) this.#output.say(resumedText(run.resumedFrom, run.totalSteps));
      this.#output.say(`${counted(run.rows, "row")}, ${counted(run.totalSteps, "step")}`);
      this.#output.say(trainableParameters(run.trainableParameters, run.allParameters));
    }
  }

  /** Why it makes no steps: once, however often the run is reported. */
  #onStall(stall: string): void {
    if (stall && stall !== this.#stall) this.#output.progress(stall, true);
    this.#stall = stall;
  }

  #onStep(step: StepMetrics): void {
    this.#first ??= step;
    this.#last = step;
    this.#progress.add(step);
    this.#output.document({ event: "step", ...(snakeKeys(step) as object) });
    const totalSteps = this.#run?.totalSteps ?? 0;
    this.#output.progress(this.#progress.line(totalSteps), step.step === 1 || step.step === totalSteps);
  }

  #onEvaluation(evaluation: Evaluation): void {
    const { step } = evaluation;
    if (step <= this.#evaluatedStep) return;
    this.#evaluatedStep = step;
    this.#output.document({ event: "evaluation", ...(snakeKeys(evaluation) as object) });
    this.#output.say(`step ${count(step)}: ${evaluationText(evaluation)}`);
  }

  #onCheckpoint(checkpoint: CheckpointUpdate): void {
    this.#output.document({ event: "checkpoint", ...(snakeKeys(checkpoint) as object) });
    this.#output.say(`checkpoint ${checkpoint.removed ? "removed" : "saved"}: ${checkpoint.path}`);
  }

  #summary(run: Run): string {
    const milliseconds = (run.endedAt?.getTime() ?? 0) - (run.startedAt ?? run.submittedAt ?? new Date(0)).getTime();
    const work = `${counted(run.step, "step")}, ${counted(run.tokens, "token")}`;
    const loss = (run.lastStep ?? this.#last)?.loss;
    const first = this.#first?.step === 1 && run.step > 1 ? ` (${this.#first.loss.toFixed(4)} at the first step)` : "";
    const level = loss === undefined ? "" : `, final loss ${loss.toFixed(4)}${first}`;
    const best = run.bestEvaluation
      ? `; best ${evaluationText(run.bestEvaluation)} at step ${count(run.bestEvaluation.step)}`
      : "";
    const end = run.stoppedEarly ? "stopped early after" : "done in";
    return `${end} ${duration(milliseconds / 1000)}: ${work}${level}${best}`;
  }
}
