/** Runs are given only to trainers that may have the memory, and refused with the number where none has it. */
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { RunState } from "@gradpool/rpc";
import { transition } from "../src/core/transition.js";
import { emptyPool, type Input, type LargestTensor, type PoolState, type TaskResult } from "../src/core/state.js";
import type { Effect } from "../src/core/effects.js";
import { largestTensor, leastTrainerBytes } from "../src/runs/trainer-memory.js";
import { World } from "./world.js";

/** GPT-2 small's shapes with a vocabulary of 32,768: what docs/numbers.md measures. */
const GPT2_SMALL = {
  parameters: 111_008_256,
  modules: Array.from({ length: 12 }, (_, layer) => [
    { name: `transformer.h.${layer}.attn.c_attn`, inFeatures: 768, outFeatures: 2_304 },
    { name: `transformer.h.${layer}.attn.c_proj`, inFeatures: 768, outFeatures: 768 },
    { name: `transformer.h.${layer}.mlp.c_fc`, inFeatures: 768, outFeatures: 3_072 },
    { name: `transformer.h.${layer}.mlp.c_proj`, inFeatures: 3_072, outFeatures: 768 },
  ]).flat(),
};

describe("the least that a micro-batch takes", () => {
  const ROWS: [dtype: string, gradientCheckpointing: boolean, measuredBytes: number][] = [
    ["float32", false, 1.76e9],
    ["float32", true, 1.64e9],
    ["float16", false, 1.14e9],
    ["float16", true, 0.91e9],
  ];
  for (const [dtype, gradientCheckpointing, measured] of ROWS) {
    test(`is below what was measured: ${dtype}${gradientCheckpointing ? ", checkpointing" : ""}`, () => {
      const size = { rows: 8, rowLength: 129 };
      const least = leastTrainerBytes(GPT2_SMALL, { dtype, basePrecision: "float32", gradientCheckpointing })(size);
      assert.ok(least < measured && least > measured / 5, `${least} of ${measured}`);
    });
  }

  test("grows with rows and their length", () => {
    const recipe = { dtype: "float32", basePrecision: "float32", gradientCheckpointing: false };
    const of = (rows: number, rowLength: number) => leastTrainerBytes(GPT2_SMALL, recipe)({ rows, rowLength });
    const weights = 4 * GPT2_SMALL.parameters;
    assert.equal(of(16, 129) - weights, 2 * (of(8, 129) - weights));
    assert.equal(of(8, 257) - weights, 2 * (of(8, 129) - weights));
  });
});

describe("the largest tensor of a micro-batch", () => {
  const of = (vocabSize: number, dtype: string, rows: number) =>
    largestTensor({ ...GPT2_SMALL, vocabSize }, { dtype })({ rows, rowLength: 129 });

  test("is a weight, or where there are many tokens their logits", () => {
    assert.deepEqual(of(50_257, "float32", 1), {
      ...{ bytes: 4 * 50_257 * 768, name: "the weights of the embedding", ofMicroBatch: false },
    });
    assert.deepEqual(of(50_257, "float32", 8), {
      ...{ bytes: 4 * 50_257 * 1_024, name: "the logits of a micro-batch", ofMicroBatch: true },
    });
    // As halves the weights are smaller, the logits are not.
    assert.deepEqual(of(50_257, "float16", 1).bytes, 2 * 50_257 * 768);
    assert.deepEqual(of(50_257, "float16", 4).bytes, 4 * 50_257 * 512);
  });

  test("is of a linear layer where the vocabulary is small", () => {
    assert.equal(of(1_000, "float32", 1).name, "the weights of transformer.h.0.mlp.c_fc");
    assert.equal(of(1_000, "float32", 8).name, "the outputs of transformer.h.0.mlp.c_fc");
  });
});

const RESULT: TaskResult = {
  ...{ lossSum: 1, targetTokens: 1, gradients: new Map(), computeMs: 1, waitMs: 1, fetchMs: 1 },
};

/** A run whose micro-batches take at least 10 GB, and trainers. */
class Pool {
  state: PoolState = emptyPool();
  readonly effects: Effect[] = [];

  constructor() {
    this.happen({ type: "run-submitted", runId: "r" });
    const steps = { totalSteps: 9, stepsDone: 0, deviceClass: undefined };
    this.happen({ type: "run-prepared", runId: "r", ...steps, evaluate: false, stopped: false });
  }

  join(trainerId: string, memoryBytes = 0, largestBufferBytes = 0): void {
    this.happen({ type: "trainer-joined", trainerId, deviceClass: "cpu", memoryBytes, largestBufferBytes });
    this.happen({ type: "trainer-pulled", trainerId, tasks: 2 });
  }

  arrive(leastBytes = 10e9, tensor: Partial<LargestTensor> = {}): void {
    const largestTensor = { bytes: 1e9, name: "the weights of the embedding", ofMicroBatch: false, ...tensor };
    this.happen({ type: "micro-batch-arrived", runId: "r", lastOfStep: false, leastBytes, largestTensor });
  }

