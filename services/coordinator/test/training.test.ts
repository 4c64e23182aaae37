/** A run's numbers, against the formulas. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { initAdapter, loraTensorNames, type AdapterTensors } from "@gradpool/adapter";
import { defaultRecipe } from "@gradpool/recipe";
import { readTrainingState, trainingStateBytes } from "@gradpool/run-folder";
import type { PreparedRun } from "../src/runs/preparation.js";
import { Training } from "../src/runs/training.js";
import { failure } from "./support.js";

const TARGETS = [
  { name: "transformer.h.0.attn.c_attn", inFeatures: 6, outFeatures: 9 },
  { name: "transformer.h.0.attn.c_proj", inFeatures: 3, outFeatures: 6 },
];

function newTraining(changes: object = {}, more: object = {}): Training {
  const { lora, ...recipe } = defaultRecipe();
  assert.ok(lora);
  const complete = { ...recipe, lora: { ...lora, r: 2 }, ...changes };
  const adapter = initAdapter(TARGETS, 2, 1);
  const source = { model: { description: { vocabSize: 100 } } };
  return new Training({
    recipe: complete,
    targets: TARGETS,
    adapter,
    source,
    totalSteps: 10,
    ...more,
  } as unknown as PreparedRun);
}

/** Gradients whose sum depends on the order in which float32 adds them. */
function resultOf(microBatch: number, targetTokens: number) {
  const gradients: AdapterTensors = new Map();
  for (const [name, { shape, data }] of initAdapter(TARGETS, 2, 7)) {
    const scale = 10 ** (microBatch % 3);
    const gradient = data.map((_, i) => scale * Math.sin(1 + i * 7 + microBatch * 3));
    gradients.set(name, { shape, data: gradient });
  }
  return { lossSum: 3 * targetTokens + microBatch / 7, targetTokens, gradients };
}

const TOKENS = [11, 5, 0, 29, 8];

function stepInOrder(training: Training, order: number[]) {
  for (const microBatch of order) training.accept(microBatch, resultOf(microBatch, TOKENS[microBatch] ?? 0));
  return training.applyStep(0, 1.5);
}

