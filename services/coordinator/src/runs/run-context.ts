import type { Run, RunSpec } from "@gradpool/rpc";
import { absoluteOutputDir } from "@gradpool/service-kit";
import type { RunListener } from "../driver/ports.js";
import type { Doing } from "../record/run-record.js";
import type { Services } from "../services.js";
import type { Charts } from "./charts.js";
import { Outages } from "./outages.js";
import type { CheckpointSource } from "./resume.js";
import type { Platform } from "./platform.js";

/** How long the end of a run waits for the store to release its folder. */
const RELEASE_MS = 2_000;

export interface RunOptions extends RunListener {
  /** Shown to users. */
  onDoing: (doing: Partial<Doing>) => void;
  /** Of the trainers in the pool. */
  platforms: () => Platform[];
  /** As it is recorded. */
  run: Run;
  /** How often the run has changed hands between coordinators; 0: it never does. */
  ownerEpoch: number;
  services: Services;
  charts: Charts;
  /** For the log: what is missing from a run that does not fail because of it. */
  onRemark: (text: string) => void;
  recoveryMs: number;
}

/** What a run has in every phase. */
export class RunContext {
  readonly options: RunOptions;
  readonly runId: string;
  readonly spec: RunSpec;
  readonly outages: Outages;
  readonly #over = new AbortController();

  constructor(options: RunOptions) {
    const { runId, spec } = options.run;
    if (!spec) throw new Error(`run ${runId} has no spec`);
    this.options = options;
    this.runId = runId;
    this.spec = spec;
    this.outages = new Outages((reason) => options.onTrouble(reason));
  }

  /** Aborted to stop all work of the run. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** What its service calls need. */
  get source(): CheckpointSource {
    return { services: this.options.services, outages: this.outages, signal: this.signal };
  }

  stop(): void {
    this.#over.abort();
  }

  /** Releases the output folder. */
  async release(): Promise<void> {
    const { ownerEpoch } = this.options;
    const claim = { outputDir: absoluteOutputDir(this.spec.outputDir), runId: this.runId, ownerEpoch };
    const signal = AbortSignal.timeout(RELEASE_MS);
    const give = () => this.options.services.checkpointStore.release(claim, { signal });
    // A store that stopped has released its claims by itself.
    await new Outages(() => {}).waitOut("checkpoint-store", give, signal).catch(() => {});
  }
}
