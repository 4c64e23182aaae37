/** Trainers that join, leave, die, repeat themselves and fail: the bits are the same (I2), and no step is lost (I3). */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { describe, it } from "node:test";
import { RunState, type MicroBatchTask } from "@gradpool/rpc";
import { readSafetensors, toFloat32, writeSafetensors } from "@gradpool/safetensors";
import type { FakeTrainer } from "./fake-trainer.js";
import { assertSame, trainAlone } from "./same-bits.js";
import { failure } from "./support.js";
import { World, type RecipeChanges } from "./world.js";

const RECIPE: RecipeChanges = { learningRate: 1e-2, seed: 3, gradientAccumulation: 3, epochs: 3 };
const LEASES = { heartbeatMs: 20, leaseMs: 1_500 };

describe("the pool", { timeout: 240_000 }, () => {
  it("gives the same bits with 1 and 3 trainers that answer in any order (I2)", async () => {
    await using world = await World.start();
    const alone = await trainAlone(world, "alone", RECIPE);
    const trainers = await Promise.all([1, 2, 3].map(() => world.trainer({ byHand: true, tasks: 1 })));
    const turns = new Turns();
    for (const trainer of trainers) void answerBackwards(trainer, turns);
    const ended = await world.train(world.spec({ outputDir: world.outputDir("three") }, RECIPE));
    assertSame(world, ["alone", alone], ["three", ended]);
    for (const { accepted } of trainers) assert.ok(accepted.length >= 3);
  });

  it("gives a killed trainer's micro-batches to others and loses nothing else (I3)", async () => {
    await using world = await World.start();
    const alone = await trainAlone(world, "alone", RECIPE);
    const victim = await world.trainer({ byHand: true });
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("killed") }, RECIPE));
    await victim.until(() => victim.tasks.length === 2);
    const [first, second] = victim.tasks as [MicroBatchTask, MicroBatchTask];
    assert.ok(await victim.answer(first));
    await victim.kill();
    const survivor = await world.trainer();
    const ended = await world.watch(runId);
    assertSame(world, ["alone", alone], ["killed", ended]);
    // What was done stayed done; the rest was done again under another task id.
    const places = survivor.tasks.map(({ step, microBatch }) => `${step}/${microBatch}`);
    assert.equal(new Set(places).size, places.length);
    assert.ok(!places.includes("1/0") && places.includes("1/1"));
    assert.ok(!survivor.tasks.some(({ taskId }) => taskId === second.taskId));
  });

  it("counts a silent trainer as lost, drops its late result, and takes it back", async () => {
    await using world = await World.start({ leases: LEASES });
    const alone = await trainAlone(world, "alone", RECIPE);
    const silent = await world.trainer({ byHand: true });
    assert.deepEqual(silent.welcome, LEASES);
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("silent") }, RECIPE));
    await silent.until(() => silent.tasks.length === 2);
    silent.mute();
    const late = await silent.compute(silent.tasks[0] ?? assert.fail());
    // Its conversation is ended, so that it can reconnect.
    await silent.until(() => silent.ended);
    assert.equal((await world.pool.listTrainers({})).trainers.length, 0);
    assert.equal(await silent.push(late.header, late.gradients), false);
    await world.trainer({ trainerId: silent.trainerId });
    assertSame(world, ["alone", alone], ["silent", await world.watch(runId)]);
    assert.equal(await silent.push(late.header, late.gradients), false);
  });

  it("keeps a trainer that sends only heartbeats", async () => {
    await using world = await World.start({ leases: LEASES });
    const trainer = await world.trainer({ byHand: true });
    const runId = await world.submit(world.spec({}, { ...RECIPE, epochs: 1 }));
    await trainer.until(() => trainer.tasks.length === 2);
    const startedAt = performance.now();
    while (performance.now() - startedAt < 2 * LEASES.leaseMs) {
      const { trainers } = await world.pool.listTrainers({});
      assert.deepEqual([trainers.length, trainers[0]?.runId], [1, runId]);
    }
  });

  it("lets a trainer's new connection replace its old one", async () => {
    await using world = await World.start();
    const alone = await trainAlone(world, "alone", RECIPE);
    const old = await world.trainer({ trainerId: "same", byHand: true });
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("again") }, RECIPE));
    await old.until(() => old.tasks.length === 2);
    const { header, gradients } = await old.compute(old.tasks[0] ?? assert.fail());
    const now = await world.trainer({ trainerId: "same", byHand: true });
    await old.until(() => old.ended);
    await now.until(() => now.tasks.length === 2);
    assert.equal(await old.push(header, gradients), false);
    assert.equal((await world.pool.listTrainers({})).trainers.length, 1);
    await now.kill();
    await world.trainer({ trainerId: "same" });
    assertSame(world, ["alone", alone], ["again", await world.watch(runId)]);
  });

  it("takes one of two results (I3)", async () => {
    await using world = await World.start();
    const alone = await trainAlone(world, "alone", RECIPE);
    const trainer = await world.trainer();
    const counts: boolean[] = [];
    trainer.alter = async (answer) => {
      counts.push(await trainer.push(answer.header, answer.gradients));
      return answer;
    };
    const ended = await world.train(world.spec({ outputDir: world.outputDir("doubled") }, RECIPE));
    assertSame(world, ["alone", alone], ["doubled", ended]);
    assert.deepEqual([counts.length, trainer.accepted.length, trainer.dropped.length], [12, 12, 12]);
    assert.ok(counts.every(Boolean));
  });

  it("shares its trainers between runs, each of which gives what it gives alone", async () => {
    await using world = await World.start();
    const other: RecipeChanges = { ...RECIPE, seed: 8, gradientAccumulation: 2, batchSize: 1, lora: { r: 5 } };
    const first = await trainAlone(world, "first", RECIPE);
    const second = await trainAlone(world, "second", other);
    // Both runs wait for a trainer, so that neither has a start.
    const both = [
      await world.submit(world.spec({ outputDir: world.outputDir("both-1") }, RECIPE)),
      await world.submit(world.spec({ outputDir: world.outputDir("both-2") }, other)),
    ];
    for (const runId of both) await world.watch(runId, ({ run }) => run.state === RunState.RUN_STATE_RUNNING);
    // It answers once it holds the first steps of both, 3 and 2 micro-batches, however late a run's rows come.
    const trainer = await world.trainer({ tasks: 5 });
    trainer.alter = async (answer) => {
      await trainer.until(() => trainer.tasks.length >= 5);
      return answer;
    };
    const [one, two] = await Promise.all(both.map((runId) => world.watch(runId)));
    assertSame(world, ["first", first], ["both-1", one ?? assert.fail()]);
    assertSame(world, ["second", second], ["both-2", two ?? assert.fail()]);
    // Neither waits for the other's end; that they take turns is held by every simulated history (I8).
    const held = trainer.tasks.slice(0, 5).map(({ runId }) => both.indexOf(runId));
    assert.deepEqual(held.toSorted(), [0, 0, 0, 1, 1]);
    for (const runId of both) assert.ok(trainer.endedRuns.includes(runId));
  });

  it("keeps a run to trainers of one class (I2)", async () => {
    await using world = await World.start();
    const first = await world.trainer({ byHand: true, tasks: 1, deviceClass: "a" });
    const runId = await world.submit(world.spec({}, { ...RECIPE, epochs: 1 }));
    await first.until(() => first.tasks.length === 1);
    const other = await world.trainer({ deviceClass: "b" });
    assert.ok(await first.answer(first.tasks[0] ?? assert.fail()));
    await first.kill();
    const third = await world.trainer({ deviceClass: "a" });
    const { run } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.deepEqual([other.tasks.length, third.tasks.length], [0, 3]);
  });

  it("describes its trainers", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ deviceClass: "cpu-x64-avx512" });
    await world.train(world.spec());
    trainer.beat();
    let [described] = (await world.pool.listTrainers({})).trainers;
    while (described?.residentBytes !== 12345) [described] = (await world.pool.listTrainers({})).trainers;
    const { trainerId, device, deviceClass, pid, threads, runId, microBatches } = described;
    assert.deepEqual([trainerId, device, deviceClass], [trainer.trainerId, "fake", "cpu-x64-avx512"]);
    assert.deepEqual([pid, threads, runId, microBatches], [process.pid, 1, "", 8]);
    assert.ok(described.tokensPerSecond > 0 && described.connectedAt);
    await trainer.kill();
    while ((await world.pool.listTrainers({})).trainers.length > 0);
  });
});

