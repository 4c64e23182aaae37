/** Evaluations on held-out data: their results, what they decide, and that a crash leaves no trace in them. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { RunState, type Evaluation } from "@gradpool/rpc";
import type { Answer, FakeTrainer } from "./fake-trainer.js";
import { assertSame } from "./same-bits.js";
import { failure } from "./support.js";
import { durableWorld, World, type Ended, type RecipeChanges } from "./world.js";

/** 7 rows in micro-batches of 2 and steps of 2: 2 steps an epoch, 6 in all. */
const RECIPE: RecipeChanges = { gradientAccumulation: 2, epochs: 3, learningRate: 1e-2, seed: 3 };

/** The recipe, with 5 held-out rows. */
function specOf(world: World, name: string, changes: RecipeChanges = {}) {
  const evalDataset = [world.rows(5, "held-out.jsonl")];
  return world.spec({ outputDir: world.outputDir(name), evalDataset }, { ...RECIPE, ...changes });
}

/** Gives the evaluation after each step the given loss; other steps keep theirs. */
function fixLosses(trainer: FakeTrainer, losses: Record<number, number>): void {
  trainer.alter = async (answer: Answer, { evaluate, step }) => {
    const loss = losses[step];
    if (!evaluate || loss === undefined) return answer;
    return { ...answer, header: { ...answer.header, lossSum: loss * answer.header.targetTokens } };
  };
}

const numbersOf = ({ evaluations }: Ended) =>
  evaluations.map(({ step, epoch, loss, tokens }: Evaluation) => [step, epoch, loss, tokens]);

const stepsOf = ({ evaluations }: Ended) => evaluations.map(({ step }) => step);

const checkpointsIn = (world: World, name: string): string[] =>
  readdirSync(world.outputDir(name)).filter((entry) => entry.startsWith("checkpoint-"));

interface Metrics {
  steps: { step: number }[];
  evaluations?: Record<string, number>[];
  result_step?: number;
}

const metricsOf = (world: World, name: string) => JSON.parse(world.output(name, "metrics.json").toString()) as Metrics;

function assertCompleted({ run }: Ended): void {
  assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
}

