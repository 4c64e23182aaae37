/** A whole run into an object store, with kill -9 of every process involved: the same bytes as in a folder (I2, I3, I5). */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RunState } from "@gradpool/rpc";
import {
  deployTool,
  fingerprint,
  gradpool,
  LocalPool,
  tinyRun,
  Versitygw,
  watchRun,
  Workspace,
} from "@gradpool/integration-tests";

const { skip } = await deployTool("versitygw");
const BUCKET = "results";
/** Milliseconds that the object store is down. */
const AWAY_MS = 1_500;

test("kills in the middle of a run into s3://: the same SHA-256", { skip, timeout: 600_000 }, async () => {
  await using workspace = await Workspace.create();
  await using objects = await Versitygw.start(workspace.path("objects"), [BUCKET]);
  const flags = ["--trainers", "2", "--recovery_seconds", "0.3"];
  await using pool = await LocalPool.start(workspace.path("home"), flags, objects.env);
  const dataset = await workspace.dataset(200);
  const recipe = { epochs: 2, saveEvery: 6, keepLastNCheckpoints: 2 };
  const train = async (outputDir: string, onStep?: (step: { step: number }) => void) => {
    const finished = await watchRun(pool.runs, await pool.submit(tinyRun(dataset, outputDir, recipe)), onStep);
    assert.equal(finished.run.state, RunState.RUN_STATE_COMPLETED, finished.run.error?.message);
    return finished;
  };
  const whole = await train(workspace.path("whole"));

  const outputDir = `s3://${BUCKET}/runs/stormy`;
  let kills: Promise<unknown> = Promise.resolve();
  const away = async () => {
    await objects.kill();
    await delay(AWAY_MS);
    await objects.start();
  };
  const at = new Map<number, () => Promise<unknown>>([
    [7, away],
    [13, () => pool.signal("checkpoint-store", "SIGKILL")],
    [20, () => pool.signal("coordinator", "SIGKILL")],
    [27, () => Promise.all([away(), pool.signal("trainer-1", "SIGKILL")])],
  ]);
  const stormy = await train(`${outputDir}/`, ({ step }) => {
    const kill = at.get(step);
    at.delete(step);
    if (kill) kills = kills.then(kill);
  });
  await kills;
  assert.equal(at.size, 0, `${whole.steps.length} steps are too few`);
  assert.deepEqual(
    stormy.steps.map(({ step, loss }) => [step, loss]),
    whole.steps.map(({ step, loss }) => [step, loss]),
  );
  const stored = objects.path(BUCKET, "runs/stormy");
  assert.deepEqual(await fingerprint(stored), await fingerprint(workspace.path("whole")));

  const command = async (...args: string[]) => {
    const { code, stderr } = await gradpool(["checkpoint", ...args], workspace.path("home"), objects.env);
    assert.equal(code, 0, stderr);
  };
  await command("verify", outputDir);
  await command("export", outputDir, "latest", "--to", workspace.path("exported"));
  const [adapter, exported] = [
    `${stored}/adapter_model.safetensors`,
    workspace.path("exported/adapter_model.safetensors"),
  ];
  assert.equal(Buffer.compare(await readFile(exported), await readFile(adapter)), 0);

  // Without its last checkpoint, another run resumes from the previous one and ends with the same result.
  const checkpoints = (await readdir(stored)).filter((name) => name.startsWith("checkpoint-"));
  const last = checkpoints.sort((a, b) => stepOf(a) - stepOf(b)).at(-1) ?? assert.fail("no checkpoint");
  await command("delete", `${outputDir}/${last}`);
  const resumed = { ...tinyRun(dataset, outputDir, recipe), resumeFrom: "latest" };
  const { run } = await watchRun(pool.runs, await pool.submit(resumed));
  assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
  assert.deepEqual(await fingerprint(stored), await fingerprint(workspace.path("whole")));
});

const stepOf = (checkpoint: string) => Number(/step(\d+)$/.exec(checkpoint)?.[1]);