  happen(input: Input): void {
    const { state, effects } = transition(this.state, input);
    this.state = state;
    this.effects.push(...effects);
  }

  holders = () => this.state.tasks.map(({ trainerId }) => trainerId);
  ends = () => this.effects.flatMap((effect) => (effect.type === "end-run" ? [effect] : []));
}

describe("a run", () => {
  it("goes to the trainers that have the memory, and to those that do not say", () => {
    const pool = new Pool();
    pool.join("small", 8e9);
    pool.join("large", 16e9);
    pool.join("silent");
    for (let i = 0; i < 2; i++) pool.arrive();
    assert.deepEqual(pool.holders().sort(), ["large", "silent"]);
  });

  it("fails with the numbers where no trainer has it", () => {
    const pool = new Pool();
    pool.join("small", 8e9);
    pool.join("smaller", 4e9);
    pool.arrive();
    const [end] = pool.ends();
    assert.deepEqual([end?.outcome, end?.code], ["failed", "resource_exhausted"]);
    assert.equal(
      end?.message,
      "a micro-batch takes at least 10.0 GB of a trainer's memory, and the largest has 8.0 GB; lower batch_size, " +
        "max_length or pass_tokens, give --gradient_checkpointing, or add a larger trainer",
    );
  });

  it("goes to the trainers that have a buffer for its largest tensor", () => {
    const pool = new Pool();
    pool.join("bounded", 16e9, 268_435_456);
    pool.join("large", 16e9, 4e9);
    pool.join("unbounded", 16e9);
    for (let i = 0; i < 2; i++) pool.arrive();
    assert.deepEqual(pool.holders().sort(), ["large", "unbounded"]);
  });

  it("fails with the numbers where no trainer with the memory has the buffer", () => {
    const messageOf = (tensor: Partial<LargestTensor>) => {
      const pool = new Pool();
      pool.join("small", 8e9);
      pool.join("bounded", 16e9, 134_217_728);
      pool.join("less bounded", 16e9, 268_435_456);
      pool.arrive(10e9, tensor);
      const [end] = pool.ends();
      assert.deepEqual([end?.outcome, end?.code, pool.holders()], ["failed", "resource_exhausted", []]);
      return end?.message;
    };
    assert.equal(
      messageOf({ bytes: 1_050_673_152 }),
      "the weights of the embedding take 1.1 GB in one buffer, and no GPU of the pool has one above 268.4 MB; " +
        "use a trainer on CUDA or on a processor (--device cpu)",
    );
    assert.equal(
      messageOf({ name: "the logits of a micro-batch", ofMicroBatch: true }),
      "the logits of a micro-batch take 1.0 GB in one buffer, and no GPU of the pool has one above 268.4 MB; " +
        "lower batch_size, max_length or pass_tokens, or use a trainer on CUDA or on a processor (--device cpu)",
    );
  });

  it("waits where there is no trainer, as ever", () => {
    const pool = new Pool();
    pool.arrive();
    assert.deepEqual(pool.ends(), []);
    pool.join("large", 16e9);
    assert.deepEqual(pool.holders(), ["large"]);
  });

  it("that has results waits for a trainer like the one that made them", () => {
    const pool = new Pool();
    pool.join("large", 16e9);
    pool.arrive();
    pool.happen({ type: "result-arrived", taskId: pool.state.tasks[0]?.taskId ?? "", result: RESULT });
    pool.happen({ type: "trainer-left", trainerId: "large" });
    pool.join("small", 8e9);
    pool.arrive();
    assert.deepEqual([pool.ends(), pool.holders()], [[], []]);
    pool.join("large", 16e9);
    assert.deepEqual(pool.holders(), ["large"]);
  });
});

it("a pool refuses a run before a trainer computes anything of it", { timeout: 120_000 }, async () => {
  await using world = await World.start({ ownServices: true });
  const trainer = await world.trainer({ memoryBytes: 100_000 });
  const { run } = await world.train(world.spec({ outputDir: world.outputDir("out") }));
  assert.equal(run.state, RunState.RUN_STATE_FAILED);
  assert.match(
    run.error?.message ?? "",
    /^a micro-batch takes at least [\d.]+ [kM]B of a trainer's memory, and the largest has 100\.0 kB; lower batch_size/,
  );
  assert.equal(trainer.tasks.length, 0);
});

it(
  "a pool refuses a run whose tensors no GPU has a buffer for before anything is computed",
  { timeout: 120_000 },
  async () => {
    await using world = await World.start({ ownServices: true });
    const trainer = await world.trainer({ largestBufferBytes: 1_000 });
    const { run } = await world.train(world.spec({ outputDir: world.outputDir("out") }));
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.match(
      run.error?.message ?? "",
      /^the (weights|logits|outputs) of .* take [\d.]+ [kM]?B in one buffer, and no GPU of the pool has one above 1\.0 kB; /,
    );
    assert.equal(trainer.tasks.length, 0);
  },
);
