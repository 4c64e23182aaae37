/**
 * What a run store in PostgreSQL costs a coordinator: the same short runs in turn on SQLite and on PostgreSQL; then GetRun while a run
 * trains, with a thousand unfinished runs and a hundred watchers.
 */
import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PostgresServer, Stack, tinyRun } from "@gradpool/integration-tests";
import { compareSteps, shortRows } from "./compare-steps.js";
import { quantile } from "./rounds.js";

/** Unfinished at most: one more trains. */
const QUEUED = 999;
const WATCHERS = 100;
const CALLS = 2_000;

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "9" }, only: { type: "string", default: "" } },
});
const dir = await mkdtemp(join(tmpdir(), "gradpool-store-cost-"));
const dataset = await shortRows(dir);

async function manyRuns(stack: Stack): Promise<void> {
  const runIds: string[] = [];
  // Paused, so that they neither prepare nor train.
  for (let i = 0; i < QUEUED; i++) {
    const { runId } = await stack.submit(tinyRun(dataset, join(dir, randomUUID())));
    await stack.runs.pauseRun({ requestId: randomUUID(), runId });
    runIds.push(runId);
  }
  const training = stack.train(tinyRun(dataset, join(dir, "training"), { gradientAccumulation: 1, epochs: 20 }));
  let isOver = false;
  training.finally(() => (isOver = true)).catch(() => {});
  const over = new AbortController();
  setMaxListeners(WATCHERS, over.signal);
  const watch = async (runId: string) => {
    for await (const _ of stack.runs.watchRun({ runId, afterStep: 0 }, { signal: over.signal }));
  };
  for (const runId of runIds.slice(0, WATCHERS)) void watch(runId).catch(() => {});
  const times: number[] = [];
  for (let i = 0; i < CALLS && !isOver; i++) {
    const begunMs = performance.now();
    await stack.runs.getRun({ runId: runIds[i % runIds.length] ?? "" });
    times.push(performance.now() - begunMs);
  }
  console.log(
    `GetRun, ${QUEUED + 1} unfinished runs and ${WATCHERS} watchers, while training: ` +
      `p50 ${quantile(times, 0.5).toFixed(1)} ms, p99 ${quantile(times, 0.99).toFixed(1)} ms of ${times.length} calls`,
  );
  over.abort();
}

try {
  await using server = await PostgresServer.start({ fsync: true });
  if (values.only !== "many") {
    await using sqlite = await Stack.start({ trainers: 1, runStore: join(dir, "runs.sqlite") });
    await using postgres = await Stack.start({ trainers: 1, runStore: await server.emptyDatabase() });
    const pools = { SQLite: sqlite, PostgreSQL: postgres };
    await compareSteps(pools, "SQLite", { dir, dataset, rounds: Number(values.rounds) });
  }
  if (values.only !== "steps") {
    await using stack = await Stack.start({ trainers: 1, runStore: await server.emptyDatabase() });
    await manyRuns(stack);
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
