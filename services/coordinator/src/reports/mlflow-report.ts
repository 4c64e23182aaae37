/**
 * One run's report: all that is recorded of it goes to MLflow in order, each step once. What has arrived is asked of
 * MLflow, so a report that was interrupted anywhere continues where it was.
 */
import { setTimeout as delay } from "node:timers/promises";
import { RunState, type Run, type WatchRunResponse } from "@gradpool/rpc";
import { hasEnded } from "../record/run-record.js";
import { MAX_METRICS, MAX_PARAMS, type MlflowClient, type MlflowMetric, type MlflowRun } from "./mlflow-client.js";
import {
  EVAL_LOSS,
  LOSS,
  metricsOfEvaluation,
  metricsOfStep,
  paramsOf,
  RUN_ID_TAG,
  statusOf,
  tagsOf,
} from "./mlflow-values.js";

/** Steps wait this long for others that go with them, and this many go at once, each with at most four metrics. */
const GATHER_MS = 2_000;
const GATHER_UPDATES = MAX_METRICS / 4;

export interface ReportOptions {
  client: MlflowClient;
  /** As RunRegistry.watch. */
  watch: (signal: AbortSignal) => AsyncIterable<WatchRunResponse>;
  /** Called with its page there, once. */
  onBegun: (url: string) => void;
  signal: AbortSignal;
}

/** Returns when the run has ended and all of it has arrived. Errors: those of MlflowClient and `watch`. */
export async function reportToMlflow({ client, watch, onBegun, signal }: ReportOptions): Promise<void> {
  const over = new AbortController();
  const until = AbortSignal.any([signal, over.signal]);
  let run: Run | undefined;
  let there: MlflowRun | undefined;
  let timestamp = 0;
  try {
    for await (const updates of gathered(watch(until))) {
      const metrics: MlflowMetric[] = [];
      for (const { update } of updates) {
        if (update?.$case === "run") {
          run = update.value;
          timestamp ||= run.startedAt?.getTime() ?? 0;
        } else if (update?.$case === "step") {
          timestamp += Math.round(1_000 * update.value.seconds);
          metrics.push(...metricsOfStep(update.value, timestamp));
        } else if (update?.$case === "evaluation") {
          timestamp += Math.round(1_000 * update.value.seconds);
          metrics.push(...metricsOfEvaluation(update.value, timestamp));
        }
      }
      if (!run || (run.state === RunState.RUN_STATE_QUEUED && metrics.length === 0)) continue;
      if (!there) {
        there = await findOrCreate(client, run, signal);
        onBegun(client.pageOf(there));
      }
      const { lastSteps } = there;
      const fresh = metrics.filter(
        ({ key, step }) => step > (lastSteps.get(key.startsWith("eval_") ? EVAL_LOSS : LOSS) ?? 0),
      );
      if (fresh.length > 0) await client.logMetrics(there, fresh, signal);
    }
    if (run && there && hasEnded(run)) {
      await client.updateRun(there, statusOf(run), (run.endedAt ?? new Date()).getTime(), signal);
    }
  } finally {
    over.abort();
  }
}

async function findOrCreate(client: MlflowClient, run: Run, signal: AbortSignal): Promise<MlflowRun> {
  const { runId, spec, submittedAt = new Date() } = run;
  const experimentId = await client.experimentId(signal);
  const known = await client.findRun(experimentId, RUN_ID_TAG, runId, signal);
  const start = { name: spec?.runName || runId, startMs: submittedAt.getTime(), tags: tagsOf(run) };
  const there = known ?? (await client.createRun(experimentId, start, signal));
  const params = spec ? Object.entries(paramsOf(spec)) : [];
  for (let i = 0; i < params.length; i += MAX_PARAMS) {
    await client.logParams(there, Object.fromEntries(params.slice(i, i + MAX_PARAMS)), signal);
  }
  return there;
}

/** What an iterable yields, several at a time: those that come within GATHER_MS of the first. */
async function* gathered<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  const iterator = items[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const first = await next;
      if (first.done) return;
      const together = [first.value];
      next = iterator.next();
      const over = delay(GATHER_MS, undefined, { ref: false });
      while (together.length < GATHER_UPDATES) {
        const item = await Promise.race([next, over]);
        if (!item) break;
        if (item.done) {
          yield together;
          return;
        }
        together.push(item.value);
        next = iterator.next();
      }
      yield together;
    }
  } finally {
    // Its reader left: what it waits for ends with the reader's signal.
    next.catch(() => {});
  }
}
