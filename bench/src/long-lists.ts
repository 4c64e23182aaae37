/** ListRuns by many at a time, on a pool with a thousand runs. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stack, tinyRun } from "@gradpool/integration-tests";
import { ListRunsRequest, RunView } from "@gradpool/rpc";

const RUNS = 1_000;
const AT_A_TIME = 200;
const CALLS = 3_000;

const dir = await mkdtemp(join(tmpdir(), "gradpool-long-lists-"));
const dataset = join(dir, "rows.jsonl");
await writeFile(dataset, `${JSON.stringify({ content: "x = 1\n" })}\n`);

/** Milliseconds that each of the calls took. */
async function timed(calls: number, atATime: number, call: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  let left = calls;
  const caller = async () => {
    while (left-- > 0) {
      const begin = performance.now();
      await call();
      times.push(performance.now() - begin);
    }
  };
  await Promise.all(Array.from({ length: atATime }, caller));
  return times.sort((a, b) => a - b);
}

const at = (times: readonly number[], share: number) =>
  (times[Math.floor(share * (times.length - 1))] ?? NaN).toFixed(0);

try {
  await using stack = await Stack.start({ trainers: 0, runStore: join(dir, "runs.sqlite") });
  // Most of them wait in the queue.
  await timed(RUNS, 20, async () => {
    await stack.submit(tinyRun(dataset, join(dir, randomUUID())));
  });

  const list = () => stack.runs.listRuns({ ...ListRunsRequest.create(), view: RunView.RUN_VIEW_BASIC });
  await timed(AT_A_TIME, AT_A_TIME, list);
  const [begin, cpuBefore] = [performance.now(), stack.coordinatorCpuSeconds()];
  const lists = await timed(CALLS, AT_A_TIME, list);
  const perSecond = (1_000 * CALLS) / (performance.now() - begin);
  const cpuMs = (1_000 * (stack.coordinatorCpuSeconds() - cpuBefore)) / CALLS;
  console.log(
    `ListRuns, ${AT_A_TIME} at a time, ${RUNS} runs: ${perSecond.toFixed(0)} a second, p99 ${at(lists, 0.99)} ms,`,
  );
  console.log(`  ${cpuMs.toFixed(2)} ms of the coordinator's CPU time each`);
} finally {
  await rm(dir, { recursive: true, force: true });
}
