/** Rows that are cut or have no target: they are counted and said, and what has no target is not a step. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { IS_LONG } from "@gradpool/integration-tests";
import { LogLevel, RunState } from "@gradpool/rpc";
import { assertSame } from "./same-bits.js";
import { durableWorld, World, type Ended, type RecipeChanges } from "./world.js";

/** Plain text, in steps of two rows. Without an end-of-sequence token, a row of one byte has nothing to predict. */
const RECIPE: RecipeChanges = {
  ...{ appendEos: false, batchSize: 1, gradientAccumulation: 2, epochs: 2, maxLength: 8 },
  ...{ lrScheduler: "constant", learningRate: 1e-2 },
};

function textFile(world: World, name: string, rows: readonly string[]): string {
  const path = join(world.folder, name);
  writeFileSync(path, rows.map((row) => `${row}\n`).join(""));
  return path;
}

async function logOf(world: World, runId: string): Promise<[LogLevel, string][]> {
  const lines: [LogLevel, string][] = [];
  for await (const { entry } of world.runs.watchRunLog({ runId, afterNumber: 0, follow: true })) {
    if (entry) lines.push([entry.level, entry.message]);
  }
  return lines;
}

const json = (world: World, ...path: string[]) =>
  JSON.parse(world.output(...path).toString()) as Record<string, unknown>;
const epochsOf = ({ steps }: Ended) => steps.map(({ epoch }) => epoch);

/** Steps are ab, cd + e, fghijklmn + op; the groups of x and y are none, wherever in the epoch they are. */
const WITH = ["x", "y", "ab", "z", "x", "y", "x", "y", "cd", "e", "fghijklmn", "op", "y"];
const WITHOUT = ["ab", "z", "cd", "e", "fghijklmn", "op"];

