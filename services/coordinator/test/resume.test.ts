/** Resuming from a checkpoint: to the same bits, or with a refusal that says why not. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, readdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { IS_LONG } from "@gradpool/integration-tests";
import { RunState, type RunSpec } from "@gradpool/rpc";
import { assertSame, trainAlone } from "./same-bits.js";
import { durableWorld, World, type Ended, type RecipeChanges } from "./world.js";

const RECIPE: RecipeChanges = {
  learningRate: 1e-2,
  seed: 3,
  gradientAccumulation: 3,
  epochs: 3,
  saveEvery: 1,
  keepLastNCheckpoints: 0,
};
const VARIANTS: Record<string, RecipeChanges> = {
  "in the data's order": RECIPE,
  shuffled: { ...RECIPE, shuffleBuffer: 3 },
  packed: { ...RECIPE, packing: true, maxLength: 16 },
  "whole rows packed": { ...RECIPE, packing: true, packingStrategy: "bfd", maxLength: 16 },
  "packed and shuffled": { ...RECIPE, packing: true, maxLength: 16, shuffleBuffer: 4 },
};

/** The others resume from each step in `make test-long`. */
const EACH_STEP = "packed and shuffled";

const checkpointsIn = (world: World, name: string): string[] =>
  readdirSync(world.outputDir(name)).filter((entry) => entry.startsWith("checkpoint-"));

/** Trains `spec` as it is, with an unchanged data set. */
async function trainFrom(world: World, spec: RunSpec, changes: Partial<RunSpec>): Promise<Ended> {
  return world.train({ ...spec, ...changes });
}

function assertRefused({ run }: Ended, code: string, text: RegExp): void {
  assert.deepEqual([run.state, run.error?.code], [RunState.RUN_STATE_FAILED, code], run.error?.message);
  assert.match(run.error?.message ?? "", text);
  assert.doesNotMatch(run.error?.message ?? "", /\n/);
}