describe("a task that fails", { timeout: 240_000 }, () => {
  it("is tried again", async () => {
    await using world = await World.start();
    const alone = await trainAlone(world, "alone", RECIPE);
    const trainer = await world.trainer();
    const failed = new Set<string>();
    trainer.alter = async (answer, { step, microBatch, taskId }) => {
      // The first two tries; the conversation's secret follows.
      if (!/\/1\.[12]\b/.test(taskId)) return answer;
      failed.add(`${step}/${microBatch}`);
      return undefined;
    };
    const ended = await world.train(world.spec({ outputDir: world.outputDir("again") }, RECIPE));
    assertSame(world, ["alone", alone], ["again", ended]);
    assert.equal(failed.size, 12);
  });

  it("fails its run at the third time, with the cause", async () => {
    await using world = await World.start();
    const trainer = await world.trainer();
    trainer.alter = async (answer, { microBatch }) => (microBatch === 1 ? undefined : answer);
    const { run } = await world.train(world.spec({}, RECIPE));
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.deepEqual(run.error, {
      code: "resource_exhausted",
      message: "step 1, micro-batch 1 failed 3 times, most recently: this trainer has too little memory",
    });
    assert.equal(trainer.tasks.filter(({ microBatch }) => microBatch === 1).length, 3);
  });

  it("fails its run at once when it would fail everywhere", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ byHand: true });
    const runId = await world.submit(world.spec());
    await trainer.until(() => trainer.tasks.length === 2);
    trainer.fail(trainer.tasks[0] ?? assert.fail(), true, "the model folder changed");
    const { run } = await world.watch(runId);
    assert.deepEqual(run.error, { code: "resource_exhausted", message: "the model folder changed" });
    await trainer.until(() => trainer.endedRuns.includes(runId));
    assert.deepEqual(trainer.cancelled, [trainer.tasks[1]?.taskId]);
  });

  for (const [what, alter, message] of [
    ["counts other targets", { targetTokens: 1 }, /it has 1 targets instead of \d+/],
    ["has another loss", { lossSum: NaN }, /step 1: loss is NaN; lower learning_rate/],
  ] as const) {
    it(`is not taken when its result ${what}`, async () => {
      await using world = await World.start();
      const trainer = await world.trainer();
      trainer.alter = async ({ header, gradients }) => ({ header: { ...header, ...alter }, gradients });
      const { run } = await world.train(world.spec());
      assert.equal(run.state, RunState.RUN_STATE_FAILED);
      assert.match(run.error?.message ?? "", message);
    });
  }

  for (const [what, spoil, message] of [
    ["are no safetensors file", () => new Uint8Array(100), /the result of task .* cannot be used/],
    ["are too many bytes", (file: Uint8Array) => Buffer.concat([file, Buffer.alloc(2 << 20)]), /is larger than/],
    [
      "lack a tensor",
      (file: Uint8Array) => rewritten(file, (name) => !name.includes("c_attn.lora_A")),
      /has no tensor/,
    ],
    ["hold infinity", (file: Uint8Array) => rewritten(file, () => true, Infinity), /step 1: gradient norm is Infinity/],
  ] as const) {
    it(`is not taken when its gradients ${what}`, async () => {
      await using world = await World.start();
      const trainer = await world.trainer();
      trainer.alter = async ({ header, gradients }) => ({ header, gradients: spoil(gradients) });
      const { run } = await world.train(world.spec());
      assert.equal(run.state, RunState.RUN_STATE_FAILED);
      assert.match(run.error?.message ?? "", message);
      assert.ok(!run.error?.message.includes("\n"));
    });
  }

  it("is not taken when it has two headers", async () => {
    await using world = await World.start();
    const trainer = await world.trainer({ byHand: true });
    await world.submit(world.spec());
    await trainer.until(() => trainer.tasks.length === 2);
    const { header, gradients } = await trainer.compute(trainer.tasks[0] ?? assert.fail());
    const start = { $case: "header" as const, value: { ...header, gradientBytes: gradients.byteLength } };
    const [first, rest] = [gradients.subarray(0, 100), gradients.subarray(100)];
    await assert.rejects(
      trainer.upload(start, { $case: "data", value: first }, start, { $case: "data", value: rest }),
      failure("invalid_argument", /it has two headers/),
    );
  });
});

