/** kill -9 at random moments, of every process of a pool, again and again: the result is the same (I2, I3, I5). */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RunState } from "@gradpool/rpc";
import { fingerprint, LocalPool, randomOf, shuffled, tinyRun, watchRun, Workspace } from "@gradpool/integration-tests";

const PROCESSES = ["coordinator", "data-stream", "tokenizer", "checkpoint-store", "trainer-1", "trainer-2"];
const KILLS_EACH = 4;
/** GRADPOOL_KILL_SEEDS: how many series of kills, instead of one. */
const SEEDS = Array.from({ length: Number(process.env["GRADPOOL_KILL_SEEDS"] ?? 1) }, (_, i) => i + 1);

test("README.md counts these kills", async () => {
  const readme = await readFile(new URL("../../../README.md", import.meta.url), "utf8");
  const [, kills, each, processes] = /(\d+) kill -9 [^,]*, (\w+) of each of its (\w+) processes/.exec(readme) ?? [];
  assert.deepEqual([Number(kills), each, processes], [KILLS_EACH * PROCESSES.length, "four", "six"]);
  assert.deepEqual([KILLS_EACH, PROCESSES.length], [4, 6]);
});

test("two dozen kills, four of each process: the same bytes", { timeout: 600_000 * SEEDS.length }, async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(230);
  const evaluation = { evalEvery: 5, loadBestModelAtEnd: true };
  const recipe = { epochs: 2, packing: true, shuffleBuffer: 16, saveEvery: 7, gradientAccumulation: 2, ...evaluation };
  const heldOut = await workspace.dataset(12);
  await using pool = await LocalPool.start(workspace.path("home"), ["--trainers", "2", "--recovery_seconds", "0.5"]);
  const run = async (name: string, onStep?: (step: { step: number }) => void) => {
    const spec = { ...tinyRun(dataset, workspace.path(name), recipe), evalDataset: [heldOut] };
    const runId = await pool.submit(spec);
    const finished = await watchRun(pool.runs, runId, onStep);
    assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
    return { ...finished, print: await fingerprint(workspace.path(name)) };
  };
  const whole = await run("whole");

  for (const seed of SEEDS) {
    const random = randomOf(seed);
    const victims = shuffled(Array.from({ length: KILLS_EACH }, () => PROCESSES).flat(), random);
    const stepsPerKill = Math.floor(whole.steps.length / (victims.length + 1));
    assert.ok(stepsPerKill >= 1, `${whole.steps.length} steps are too few for ${victims.length} kills`);
    const killed = new Map<string, number>();
    let kills: Promise<void> = Promise.resolve();
    let count = 0;
    const stormy = await run(`stormy-${seed}`, ({ step }) => {
      if (step % stepsPerKill !== 0 || victims.length === 0) return;
      const victim = victims.pop() ?? "";
      const atMs = random() * 700;
      kills = kills.then(async () => {
        await delay(atMs);
        killed.set(victim, await pool.signal(victim, "SIGKILL", killed.get(victim)));
        count += 1;
      });
    });
    await kills;
    assert.equal(count, KILLS_EACH * PROCESSES.length, `seed ${seed}`);
    assert.deepEqual(stormy.print, whole.print, `seed ${seed}`);
    assert.deepEqual(
      stormy.steps.map(({ step, loss }) => [step, loss]),
      whole.steps.map(({ step, loss }) => [step, loss]),
    );
  }
});