describe("an evaluated run", { timeout: 240_000 }, () => {
  it("has the mean loss over all held-out tokens, in its record and its files, and is not changed by it", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const plain = await world.train(world.spec({ outputDir: world.outputDir("plain") }, RECIPE));
    const ended = await world.train(specOf(world, "evaluated"));
    assertCompleted(ended);
    assertSame(world, ["plain", plain], ["evaluated", ended], ["adapter_model.safetensors"]);
    assert.deepEqual(stepsOf(ended), [2, 4, 6]);
    const tasks = trainer.tasks.filter(({ evaluate, step }) => evaluate && step === 2);
    assert.deepEqual(
      tasks.map(({ rows, adapterVersion, microBatch }) => [rows, adapterVersion, microBatch]),
      [
        [2, 2, 0],
        [2, 2, 1],
        [1, 2, 2],
      ],
    );
    const answers = await Promise.all(tasks.map((task) => trainer.compute(task)));
    const sum = (key: "lossSum" | "targetTokens") => answers.reduce((total, { header }) => total + header[key], 0);
    const [first] = ended.evaluations;
    assert.deepEqual([first?.loss, first?.tokens], [sum("lossSum") / sum("targetTokens"), sum("targetTokens")]);
    assert.equal(first?.perplexity, Math.exp(first?.loss ?? 0));
    assert.deepEqual(ended.run.lastEvaluation, ended.evaluations.at(-1));
    const best = ended.evaluations.toSorted((a, b) => a.loss - b.loss)[0];
    assert.deepEqual(ended.run.bestEvaluation, best);
    const { evaluations, result_step: resultStep } = metricsOf(world, "evaluated");
    assert.deepEqual(evaluations, ended.evaluations);
    assert.equal(resultStep, 6);
    assert.match(world.output("evaluated", "loss.svg").toString(), />evaluation</);
    assert.equal(metricsOf(world, "plain").evaluations, undefined);
  });

  it("has the same evaluations on any number of trainers, in whatever order they answer (I2)", async () => {
    await using world = await World.start();
    const one = await world.trainer();
    const alone = await world.train(specOf(world, "alone", { evalEvery: 2 }));
    await one.kill();
    await Promise.all([1, 2, 3].map(() => world.trainer({ tasks: 1 })));
    const together = await world.train(specOf(world, "together", { evalEvery: 2 }));
    assert.deepEqual(stepsOf(alone), [2, 4, 6]);
    assert.deepEqual(numbersOf(together), numbersOf(alone));
    assertSame(world, ["alone", alone], ["together", together]);
  });

  it("evaluates every N steps and after the last", async () => {
    await using world = await World.start();
    await world.trainer();
    const ended = await world.train(specOf(world, "output", { evalEvery: 4 }));
    assert.deepEqual(stepsOf(ended), [4, 6]);
  });

  it("repeats an evaluation in which it was interrupted, and records it once", async () => {
    await using world = await durableWorld();
    const first = await world.trainer();
    const recipe = { evalEvery: 1, saveEvery: 2, loadBestModelAtEnd: true, keepLastNCheckpoints: 0 };
    const whole = await world.train(specOf(world, "whole", recipe));
    assertCompleted(whole);
    await first.kill();
    const runId = await world.submit(specOf(world, "broken", recipe));
    // In the middle of the evaluation after each step: one of its three results has arrived.
    for (let step = 1; step <= 6; step++) {
      const trainer = await world.trainer({ tasks: 1 });
      // The others' results never arrive.
      trainer.alter = async (answer, task) => {
        if (!task.evaluate || task.step < step || task.microBatch === 0) return answer;
        return { ...answer, header: { ...answer.header, taskId: "lost" } };
      };
      await trainer.until(() => trainer.dropped.length > 0);
      const { run } = await world.runs.getRun({ runId });
      assert.equal(run?.step, step);
      assert.equal(run.lastEvaluation?.step ?? 0, step - 1);
      await world.restartCoordinator();
    }
    await world.trainer();
    const broken = await world.watch(runId);
    assertCompleted(broken);
    assert.deepEqual(stepsOf(broken), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(numbersOf(broken), numbersOf(whole));
    assertSame(world, ["whole", whole], ["broken", broken]);
    assert.deepEqual(
      world.output("broken", "adapter_model.safetensors"),
      world.output("whole", "adapter_model.safetensors"),
    );
  });

  it("may be paused within an evaluation", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ byHand: true });
    const runId = await world.submit(specOf(world, "output", { evalEvery: 3 }));
    const isHeldOut = () => trainer.tasks.some(({ evaluate }) => evaluate);
    let answered = 0;
    const answerNext = async () => {
      await trainer.until(() => trainer.tasks.length > answered);
      const task = trainer.tasks[answered++];
      if (task && !trainer.cancelled.includes(task.taskId)) await trainer.answer(task);
      trainer.pull(1);
    };
    while (!isHeldOut()) await answerNext();
    await world.runs.pauseRun({ requestId: randomUUID(), runId });
    await world.runs.resumeRun({ requestId: randomUUID(), runId });
    const watching = world.watch(runId);
    let over = false;
    void watching.then(() => (over = true));
    while (!over) await Promise.race([answerNext(), watching]);
    const ended = await watching;
    assertCompleted(ended);
    assert.deepEqual(stepsOf(ended), [3, 6]);
  });
});