describe("a step", () => {
  it("is the mean over all target tokens (I1)", () => {
    const training = newTraining({ maxGradNorm: 0, learningRate: 0.5, lrScheduler: "constant" });
    const before = new Map([...training.adapter].map(([name, { data }]) => [name, data.slice()]));
    const { loss, gradNorm, tokens, learningRate, step, epoch, seconds } = stepInOrder(training, [0, 1, 2, 3, 4]);
    const count = 53;
    // The one without targets adds nothing.
    const counted = [0, 1, 3, 4].map((microBatch) => resultOf(microBatch, TOKENS[microBatch] ?? 0));
    assert.deepEqual([tokens, learningRate, step, epoch, seconds], [count, 0.5, 1, 0, 1.5]);
    assert.equal(loss, counted.reduce((sum, { lossSum }) => sum + lossSum, 0) / count);
    let squares = 0;
    for (const name of loraTensorNames(TARGETS)) {
      const { data } = training.adapter.get(name) ?? assert.fail();
      for (const [i, value] of data.entries()) {
        const mean = counted.reduce((sum, { gradients }) => sum + (gradients.get(name)?.data[i] ?? NaN), 0) / count;
        squares += mean ** 2;
        // AdamW's first step is the learning rate against the gradient's sign.
        const expected = (before.get(name)?.[i] ?? NaN) - (0.5 * mean) / (Math.abs(mean) + 1e-8);
        assert.ok(Math.abs(value - expected) < 1e-5, `${name}[${i}]`);
      }
    }
    assert.ok(Math.abs(gradNorm - Math.sqrt(squares)) < 1e-5 * gradNorm);
  });

  it("has the same bits in whatever order its results come (I2)", () => {
    const orders = [
      [0, 1, 2, 3, 4],
      [4, 3, 2, 1, 0],
      [2, 0, 4, 1, 3],
    ];
    const outcomes = orders.map((order) => {
      const training = newTraining();
      return [stepInOrder(training, order), stepInOrder(training, order), Buffer.from(training.adapterFile())];
    });
    for (const outcome of outcomes) assert.deepEqual(outcome, outcomes[0]);
  });

  it("clips, and reports the norm before clipping", () => {
    const free = newTraining({ maxGradNorm: 0 });
    const clipped = newTraining({ maxGradNorm: 1e-3 });
    assert.equal(stepInOrder(free, [0, 1, 2, 3, 4]).gradNorm, stepInOrder(clipped, [0, 1, 2, 3, 4]).gradNorm);
    const [name = ""] = loraTensorNames(TARGETS);
    const moment = (training: Training) => training.optimizerState.moments.get(name)?.expAvg[0] ?? 0;
    assert.ok(Math.abs(moment(clipped)) < Math.abs(moment(free)) / 100);
  });

  it("is refused when it makes the adapter infinite", () => {
    const training = newTraining({ learningRate: 1e39, lrScheduler: "constant" });
    assert.throws(() => stepInOrder(training, [0, 1, 2, 3, 4]), /step 1: the adapter became infinite/);
  });

  it("is refused, by its number, when loss or gradient is not a number", () => {
    for (const [value, message] of [
      [NaN, /^step 2: loss is NaN; lower learning_rate, or set max_grad_norm$/],
      [Infinity, /^step 2: loss is Infinity; lower learning_rate/],
    ] as const) {
      const training = newTraining();
      stepInOrder(training, [0, 1, 2, 3, 4]);
      training.accept(0, { ...resultOf(0, 11), lossSum: value });
      assert.throws(() => training.applyStep(0, 1), failure("failed_precondition", message));
    }
    const training = newTraining();
    const result = resultOf(0, 11);
    for (const { data } of result.gradients.values()) data[0] = NaN;
    training.accept(0, result);
    assert.throws(() => training.applyStep(0, 1), failure("failed_precondition", /^step 1: gradient norm is NaN; /));
  });

  it("is skipped where a scaled loss makes gradients infinite, as if its rows were not there", () => {
    const options = { dtype: "float16", lrScheduler: "linear", warmupSteps: 0 };
    const [training, without] = [newTraining(options), newTraining({ ...options, dtype: "float32" })];
    const scaled = (microBatch: number, factor: number) => {
      const result = resultOf(microBatch, TOKENS[microBatch] ?? 0);
      for (const { data } of result.gradients.values()) data.forEach((value, i) => (data[i] = value * factor));
      return result;
    };
    const files = [Buffer.from(training.adapterFile())];
    assert.equal(training.lossScale, 65_536);
    training.accept(0, scaled(0, 65_536));
    training.accept(1, scaled(1, Infinity));
    const { step, gradNorm, learningRate, loss, tokens } = training.applyStep(0, 1);
    assert.deepEqual([step, gradNorm, learningRate, tokens], [1, 0, 0, 16]);
    assert.ok(loss > 0);
    assert.deepEqual(training.lossScaling, { scale: 32_768, goodSteps: 0, skippedSteps: [1] });
    assert.deepEqual([training.version, training.optimizerState.step], [1, 0]);
    assert.deepEqual(Buffer.from(training.adapterFile()), files[0]);
    for (const microBatch of [0, 1]) {
      training.accept(microBatch, scaled(microBatch, training.lossScale));
      without.accept(microBatch, scaled(microBatch, 1));
    }
    const made = training.applyStep(0, 1);
    assert.deepEqual({ ...made, step: 1 }, without.applyStep(0, 1));
    assert.deepEqual(training.adapterFile(), without.adapterFile());
    assert.deepEqual(training.lossScaling, { scale: 32_768, goodSteps: 1, skippedSteps: [1] });
    assert.equal(without.lossScaling, undefined);
  });

  it("is refused when no loss scale makes its gradients finite", () => {
    const training = newTraining({ dtype: "float16" });
    const overflow = () => {
      const result = resultOf(0, 11);
      for (const { data } of result.gradients.values()) data[0] = NaN;
      training.accept(0, result);
      return training.applyStep(0, 1);
    };
    for (let scale = 65_536; scale > 1; scale /= 2) overflow();
    assert.equal(training.lossScale, 1);
    assert.throws(overflow, failure("failed_precondition", /^step 17: gradient norm is NaN; /));
  });

  it("resumes after a skipped one with the same bits", () => {
    const whole = newTraining({ dtype: "float16" });
    const make = (training: Training, factor: number) => {
      const result = resultOf(2, 4);
      for (const { data } of result.gradients.values()) data.forEach((value, i) => (data[i] = value * factor));
      training.accept(0, result);
      return training.applyStep(0, 1);
    };
    for (const factor of [1, Infinity, 1]) make(whole, factor);
    const { lossScaling, adapter, optimizerState: optimizer } = whole;
    const saved = trainingStateBytes({ adapter, optimizer, best: undefined }, 3);
    const resumed = {
      ...readTrainingState(saved, 3 - (lossScaling?.skippedSteps.length ?? 0), "state"),
      ...{ lossScaling, steps: [] },
    };
    const again = newTraining({ dtype: "float16" }, { resumed, adapter: structuredClone(adapter) });
    assert.equal(again.version, 3);
    for (const factor of [1, Infinity, 1]) assert.deepEqual(make(again, factor), make(whole, factor));
    assert.deepEqual(again.adapterFile(), whole.adapterFile());
    assert.deepEqual(again.lossScaling, whole.lossScaling);
  });

  it("is refused when its loss explodes", () => {
    const training = newTraining();
    stepInOrder(training, [0, 1, 2, 3, 4]);
    training.accept(0, { ...resultOf(0, 10), lossSum: 200 });
    const message = /^step 2: the loss exploded to 20.00 \(3.0\d at the first step\); lower learning_rate/;
    assert.throws(() => training.applyStep(0, 1), failure("failed_precondition", message));
    assert.equal(training.version, 1);
  });

  it("starts the next one from nothing", () => {
    const training = newTraining();
    assert.equal(training.version, 0);
    stepInOrder(training, [0, 1, 2, 3, 4]);
    assert.equal(training.version, 1);
    training.accept(0, resultOf(0, 11));
    const { tokens, loss, step } = training.applyStep(1, 1);
    assert.deepEqual([tokens, loss, step], [11, 3, 2]);
  });

  it("keeps an adapter's file until the next step changes it", () => {
    const training = newTraining();
    const file = training.adapterFile();
    assert.equal(training.adapterFile(), file);
    const bytes = Buffer.from(file);
    stepInOrder(training, [0, 1, 2, 3, 4]);
    assert.notDeepEqual(Buffer.from(training.adapterFile()), bytes);
    assert.deepEqual(Buffer.from(file), bytes);
  });
});