describe("rows without a target", { timeout: 240_000 }, () => {
  it("are counted row by row where whole rows are packed, and a micro-batch of these alone is one token", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const dataset = [textFile(world, "rows.txt", ["abcdefg", "abcdefghij", "a", "b", "c", "d", "e"])];
    const packed = {
      ...RECIPE,
      packing: true,
      packingStrategy: "bfd",
      epochs: 1,
      maxLength: 9,
      gradientAccumulation: 3,
    };
    const { run, steps } = await world.train(world.spec({ dataset, outputDir: world.outputDir("packed") }, packed));
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.equal(steps.length, 1);
    const counts = { rows: 7, rowsCut: 1, rowsWithoutEos: 0, rowsWithoutTarget: 5, stepsWithoutTarget: 0 };
    assert.deepEqual(run.rowCounts, counts);
    assert.deepEqual(
      trainer.tasks.map(({ rowLength, documentLengths }) => [rowLength, documentLengths]),
      [
        [9, [9]],
        [9, [7, 1, 1]],
        [1, [1]],
      ],
    );
  });

  it("are no steps where a whole group has none, at an epoch's beginning, in its middle and at its end", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const held = textFile(world, "held-out.txt", ["held", "out"]);
    const train = (name: string, rows: string[]) => {
      const spec = { dataset: [textFile(world, `${name}.txt`, rows)], outputDir: world.outputDir(name) };
      return world.train(world.spec({ ...spec, evalDataset: [held] }, { ...RECIPE, saveEvery: 1 }));
    };
    const plain = await train("without", WITHOUT);
    const tokens = trainer.tasks.length;
    const seen = await train("with", WITH);
    // The same numbers as if those rows were not there, and nothing of them went to a trainer.
    assertSame(world, ["without", plain], ["with", seen], ["adapter_model.safetensors", "training_state.safetensors"]);
    assert.equal(trainer.tasks.length, 2 * tokens);
    assert.deepEqual(epochsOf(seen), [0, 0, 0, 1, 1, 1]);
    assert.deepEqual(
      seen.evaluations.map(({ step, epoch }) => [step, epoch]),
      [
        [3, 0],
        [6, 1],
      ],
    );
    const { run } = seen;
    assert.deepEqual(
      [run.state, run.step, run.totalSteps, run.stoppedEarly],
      [RunState.RUN_STATE_COMPLETED, 6, 6, false],
    );
    const counts = { rows: 26, rowsCut: 2, rowsWithoutEos: 0, rowsWithoutTarget: 18, stepsWithoutTarget: 8 };
    assert.deepEqual(run.rowCounts, counts);
    const written = { rows: 26, rows_cut: 2, rows_without_eos: 0, rows_without_target: 18, steps_without_target: 8 };
    assert.deepEqual(json(world, "with", "metrics.json")["row_counts"], written);
    const state = json(world, "with", "checkpoint-epoch1-step6", "trainer_state.json");
    assert.deepEqual([state["row_counts"], state["total_steps"]], [written, 14]);
    assert.deepEqual(
      run.notes.filter((note) => note.includes(" rows ")),
      [
        "1 of 13 rows is longer than --max_length 8 and is cut",
        "9 of 13 rows have no target: nothing in them counts in the loss",
      ],
    );
    const warnings = (await logOf(world, run.runId)).filter(([level]) => level === LogLevel.LOG_LEVEL_WARN);
    assert.deepEqual(
      warnings.map(([, message]) => message),
      [
        ...run.notes,
        "up to step 1, 7 of 8 rows had no target: nothing in them counted in the loss",
        "up to step 1, 3 steps were left out, since no row in them had a target",
        "up to step 3, 1 of 3 rows was longer than --max_length 8 and was cut",
        "2 of 26 rows were longer than --max_length 8 and were cut",
        "18 of 26 rows had no target: nothing in them counted in the loss",
        "8 steps were left out, since no row in them had a target",
      ],
    );
  });

  it("are counted as often when the coordinator starts again", async () => {
    await using world = await durableWorld();
    const recipe = { ...RECIPE, epochs: 4 };
    const dataset = [textFile(world, "rows.txt", WITH)];
    const runOf = (name: string) => world.spec({ dataset, outputDir: world.outputDir(name) }, recipe);
    await world.trainer();
    const whole = await world.train(runOf("whole"));
    for (const steps of IS_LONG ? [1, 3, 6, 11] : [3, 11]) {
      const name = `after-${steps}`;
      const runId = await world.submit(runOf(name));
      await world.watch(runId, (seen) => seen.steps.length >= steps);
      await world.restartCoordinator();
      await world.trainer();
      const seen = await world.watch(runId);
      assertSame(world, ["whole", whole], [name, seen]);
      assert.deepEqual(seen.run.rowCounts, whole.run.rowCounts);
      assert.deepEqual([seen.run.step, seen.run.totalSteps], [12, 12]);
      const [here, there] = [name, "whole"].map((folder) => json(world, folder, "metrics.json")["row_counts"]);
      assert.deepEqual(here, there);
    }
  });

  it("do not come back in a run that is continued", async () => {
    await using world = await World.start();
    await world.trainer();
    const dataset = [textFile(world, "rows.txt", WITH)];
    const specOf = (name: string, epochs: number, resumeFrom = "") =>
      world.spec({ dataset, outputDir: world.outputDir(name), resumeFrom }, { ...RECIPE, epochs });
    const whole = await world.train(specOf("whole", 4));
    await world.train(specOf("parts", 2));
    const continued = await world.train(specOf("parts", 4, "latest"));
    assertSame(world, ["whole", whole], ["parts", continued]);
    const { run } = continued;
    assert.deepEqual([run.resumedFrom?.step, run.step, run.totalSteps], [6, 12, 12]);
    assert.deepEqual(run.rowCounts, whole.run.rowCounts);
  });

  it("take no step of max_steps", async () => {
    await using world = await World.start();
    await world.trainer();
    const dataset = [textFile(world, "rows.txt", WITH)];
    const { run, steps } = await world.train(world.spec({ dataset }, { ...RECIPE, maxSteps: 5 }));
    assert.deepEqual([run.state, run.step, run.totalSteps], [RunState.RUN_STATE_COMPLETED, 5, 5]);
    assert.deepEqual(
      steps.map(({ step, tokens }) => [step, tokens]),
      [1, 1, 8, 1, 1].map((tokens, i) => [i + 1, tokens]),
    );
  });

  it("fail a run in which there are no others, before it begins where it can be seen", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const prompted = join(world.folder, "prompted.jsonl");
    const row = JSON.stringify({ p: "a long prompt, and then some", c: "answer" });
    writeFileSync(prompted, `${row}\n`.repeat(40));
    const columns = { promptColumn: "p", completionColumn: "c", maxLength: 16 };
    const few = textFile(world, "few.txt", ["a", "b", "c"]);
    const many = textFile(
      world,
      "many.txt",
      Array.from({ length: 250 }, () => "x"),
    );
    const cases: [string[], RecipeChanges, RegExp][] = [
      [
        [prompted],
        columns,
        /^none of the 40 rows has a target within --max_length 16: the prompts are longer; raise --max_length, or set "truncation_side": "left" in/,
      ],
      [[few], RECIPE, /^none of the 3 rows has a target: a row needs at least two tokens; .* --append_eos$/],
      [[many], RECIPE, /^none of the 250 rows has a target: a row needs/],
      [[many], { ...RECIPE, maxSteps: 2 }, /^none of the 250 rows has a target: a row needs/],
    ];
    for (const [dataset, recipe, message] of cases) {
      const { run, steps } = await world.train(world.spec({ dataset }, recipe));
      assert.deepEqual([run.state, run.error?.code, steps], [RunState.RUN_STATE_FAILED, "failed_precondition", []]);
      assert.match(run.error?.message ?? "", message);
      assert.ok(!world.has("output") || readdirSync(world.outputDir()).length === 0);
    }
    const held = { evalDataset: [few] };
    const { run } = await world.train(world.spec(held, { appendEos: false }));
    assert.match(run.error?.message ?? "", /^eval_dataset has no tokens to predict: none of the 3 rows has a target/);
    assert.deepEqual(trainer.tasks, []);
  });

  it("are reported of the first rows where not all are looked at", async () => {
    await using world = await World.start();
    await world.trainer();
    const rows = Array.from({ length: 230 }, (_, i) => (i % 20 === 0 ? "longer than that" : "short"));
    const dataset = [textFile(world, "rows.txt", rows)];
    const recipe = { maxLength: 8, batchSize: 100, epochs: 1 };
    const { run } = await world.train(world.spec({ dataset }, recipe));
    const eos = "which removes their end-of-sequence token";
    assert.ok(run.notes.includes(`10 of the first 200 rows are longer than --max_length 8 and are cut, ${eos}`));
    assert.deepEqual([run.rowCounts?.rows, run.rowCounts?.rowsCut, run.rowCounts?.rowsWithoutEos], [230, 12, 12]);
  });
});