describe("the best evaluation", { timeout: 240_000 }, () => {
  it("decides the result, and its checkpoint is kept besides the newest", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    fixLosses(trainer, { 1: 3, 2: 2.5, 3: 2.6, 4: 2.5, 5: 2.7, 6: 2.9 });
    const recipe = { evalEvery: 1, loadBestModelAtEnd: true, saveEvery: 1, keepLastNCheckpoints: 2 };
    const ended = await world.train(specOf(world, "output", recipe));
    assertCompleted(ended);
    // The first of equals.
    assert.equal(ended.run.bestEvaluation?.step, 2);
    const kept = ["checkpoint-epoch0-step2", "checkpoint-epoch2-step5", "checkpoint-epoch2-step6"];
    assert.deepEqual(checkpointsIn(world, "output").sort(), kept);
    const adapter = world.output("output", "adapter_model.safetensors");
    assert.deepEqual(adapter, world.output("output/checkpoint-epoch0-step2", "adapter_model.safetensors"));
    assert.notDeepEqual(adapter, world.output("output/checkpoint-epoch2-step6", "adapter_model.safetensors"));
    assert.equal(metricsOf(world, "output").result_step, 2);
    const removed = ended.checkpoints.filter((checkpoint) => checkpoint.removed).map(({ step }) => step);
    assert.deepEqual(removed, [1, 3, 4]);
  });

  it("has a checkpoint even when none was due, and only then", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    fixLosses(trainer, { 2: 3, 4: 2, 6: 2.5 });
    await world.train(specOf(world, "output", { loadBestModelAtEnd: true, keepLastNCheckpoints: 1 }));
    assert.deepEqual(checkpointsIn(world, "output").sort(), ["checkpoint-epoch1-step4", "checkpoint-epoch2-step6"]);
    await world.train(specOf(world, "without"));
    assert.deepEqual(checkpointsIn(world, "without"), ["checkpoint-epoch2-step6"]);
  });

  it("is known to a run that resumes from any checkpoint, elsewhere", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    fixLosses(trainer, { 1: 3, 2: 2.5, 3: 2.6, 4: 2.7, 5: 2.8, 6: 2.9 });
    const recipe = { evalEvery: 1, loadBestModelAtEnd: true, saveEvery: 1, keepLastNCheckpoints: 0 };
    const spec = specOf(world, "whole", recipe);
    const whole = await world.train(spec);
    for (const checkpoint of checkpointsIn(world, "whole")) {
      const resumeFrom = join(world.outputDir("whole"), checkpoint);
      const again = await world.train({ ...spec, outputDir: world.outputDir(checkpoint), resumeFrom });
      assertCompleted(again);
      assert.deepEqual(numbersOf(again), numbersOf(whole));
      for (const file of ["adapter_model.safetensors", "README.md"]) {
        assert.deepEqual(world.output(checkpoint, file), world.output("whole", file), checkpoint);
      }
      assertSame(world, ["whole", whole], [checkpoint, again]);
    }
  });
});

describe("early stopping", { timeout: 240_000 }, () => {
  it("ends the run after the evaluation that decides it, at a checkpoint, with its result", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    fixLosses(trainer, { 1: 3, 2: 2.5, 3: 2.45, 4: 2.44, 5: 1 });
    const recipe = { evalEvery: 1, earlyStoppingPatience: 2, earlyStoppingThreshold: 0.1 };
    const spec = specOf(world, "output", recipe);
    const ended = await world.train(spec);
    assertCompleted(ended);
    assert.deepEqual(stepsOf(ended), [1, 2, 3, 4]);
    assert.deepEqual([ended.run.step, ended.run.totalSteps, ended.run.stoppedEarly], [4, 6, true]);
    assert.deepEqual(checkpointsIn(world, "output"), ["checkpoint-epoch1-step4"]);
    assert.equal(metricsOf(world, "output").steps.length, 4);
    // A run resumed from there has nothing left to do.
    const resumeFrom = join(world.outputDir(), "checkpoint-epoch1-step4");
    const again = await world.train({ ...spec, outputDir: world.outputDir("again"), resumeFrom });
    assertCompleted(again);
    assert.deepEqual([again.run.step, again.run.stoppedEarly, numbersOf(again)], [4, true, numbersOf(ended)]);
    assert.deepEqual(
      world.output("again", "adapter_model.safetensors"),
      world.output("output", "adapter_model.safetensors"),
    );
  });
});

