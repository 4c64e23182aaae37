/**
 * Runs that ask for it, reported to MLflow (docs/decisions/0040-reports-to-mlflow.md). Each report follows its run as any watcher
 * does: a run never waits for it. It ends when MLflow has all, and until then continues after every restart.
 */
import { isDeepStrictEqual } from "node:util";
import { setTimeout as delay } from "node:timers/promises";
import { GradpoolError } from "@gradpool/errors";
import { MLFLOW } from "@gradpool/recipe";
import { RunReport, type Run, type RunSpec } from "@gradpool/rpc";
import { Backoff, type Logger } from "@gradpool/service-kit";
import type { Driver } from "../driver/driver.js";
import type { Fact } from "../facts.js";
import { hasEnded, isUnreported } from "../record/run-record.js";
import type { RunRegistry } from "../record/run-registry.js";
import { MlflowClient, type MlflowSettings } from "./mlflow-client.js";
import { reportToMlflow } from "./mlflow-report.js";

/** Between attempts to reach MLflow. */
const PAUSES = { firstMs: 500, longestMs: 60_000 };

/** How long a stopping coordinator waits for the last of runs that have ended. */
const LAST_REPORTS_MS = 5_000;

export interface ReporterOptions {
  /** The server, or why there is none. */
  mlflow: MlflowSettings | string;
  registry: RunRegistry;
  driver: Pick<Driver, "happen">;
  log: Logger;
}

/** What MLflow answers for good; anything else may pass. */
const FINAL: ReadonlySet<string> = new Set(["not_found", "failed_precondition", "invalid_argument"]);

export class Reporter implements AsyncDisposable {
  readonly #options: ReporterOptions;
  readonly #client: MlflowClient | undefined;
  readonly #stopping = new AbortController();
  /** By run. */
  readonly #reports = new Map<string, Promise<void>>();

  constructor(options: ReporterOptions) {
    this.#options = options;
    const { mlflow, registry } = options;
    this.#client = typeof mlflow === "string" ? undefined : new MlflowClient(mlflow);
    for (const run of registry.unreported) this.#begin(run);
  }

  /** Errors: `failed_precondition` where there is no server for what the spec asks for. */
  check(spec: RunSpec | undefined): void {
    const { mlflow } = this.#options;
    if (typeof mlflow !== "string" || !spec?.reportTo.includes(MLFLOW)) return;
    throw new GradpoolError("failed_precondition", `report_to mlflow: ${mlflow}`);
  }

  observe(facts: readonly Fact[]): void {
    for (const fact of facts) {
      const isBegun = fact.type === "run-submitted" || fact.type === "run-recovered";
      if (isBegun && isUnreported(fact.run) && !this.#reports.has(fact.run.runId)) this.#begin(fact.run);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { registry } = this.#options;
    const ended = [...this.#reports].filter(([runId]) => registry.has(runId) && registry.get(runId).hasEnded);
    const reachable = ended.filter(([runId]) => !registry.get(runId).recorded.reports.some(({ problem }) => problem));
    const waited = delay(LAST_REPORTS_MS, undefined, { ref: false });
    await Promise.race([Promise.all(reachable.map(([, report]) => report)), waited]);
    this.#stopping.abort();
    await Promise.all(this.#reports.values());
  }

  #begin({ runId }: Run): void {
    const client = this.#client;
    if (!client) return;
    const report = this.#report(runId, client).finally(() => this.#reports.delete(runId));
    this.#reports.set(runId, report);
  }

  async #report(runId: string, client: MlflowClient): Promise<void> {
    const { registry, log } = this.#options;
    const { signal } = this.#stopping;
    const backoff = new Backoff(PAUSES);
    let url = "";
    while (!signal.aborted && this.#isHere(runId)) {
      try {
        await reportToMlflow({
          ...{ client, signal, watch: (until) => registry.watch(runId, 0, until) },
          onBegun: (page) => {
            backoff.reset();
            url = page;
            void this.#tell(runId, { url });
          },
        });
        if (registry.has(runId) && hasEnded(registry.get(runId).recorded))
          return await this.#tell(runId, { url, complete: true });
      } catch (reason) {
        if (signal.aborted || !this.#isHere(runId)) return;
        const { code, message: problem } = GradpoolError.from(reason);
        const complete = FINAL.has(code);
        log.warn({ runId }, complete ? `not reported: ${problem}` : `reported later: ${problem}`);
        await this.#tell(runId, { url, problem, complete });
        if (complete) return;
      }
      await backoff.pause(signal).catch(() => {});
    }
  }

  /** Whether its report is this coordinator's: another that has the run begins one of its own. */
  #isHere(runId: string): boolean {
    const { registry } = this.#options;
    return registry.has(runId) && !registry.get(runId).isOthers;
  }

  async #tell(runId: string, news: Partial<RunReport>): Promise<void> {
    const { registry, driver } = this.#options;
    const report = { ...RunReport.create({ to: MLFLOW }), ...news };
    await driver.happen(() => {
      if (!this.#isHere(runId)) return {};
      const isNews = !registry.get(runId).recorded.reports.some((other) => isDeepStrictEqual(other, report));
      return { facts: isNews ? [{ type: "run-reported", runId, report }] : [] };
    });
  }
}
