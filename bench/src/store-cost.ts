/**
 * What a run store in PostgreSQL costs a coordinator: the same short runs in turn on SQLite and on PostgreSQL; then GetRun while a run
 * trains, with a thousand unfinished runs and a hundred watchers.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PostgresServer, Stack, tinyRun } from "@gradpool/integration-tests";

/** Unfinished at most: one more trains. */
const QUEUED = 999;
const WATCHERS = 100;
const CALLS = 2_000;

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "9" }, only: { type: "string", default: "" } },
});
const dir = await mkdtemp(join(tmpdir(), "gradpool-store-cost-"));
const dataset = join(dir, "rows.jsonl");
const rows = Array.from({ length: 120 }, (_, i) => JSON.stringify({ content: `def f${i}(x):\n    return x * ${i}\n` }));
await writeFile(dataset, `${rows.join("\n")}\n`);

/** Of a run: median seconds of its steps, the first of which load the model, and the coordinator's seconds of CPU time per step. */
async function measure(stack: Stack, name: string): Promise<{ wall: number; cpu: number }> {
  const before = stack.coordinatorCpuSeconds();
  const { steps } = await stack.train(tinyRun(dataset, join(dir, name), { gradientAccumulation: 1 }));
  const cpu = (stack.coordinatorCpuSeconds() - before) / steps.length;
  return { wall: median(steps.slice(5).map(({ seconds }) => seconds)), cpu };
}

const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);
const at = (numbers: readonly number[], share: number) =>
  sorted(numbers)[Math.floor(share * (numbers.length - 1))] ?? NaN;
const median = (numbers: readonly number[]) => at(numbers, 0.5);
const milliseconds = (seconds: readonly number[]) => (1_000 * median(seconds)).toFixed(1);

async function compareSteps(stacks: Record<string, Stack>): Promise<void> {
  const measured = new Map<string, { wall: number; cpu: number }[]>();
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [name, stack] of Object.entries(stacks)) {
      const costs = await measure(stack, `${name}-${round}`);
      // The first round only warms up.
      if (round > 0) measured.set(name, [...(measured.get(name) ?? []), costs]);
    }
  }
  const base = measured.get("SQLite") ?? [];
  for (const [name, costs] of measured) {
    const ratios = costs.map(({ wall }, i) => wall / (base[i]?.wall ?? NaN));
    const [wall, cpu] = [costs.map((cost) => cost.wall), costs.map((cost) => cost.cpu)].map(milliseconds);
    console.log(`${name}: a step takes ${wall} ms, ${cpu} ms of the coordinator's CPU time;`);
    const [least, middle, most] = [0, 0.5, 1].map((share) => at(ratios, share).toFixed(3));
    console.log(`  ratio to SQLite, ${ratios.length} rounds: ${middle} (${least} to ${most})`);
  }
}

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
      `p50 ${median(times).toFixed(1)} ms, p99 ${at(times, 0.99).toFixed(1)} ms of ${times.length} calls`,
  );
  over.abort();
}

try {
  await using server = await PostgresServer.start({ fsync: true });
  if (values.only !== "many") {
    await using sqlite = await Stack.start({ trainers: 1, runStore: join(dir, "runs.sqlite") });
    await using postgres = await Stack.start({ trainers: 1, runStore: await server.emptyDatabase() });
    await compareSteps({ SQLite: sqlite, PostgreSQL: postgres });
  }
  if (values.only !== "steps") {
    await using stack = await Stack.start({ trainers: 1, runStore: await server.emptyDatabase() });
    await manyRuns(stack);
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