describe("a share of the data that is held out", { timeout: 240_000 }, () => {
  it("is evaluated and not trained on, and a resumed run must hold out the same", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const dataset = [world.rows(40, "all.jsonl")];
    const held = { ...RECIPE, evalFraction: 0.2, epochs: 1, saveEvery: 1, keepLastNCheckpoints: 0 };
    const spec = world.spec({ dataset, outputDir: world.outputDir("held") }, held);
    const ended = await world.train(spec);
    assertCompleted(ended);
    const rowsOf = (evaluate: boolean, step?: number) =>
      trainer.tasks
        .filter((task) => task.evaluate === evaluate && (step ?? task.step) === task.step)
        .reduce((sum, { rows }) => sum + rows, 0);
    const [trained, evaluated] = [rowsOf(false), rowsOf(true, ended.run.step)];
    assert.equal(trained + evaluated, 40);
    assert.ok(evaluated > 0 && evaluated < 20, `${evaluated}`);
    assert.equal(ended.run.rowCounts?.rows, trained);
    assert.deepEqual(
      ended.evaluations.map(({ step }) => step),
      [ended.run.step],
    );

    const resumeFrom = join(world.outputDir("held"), "checkpoint-epoch0-step2");
    const again = await world.train({ ...spec, outputDir: world.outputDir("again"), resumeFrom });
    assertSame(world, ["held", ended], ["again", { ...again, steps: ended.steps }]);
    const other = world.spec({ dataset, outputDir: world.outputDir("other") }, { ...held, evalFraction: 0.3 });
    const refused = await world.train({ ...other, resumeFrom });
    assert.match(refused.run.error?.message ?? "", /eval_fraction was 0.2, now 0.3/);
  });

  it("is not beside data of its own", async () => {
    await using world = await World.start();
    const message = /eval_fraction is 0.2, but must be left out with eval_dataset/;
    await assert.rejects(
      world.submit(specOf(world, "both", { evalFraction: 0.2 })),
      failure("invalid_argument", message),
    );
  });
});

describe("what cannot be evaluated", () => {
  it("is refused when it is submitted", async () => {
    await using world = await World.start();
    for (const [changes, field] of [
      [{ evalEvery: 2 }, "eval_every"],
      [{ loadBestModelAtEnd: true }, "load_best_model_at_end"],
      [{ earlyStoppingPatience: 1 }, "early_stopping_patience"],
    ] as const) {
      const message = new RegExp(`${field} needs eval_dataset`);
      await assert.rejects(world.submit(world.spec({}, changes)), failure("invalid_argument", message));
    }
  });

  it("fails the run before its first step when there is no such data, and with the step when it has no loss", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    const missing = { ...specOf(world, "missing"), evalDataset: [join(world.folder, "nowhere.jsonl")] };
    const { run, steps } = await world.train(missing);
    assert.equal(run.error?.code, "not_found");
    assert.match(run.error.message, /nowhere\.jsonl/);
    assert.equal(steps.length, 0);
    const single = join(world.folder, "single.txt");
    writeFileSync(single, "a\n");
    const empty = { ...specOf(world, "empty", { appendEos: false }), evalDataset: [single] };
    assert.match((await world.train(empty)).run.error?.message ?? "", /eval_dataset has no tokens to predict/);
    fixLosses(trainer, { 4: NaN });
    const nan = await world.train(specOf(world, "nan"));
    assert.match(nan.run.error?.message ?? "", /^step 4: the evaluation loss is NaN; lower learning_rate/);
    assert.deepEqual(stepsOf(nan), [2]);
  });

  it("is not what a checkpoint was evaluated on", async () => {
    await using world = await World.start();
    await world.trainer();
    const spec = specOf(world, "output");
    await world.train(spec);
    const resumeFrom = join(world.outputDir(), "checkpoint-epoch2-step6");
    const other = { ...spec, evalDataset: [world.rows(3, "other.jsonl")], outputDir: world.outputDir("b"), resumeFrom };
    const { run } = await world.train(other);
    assert.match(run.error?.message ?? "", /eval_dataset was .*held-out.jsonl.*, now .*other.jsonl/);
  });
});