describe("a run that resumes from a checkpoint", { timeout: 240_000 }, () => {
  for (const [name, recipe] of Object.entries(VARIANTS)) {
    it(`gives the bits of one that never stopped, from its steps (I2, ${name})`, async () => {
      await using world = await World.start();
      const spec = world.spec({ outputDir: world.outputDir("whole") }, recipe);
      await world.trainer();
      const whole = await world.train(spec);
      assert.equal(whole.run.state, RunState.RUN_STATE_COMPLETED, whole.run.error?.message);
      const checkpoints = checkpointsIn(world, "whole").sort();
      for (const checkpoint of checkpoints.filter((_, i) => IS_LONG || name === EACH_STEP || i % 4 === 1)) {
        const resumeFrom = join(world.outputDir("whole"), checkpoint);
        const resumed = await trainFrom(world, spec, { outputDir: world.outputDir(checkpoint), resumeFrom });
        assertSame(world, ["whole", whole], [checkpoint, { ...resumed, steps: whole.steps }]);
        const { run } = resumed;
        const [, epoch, step] = /epoch(\d+)-step(\d+)/.exec(checkpoint) ?? [];
        assert.deepEqual(run.resumedFrom, {
          path: resumeFrom,
          epoch: Number(epoch),
          step: Number(step),
          weightsOnly: false,
        });
        assert.deepEqual(
          resumed.steps.map(({ loss, gradNorm, tokens, epoch: of }) => [loss, gradNorm, tokens, of]),
          whole.steps.map(({ loss, gradNorm, tokens, epoch: of }) => [loss, gradNorm, tokens, of]),
        );
        assert.equal(run.tokens, whole.run.tokens);
      }
    });
  }

  it("may do so again and again, in the same folder, with latest", async () => {
    await using world = await World.start();
    const whole = await trainAlone(world, "whole", RECIPE);
    const trainer = await world.trainer();
    const spec = { ...world.spec({ outputDir: world.outputDir("again") }, RECIPE), resumeFrom: "latest" };
    let last: Ended | undefined;
    for (const enough of [1, 3, 5, Infinity]) {
      const runId = await world.submit(spec);
      last = await world.watch(
        runId,
        ({ checkpoints }) => checkpoints.length > 0 && checkpoints.at(-1)!.step >= enough,
      );
      if (enough === 1)
        assert.match(last.run.notes[0] ?? "", /there is no checkpoint in .*again; starting from scratch/);
      else assert.ok((last.run.resumedFrom?.step ?? 0) >= 1);
      if (enough < Infinity) await world.runs.cancelRun({ requestId: randomUUID(), runId });
    }
    assertSame(world, ["whole", whole], ["again", last ?? assert.fail()]);
    assert.ok(trainer.accepted.length > 0);
  });

  it("keeps as many checkpoints as asked, however often it is resumed", async () => {
    await using world = await World.start();
    await world.trainer();
    for (const loadBestModelAtEnd of [false, true]) {
      const name = `kept-${loadBestModelAtEnd}`;
      const best = loadBestModelAtEnd ? { evalDataset: [world.rows(4, "held-out.jsonl")] } : {};
      const recipe = { ...RECIPE, keepLastNCheckpoints: 2, loadBestModelAtEnd };
      for (const epochs of [1, 2, 3]) {
        const spec = world.spec(
          { outputDir: world.outputDir(name), resumeFrom: "latest", ...best },
          { ...recipe, epochs },
        );
        const { run } = await world.train(spec);
        assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      }
      // The best one stays besides.
      const kept = checkpointsIn(world, name);
      assert.ok(kept.length === 2 || (loadBestModelAtEnd && kept.length === 3), kept.join());
      assert.ok(kept.includes("checkpoint-epoch2-step6") && kept.includes("checkpoint-epoch2-step5"), kept.join());
    }
  });

  it("resumes from the recovery point of a run that was cancelled", async () => {
    await using world = await durableWorld();
    const whole = await trainAlone(world, "whole", { ...RECIPE, saveEvery: 0 });
    const trainer = await world.trainer();
    // Held in its fourth step until a recovery point of the third exists.
    let letGo = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    trainer.alter = async (answer, { step }) => {
      if (step === 4) await held;
      return answer;
    };
    const spec = world.spec({ outputDir: world.outputDir("again") }, { ...RECIPE, saveEvery: 0 });
    const runId = await world.submit(spec);
    await world.watch(runId, ({ steps }) => steps.length >= 3);
    while (!readdirSync(world.outputDir("again")).some((name) => name.startsWith(".recovery-"))) await setImmediate();
    await world.runs.cancelRun({ requestId: randomUUID(), runId });
    letGo();
    const last = await trainFrom(world, spec, { resumeFrom: "latest" });
    assertSame(world, ["whole", whole], ["again", last]);
    assert.match(last.run.resumedFrom?.path ?? "", /\/\.recovery-epoch\d-step\d$/);
    // Writing the result removes them.
    assert.deepEqual(
      readdirSync(world.outputDir("again")).filter((entry) => entry.startsWith(".")),
      [],
    );
  });

  it("adds epochs to a finished run: the bits of a longer one, where the schedule is the same", async () => {
    await using world = await World.start();
    await world.trainer();
    for (const lrScheduler of ["constant", "linear"]) {
      const recipe = { ...RECIPE, lrScheduler, shuffleBuffer: 3 };
      const [whole, parts] = [world.outputDir(`whole-${lrScheduler}`), world.outputDir(`parts-${lrScheduler}`)];
      const long = await world.train(world.spec({ outputDir: whole }, recipe));
      await world.train(world.spec({ outputDir: parts }, { ...recipe, epochs: 2 }));
      const spec = world.spec({ outputDir: parts, resumeFrom: "latest" }, recipe);
      const continued = await world.train(spec);
      const { run, steps } = continued;
      assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
      assert.deepEqual([run.resumedFrom?.step, run.step, run.totalSteps], [4, 6, 6]);
      if (lrScheduler === "constant") {
        assertSame(world, [`whole-${lrScheduler}`, long], [`parts-${lrScheduler}`, continued]);
        assert.deepEqual(run.notes, []);
        continue;
      }
      // Of 4 steps, the fifth still has the last one's schedule; the sixth is that of 6.
      const rates = steps.map(({ learningRate }) => learningRate);
      assert.deepEqual(
        rates.map((rate) => rate / 1e-2),
        [1, 3 / 4, 2 / 4, 1 / 4, 0, 1 / 6].map((factor) => (1e-2 * factor) / 1e-2),
      );
      assert.match(
        run.notes.join(),
        /makes 6 steps instead of 4: as in transformers, step 5 still has .* rate, 0; the result/,
      );
      const shorter = await world.train({ ...spec, recipe: { ...spec.recipe!, epochs: 1 } });
      assertRefused(shorter, "failed_precondition", /epochs was 3, now 1/);
    }
  });

  it("skips damaged ones, and says so", async () => {
    await using world = await World.start();
    await world.trainer();
    const spec = world.spec({}, RECIPE);
    const whole = await world.train(spec);
    const damaged = join(world.outputDir(), "checkpoint-epoch2-step6");
    truncateSync(join(damaged, "training_state.safetensors"), 100);
    const resumed = await trainFrom(world, spec, { resumeFrom: "latest" });
    assert.equal(resumed.run.resumedFrom?.step, 5);
    assert.match(
      resumed.run.notes.join("\n"),
      /checkpoint-epoch2-step6 is damaged \(.*\); using checkpoint-epoch2-step5 instead/,
    );
    assertSame(world, ["output", whole], ["output", resumed]);
    truncateSync(join(damaged, "training_state.safetensors"), 100);
    assertRefused(await trainFrom(world, spec, { resumeFrom: damaged }), "data_loss", /is damaged/);
    for (const name of checkpointsIn(world, "output")) {
      truncateSync(join(world.outputDir(), name, "training_state.safetensors"), 100);
    }
    assertRefused(await trainFrom(world, spec, { resumeFrom: "latest" }), "data_loss", /only damaged checkpoints/);
  });

  it("says what exists when the folder does not, unless it need not exist", async () => {
    await using world = await World.start();
    await world.trainer();
    const spec = world.spec({}, { ...RECIPE, keepLastNCheckpoints: 2 });
    const whole = await world.train(spec);
    const removed = join(world.outputDir(), "checkpoint-epoch0-step1");
    assert.ok(!existsSync(removed));
    const refused = await trainFrom(world, spec, { outputDir: world.outputDir("b"), resumeFrom: removed });
    assertRefused(refused, "not_found", /checkpoint-epoch0-step1.*checkpoint-epoch2-step6.*--resume_if_exists/);
    for (const missing of [removed, join(world.folder, "nowhere", "checkpoint-epoch0-step1")]) {
      const changes = { outputDir: world.outputDir("c"), resumeFrom: missing, resumeIfExists: true };
      const fresh = await trainFrom(world, spec, changes);
      assert.match(
        fresh.run.notes.join("\n"),
        /there is no checkpoint .*checkpoint-epoch0-step1; starting from scratch/,
      );
      assertSame(world, ["output", whole], ["c", fresh]);
      rmSync(world.outputDir("c"), { recursive: true });
    }
    assertRefused(
      await trainFrom(world, spec, { outputDir: world.outputDir("d"), resumeFrom: world.folder }),
      "invalid_argument",
      /is not a checkpoint's name/,
    );
  });

  it("is refused when anything differs, naming each difference, but may use the weights", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ deviceClass: "a" });
    const spec = world.spec({}, RECIPE);
    await world.train(spec);
    const resumeFrom = join(world.outputDir(), "checkpoint-epoch0-step1");
    const otherModel = join(world.folder, "other-model");
    cpSync(spec.modelId, otherModel, { recursive: true });
    const recipe = spec.recipe ?? assert.fail();
    const lora = recipe.lora ?? assert.fail();
    const other = {
      ...{ resumeFrom, outputDir: world.outputDir("b"), dataset: [world.rows(8, "others.jsonl")] },
      recipe: { ...recipe, learningRate: 3e-4, batchSize: 3, lora: { ...lora, alpha: 16 }, saveEvery: 2 },
    };
    await trainer.kill();
    await world.trainer({ deviceClass: "b" });
    const refused = await trainFrom(world, spec, other);
    assertRefused(
      refused,
      "failed_precondition",
      /cannot resume from .*checkpoint-epoch0-step1: .*--resume_weights_only/,
    );
    const message = refused.run.error?.message ?? "";
    for (const difference of [
      /dataset was .*rows.jsonl.*, now .*others.jsonl/,
      /dataset_hash was/,
      /device_class was "a", now "b"/,
      /learning_rate was 0.01, now 0.0003/,
      /batch_size was 2, now 3/,
      /lora_alpha was 32, now 16/,
    ]) {
      assert.match(message, difference);
    }
    assert.doesNotMatch(message, /save_every|model was|tokenizer was/);
    const weights = await trainFrom(world, spec, { ...other, resumeWeightsOnly: true });
    assert.equal(weights.run.state, RunState.RUN_STATE_COMPLETED, weights.run.error?.message);
    assert.deepEqual(weights.run.resumedFrom, { path: resumeFrom, epoch: 0, step: 1, weightsOnly: true });
    assert.equal(weights.steps[0]?.step, 1);
    assert.notEqual(weights.steps[0]?.loss, undefined);
  });

  it("needs resume_from for what goes with it", async () => {
    await using world = await World.start();
    await assert.rejects(
      world.submit(world.spec({ resumeWeightsOnly: true })),
      /resume_weights_only needs resume_from/,
    );
    await assert.rejects(world.submit(world.spec({ resumeIfExists: true })), /resume_if_exists needs resume_from/);
  });
});
