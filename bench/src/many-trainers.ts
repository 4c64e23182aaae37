/** How long a pause takes, alone and right after many trainers joined or left at once. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Crowd, Stack, STACK_KEY, tinyRun } from "@gradpool/integration-tests";

const { values } = parseArgs({ options: { trainers: { type: "string", default: "200" } } });
const trainers = Number(values.trainers);
const dir = await mkdtemp(join(tmpdir(), "gradpool-many-trainers-"));
const dataset = join(dir, "rows.jsonl");
await writeFile(dataset, `${JSON.stringify({ content: "x = 1\n" })}\n`);

const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

try {
  await using stack = await Stack.start({ trainers: 0, runStore: join(dir, "runs.sqlite") });
  const { runId } = await stack.submit(tinyRun(dataset, join(dir, "out")));
  let requests = 0;
  const pause = () => timed(() => stack.runs.pauseRun({ requestId: `request-${++requests}`, runId }));
  const resume = () => stack.runs.resumeRun({ requestId: `request-${++requests}`, runId });
  const alone: number[] = [];
  for (let i = 0; i < 5; i++) {
    alone.push(await pause());
    await resume();
  }
  await using crowd = new Crowd(stack.address, STACK_KEY);
  const joinedMs = await timed(() => crowd.join(trainers));
  // All of them were welcomed; that they are in the pool may still have to be recorded.
  const afterJoining = await pause();
  await resume();
  const leftMs = await timed(() => crowd.leave());
  const afterLeaving = await pause();
  console.log(`a pause takes ${seconds(Math.min(...alone))} alone,`);
  console.log(`  ${seconds(afterJoining)} after ${trainers} trainers were welcomed in ${seconds(joinedMs)},`);
  console.log(`  ${seconds(afterLeaving)} after they left in ${seconds(leftMs)}`);
} finally {
  await rm(dir, { recursive: true, force: true });
}
