import { inSpan } from "@gradpool/tracing";
import type { PreparingPort } from "../driver/ports.js";
import { Checkpoints } from "./checkpoints.js";
import { prepareRun } from "./prepare.js";
import { startOf } from "./progress.js";
import { RunContext, type RunOptions } from "./run-context.js";
import { specRecipe } from "./spec.js";
import { loadTokenizerFiles } from "./tokenizer-files.js";
import { TrainingRun } from "./training-run.js";

/** A run from its submission until its first step can begin. */
export class PreparingRun implements PreparingPort<TrainingRun> {
  readonly #context: RunContext;

  constructor(options: RunOptions) {
    this.#context = new RunContext(options);
  }

  /** Errors: those of prepareRun. */
  prepare(): Promise<TrainingRun> {
    return inSpan("prepare", {}, () => this.#prepare());
  }

  retry(): void {
    this.#context.outages.wake();
  }

  async end(): Promise<void> {
    this.#context.stop();
    await this.#context.release();
  }

  leave(): Promise<void> {
    this.#context.stop();
    return Promise.resolve();
  }

  async #prepare(): Promise<TrainingRun> {
    const { options, runId, spec, source, signal } = this.#context;
    const { run, ownerEpoch, onDoing, platforms } = options;
    const prepared = await prepareRun({
      ...{ ...source, runId, ownerEpoch, spec, recipe: specRecipe(spec), platforms: platforms() },
      before: run.startedAt && { rows: run.rows, resumedFrom: run.resumedFrom },
      report: (preparing) => onDoing({ preparing }),
    });
    const tokenizerFiles = await loadTokenizerFiles(prepared.dataset.tokenizer, source);
    // It may have been cancelled while the last response was on its way.
    signal.throwIfAborted();
    const progress = startOf(prepared);
    const checkpoints = new Checkpoints({ ...options, ...source }, progress.steps.length);
    const startedAt = run.startedAt ?? new Date();
    return new TrainingRun(this.#context, { prepared, tokenizerFiles, checkpoints, startedAt }, progress);
  }
}
