/** Runs that are reported to a real MLflow server, which is away at first, by a coordinator that is killed. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gradpool, LocalPool, TINY_CODER, tinyRun, watchRun, Workspace } from "@gradpool/integration-tests";
import { RunState } from "@gradpool/rpc";
import { mlflowPython, MlflowServer } from "../src/mlflow-server.js";

const python = await mlflowPython();
const EXPERIMENT = "gradpool-test";

interface Metrics {
  steps: { step: number; loss: number; grad_norm: number; learning_rate: number }[];
  evaluations: { step: number; loss: number; perplexity: number }[];
}

test(
  "MLflow gets each step once, whoever dies, and how the run ended",
  { skip: python.skip, timeout: 300_000 },
  async () => {
    await using workspace = await Workspace.create();
    await using mlflow = await MlflowServer.at(python.path, workspace.path());
    const dataset = await workspace.dataset(32);
    const evalDataset = [await workspace.dataset(4)];
    const env = {
      MLFLOW_TRACKING_URI: mlflow.url,
      MLFLOW_EXPERIMENT_NAME: EXPERIMENT,
      MLFLOW_TRACKING_TOKEN: "s3cret-token",
    };
    await using pool = await LocalPool.start(workspace.path("home"), [], env);
    const submit = (name: string, changes = {}, lora = {}) => {
      const spec = tinyRun(dataset, workspace.path(name), { evalEvery: 2, ...changes }, lora);
      return pool.submit({ ...spec, evalDataset, runName: name, tags: ["nightly", "a b"], reportTo: ["mlflow"] });
    };

    // Nobody answers there yet, and the run does not wait.
    const whole = await submit("whole");
    const before = (await watchRun(pool.runs, whole)).run;
    assert.equal(before.state, RunState.RUN_STATE_COMPLETED);
    while (!(await reportOf(pool, whole))) await delay(20);
    assert.match((await reportOf(pool, whole))?.problem ?? "", /^MLflow at http:\/\/127\.0\.0\.1:\d+ does not answer/);
    await mlflow.start();

    // Killed while it reports.
    const killed = await submit("killed");
    let pid = 0;
    for await (const { update } of pool.runs.watchRun({ runId: killed, afterStep: 0 })) {
      if (update?.$case !== "step" || update.value.step < 2) continue;
      pid = await pool.signal("coordinator", "SIGKILL");
      break;
    }
    assert.ok(pid > 0);
    const cancelled = await again(() => submit("cancelled", { epochs: 500 }));
    assert.equal((await watchRun(pool.runs, killed)).run.state, RunState.RUN_STATE_COMPLETED);
    const failed = await submit("failed", {}, { targetModules: ["no-such-module"] });
    assert.equal((await watchRun(pool.runs, failed)).run.state, RunState.RUN_STATE_FAILED);
    for await (const { update } of pool.runs.watchRun({ runId: cancelled, afterStep: 0 }))
      if (update?.$case === "step") break;
    await pool.runs.cancelRun({ requestId: "cancel", runId: cancelled });

    for (const runId of [whole, killed, failed, cancelled]) {
      while (!(await reportOf(pool, runId))?.complete) await delay(100);
    }
    const runs = await mlflow.runs(EXPERIMENT);
    assert.deepEqual([...runs].map(([name, { info }]) => [name, info.status]).sort(), [
      ["cancelled", "KILLED"],
      ["failed", "FAILED"],
      ["killed", "FINISHED"],
      ["whole", "FINISHED"],
    ]);
    for (const name of ["whole", "killed"]) {
      const run = runs.get(name);
      assert.ok(run?.info.end_time);
      const { steps, evaluations } = JSON.parse(
        await readFile(workspace.path(name, "metrics.json"), "utf8"),
      ) as Metrics;
      const expected: Record<string, [step: number, value: number][]> = {
        loss: steps.map(({ step, loss }) => [step, loss]),
        grad_norm: steps.map(({ step, grad_norm: norm }) => [step, norm]),
        learning_rate: steps.map(({ step, learning_rate: rate }) => [step, rate]),
        eval_loss: evaluations.map(({ step, loss }) => [step, loss]),
        eval_perplexity: evaluations.map(({ step, perplexity }) => [step, perplexity]),
      };
      for (const [key, values] of Object.entries(expected)) {
        assert.ok(values.length > 1, key);
        const points = (await mlflow.points(run, key)).sort((a, b) => a.step - b.step);
        assert.deepEqual(
          points.map(({ step, value }) => [step, value]),
          values,
          `${name}: ${key}`,
        );
        const times = points.map(({ timestamp }) => timestamp);
        assert.ok(
          times.every((time) => time >= run.info.start_time && time <= (run.info.end_time ?? 0)),
          String(times),
        );
      }
      const params = new Map(run.data.params?.map(({ key, value }) => [key, value]));
      const wanted = {
        num_train_epochs: "1",
        eval_steps: "2",
        per_device_train_batch_size: "2",
        model_name_or_path: TINY_CODER,
      };
      for (const [key, value] of Object.entries(wanted)) assert.equal(params.get(key), value, key);
      const tags = new Map(run.data.tags?.map(({ key, value }) => [key, value]));
      assert.equal(tags.get("gradpool.tags"), "nightly,a b");
      assert.equal(tags.get("gradpool.output_dir"), workspace.path(name));
    }
    assert.doesNotMatch(pool.log("coordinator"), /s3cret/);
    const shown = await gradpool(["run", "get", whole, "--address", pool.address], workspace.path("home"));
    assert.match(shown.stdout, new RegExp(`reported to +mlflow: ${mlflow.url}/#/experiments/\\d+/runs/`));
  },
);

const reportOf = async (pool: LocalPool, runId: string) =>
  (await again(() => pool.runs.getRun({ runId }))).run?.reports[0];

/** Until the coordinator is back. */
async function again<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if ((error as { code?: string }).code !== "unavailable") throw error;
      await delay(50);
    }
  }
}