/** Events to wait for. */
class Turns {
  readonly #done = new Set<string>();
  readonly #changes = new EventEmitter().setMaxListeners(0);

  done(turn: string): void {
    this.#done.add(turn);
    this.#changes.emit("change");
  }

  async after(turn: string): Promise<void> {
    while (!this.#done.has(turn)) await once(this.#changes, "change");
  }
}

/** Answers the first step of each epoch, of three micro-batches, from its last to its first. */
async function answerBackwards(trainer: FakeTrainer, turns: Turns): Promise<void> {
  for (let count = 0; ; count++) {
    await trainer.until(() => trainer.tasks.length > count || trainer.ended);
    const task = trainer.tasks[count];
    if (!task) return;
    if (task.step % 2 === 1 && task.microBatch < 2) await turns.after(`${task.step}/${task.microBatch + 1}`);
    await trainer.answer(task);
    turns.done(`${task.step}/${task.microBatch}`);
    trainer.pull(1);
  }
}

/** A safetensors file with some tensors only, and with its first value replaced. */
function rewritten(file: Uint8Array, keep: (name: string) => boolean, first?: number): Uint8Array {
  const kept = [...readSafetensors(file).tensors].filter(([name]) => keep(name));
  const tensors = new Map(
    kept.map(([name, tensor]) => [name, { shape: tensor.shape, data: toFloat32(tensor).slice() }]),
  );
  const [some] = tensors.values();
  if (some && first !== undefined) some.data[0] = first;
  return writeSafetensors(tensors);
}
