/** A run from its submission to its files. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { PLOTS } from "@gradpool/plots";
import { RunState } from "@gradpool/rpc";
import { readSafetensors } from "@gradpool/safetensors";
import { EVENT_FILE } from "@gradpool/tensorboard";
import { World } from "./world.js";

describe("a run", { timeout: 240_000 }, () => {
  it("makes each epoch's steps, the smaller last one too, and reports each", async () => {
    await using world = await World.start();
    await world.trainer();
    const { run, steps } = await world.train(world.spec());
    assert.equal(run.error, undefined);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED);
    // 7 rows are 4 micro-batches of 2: a step of 3 and one of 1, twice.
    assert.deepEqual(
      steps.map(({ step, epoch }) => [step, epoch]),
      [
        [1, 0],
        [2, 0],
        [3, 1],
        [4, 1],
      ],
    );
    assert.deepEqual([run.step, run.totalSteps, run.rows], [4, 4, 7]);
    assert.deepEqual(run.lastStep, steps.at(-1));
    assert.equal(
      run.tokens,
      steps.reduce((sum, { tokens }) => sum + tokens, 0),
    );
    // Linear from 5e-5 to 0 over 4 steps.
    for (const [i, { learningRate }] of steps.entries()) {
      assert.ok(Math.abs(learningRate - 5e-5 * (1 - i / 4)) < 1e-12);
    }
    for (const { loss, gradNorm, seconds } of steps) assert.ok(loss > 2 && loss < 3 && gradNorm > 0 && seconds > 0);
    assert.ok(run.submittedAt && run.startedAt && run.endedAt && run.preparing === "");
    // r = 2 on 2 layers of c_attn (64 → 192), attn.c_proj (64 → 64) and mlp.c_proj (256 → 64).
    assert.equal(run.trainableParameters, 2 * 2 * (64 + 192 + 64 + 64 + 256 + 64));
    assert.ok(run.allParameters > run.trainableParameters);
  });

  it("leaves the files of DESIGN.md, and a checkpoint every save_every steps and at the end", async () => {
    await using world = await World.start();
    await world.trainer();
    const spec = world.spec({}, { saveEvery: 3, seed: 5 });
    const { run, checkpoints } = await world.train(spec);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.deepEqual(
      checkpoints.map(({ epoch, step, removed }) => [epoch, step, removed]),
      [
        [1, 3, false],
        [1, 4, false],
      ],
    );
    const result = ["adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json"];
    const plots = PLOTS.flatMap((name) => [`${name}.svg`, `${name}.png`]);
    const files = [...result, "metrics.json", EVENT_FILE, ...plots];
    assert.deepEqual(
      readdirSync(world.outputDir()).sort(),
      [...files, "checkpoint-epoch1-step3", "checkpoint-epoch1-step4"].sort(),
    );
    const saved = [...result, "training_state.safetensors", "trainer_state.json", "manifest.json"];
    assert.deepEqual(readdirSync(world.outputDir("output/checkpoint-epoch1-step3")).sort(), saved.sort());

    const last = "output/checkpoint-epoch1-step4";
    assert.deepEqual(world.output(last, "adapter_model.safetensors"), world.output("output/adapter_model.safetensors"));
    assert.notDeepEqual(
      world.output("output/checkpoint-epoch1-step3/adapter_model.safetensors"),
      world.output("output/adapter_model.safetensors"),
    );
    assert.equal(world.output("output/tokenizer.json").toString(), "{}");
    const adapter = readSafetensors(world.output("output/adapter_model.safetensors"));
    assert.equal(adapter.metadata["format"], "pt");
    const moments = readSafetensors(world.output(last, "training_state.safetensors")).tensors;
    assert.equal(moments.size, 2 * adapter.tensors.size);
    for (const name of adapter.tensors.keys()) {
      assert.ok(moments.has(`exp_avg.${name}`) && moments.has(`exp_avg_sq.${name}`));
    }
    for (const name of PLOTS) {
      assert.match(world.output(`output/${name}.svg`).toString(), /^<svg/);
      assert.equal(world.output(`output/${name}.png`).subarray(1, 4).toString(), "PNG");
    }
  });

  it("writes metrics.json and trainer_state.json under the contract's names", async () => {
    await using world = await World.start();
    await world.trainer();
    const spec = world.spec({}, { seed: 5 });
    const { run, steps } = await world.train(spec);
    const metrics = JSON.parse(world.output("output/metrics.json").toString()) as Record<string, unknown>;
    const keys = ["run_id", "model_id", "dataset", "recipe", "steps", "row_counts", "totals"];
    assert.deepEqual(Object.keys(metrics), keys);
    assert.deepEqual([metrics["run_id"], metrics["model_id"]], [run.runId, spec.modelId]);
    const recipe = metrics["recipe"] as Record<string, unknown>;
    assert.deepEqual(
      [recipe["gradient_accumulation"], recipe["packing"], recipe["shuffle_buffer"], recipe["seed"]],
      [3, false, 0, 5],
    );
    assert.deepEqual(recipe["lora"], {
      r: 2,
      alpha: 32,
      dropout: 0.05,
      target_modules: ["c_attn", "c_proj"],
      use_rslora: false,
      init_adapter: "",
      rank_pattern: {},
      alpha_pattern: {},
      use_dora: false,
    });
    const [first] = metrics["steps"] as Record<string, unknown>[];
    const { step, epoch, loss, gradNorm, learningRate, tokens, seconds } = steps[0] ?? assert.fail();
    assert.deepEqual(first, { step, epoch, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens, seconds });
    const totals = metrics["totals"] as Record<string, unknown>;
    assert.deepEqual(Object.keys(totals), ["steps", "tokens", "seconds", "duration"]);
    assert.match(String(totals["duration"]), /^0:00:\d\d$/);

    const checkpoint = "output/checkpoint-epoch1-step4";
    const state = JSON.parse(world.output(checkpoint, "trainer_state.json").toString()) as Record<string, unknown>;
    assert.deepEqual([state["epoch"], state["step"], state["total_steps"], state["seed"]], [1, 4, 4, 5]);
    assert.equal((state["cursor"] as Record<string, unknown>)["micro_batches"], 8);
    const receipt = state["receipt"] as Record<string, unknown>;
    assert.deepEqual([receipt["tokenizer"], receipt["device_class"], receipt["runtime"]], ["bytes", "fake", "fake 1"]);
    for (const name of ["model", "dataset_hash"]) assert.match(String(receipt[name]), /^[0-9a-f]{64}$/);
  });

  it("stops a dry run after 500 rows", async () => {
    await using world = await World.start();
    await world.trainer();
    const dataset = [world.rows(600, "many.jsonl")];
    const recipe = { dryRun: true, epochs: 1, gradientAccumulation: 1, batchSize: 5, maxLength: 8 };
    const { run } = await world.train(world.spec({ dataset }, recipe));
    assert.deepEqual([run.rows, run.step, run.totalSteps], [500, 100, 100], run.error?.message);
  });

  it("stops a dry run after 200 steps", async () => {
    await using world = await World.start();
    await world.trainer();
    const recipe = { dryRun: true, epochs: 100, gradientAccumulation: 2, batchSize: 2, maxLength: 8 };
    const { run, steps } = await world.train(world.spec({}, recipe));
    assert.deepEqual([run.step, run.totalSteps, steps.length], [200, 200, 200], run.error?.message);
    assert.ok((steps.at(-1)?.learningRate ?? 1) > 0);
  });

  it("makes max_steps steps, through as many epochs as that takes, and the schedule ends there", async () => {
    await using world = await World.start();
    await world.trainer();
    // 2 steps an epoch.
    for (const maxSteps of [1, 5]) {
      const changes = { maxSteps, epochs: 2, warmupRatio: 0.3, learningRate: 1e-3 };
      const { run, steps } = await world.train(world.spec({ outputDir: world.outputDir(`to-${maxSteps}`) }, changes));
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.deepEqual([run.step, run.totalSteps, run.spec?.recipe?.epochs], [maxSteps, maxSteps, 2]);
      const expected = {
        1: [[0, 0]],
        5: [
          [0, 0],
          [0, 0.5e-3],
          [1, 1e-3],
          [1, 1e-3 * (2 / 3)],
          [2, 1e-3 * (1 / 3)],
        ],
      };
      assert.deepEqual(
        steps.map(({ epoch, learningRate }) => [epoch, learningRate]),
        expected[maxSteps as 1 | 5],
      );
    }
  });
});
