/** Services that are unavailable for a while, and data that changes: no micro-batch is lost or repeated. */
import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { describe, it } from "node:test";
import { RunState } from "@gradpool/rpc";
import { kill, startService, World, type Ended, type RecipeChanges } from "./world.js";

const LONG: RecipeChanges = { epochs: 8, learningRate: 1e-3 };

const numbers = ({ steps }: Ended) =>
  steps.map(({ step, epoch, loss, gradNorm, tokens }) => [step, epoch, loss, gradNorm, tokens]);

/** A gate at which something waits until it is released. */
class Gate {
  letGo = () => {};
  #arrive = () => {};
  readonly reached = new Promise<void>((resolve) => (this.#arrive = resolve));
  readonly #open = new Promise<void>((resolve) => (this.letGo = resolve));

  pass(): Promise<void> {
    this.#arrive();
    return this.#open;
  }
}

/** Stops the data stream in the middle of its data, ends its process, and starts another at the same address. */
async function interruptData(world: World, meanwhile: () => void = () => {}): Promise<void> {
  const { dataStream, tokenizer } = world.services;
  const gate = new Gate();
  let batches = 0;
  tokenizer.beforeEncode = () => (++batches > 3 ? gate.pass() : Promise.resolve());
  await gate.reached;
  await kill(dataStream);
  meanwhile();
  const env = { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address, GRADPOOL_LISTEN: dataStream.address };
  world.services.dataStream = await startService("data-stream", env);
  gate.letGo();
}

describe("an outage", { timeout: 240_000 }, () => {
  it("of the data stream goes unnoticed: it is reopened after the last micro-batch", async () => {
    await using world = await World.start({ ownServices: true });
    await world.trainer();
    const undisturbed = await world.train(world.spec({ outputDir: world.outputDir("a") }, LONG));
    assert.equal(undisturbed.run.state, RunState.RUN_STATE_COMPLETED, undisturbed.run.error?.message);
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("b") }, LONG));
    await interruptData(world);
    const disturbed = await world.watch(runId);
    assert.equal(disturbed.run.state, RunState.RUN_STATE_COMPLETED, disturbed.run.error?.message);
    assert.deepEqual(numbers(disturbed), numbers(undisturbed));
    assert.deepEqual(world.output("b/adapter_model.safetensors"), world.output("a/adapter_model.safetensors"));
  });

  it("that a run causes again and again fails this run, and no other", async () => {
    await using world = await World.start({ ownServices: true });
    await world.trainer();
    const { tokenizer } = world.services;
    const runId = await world.submit(world.spec({ outputDir: world.outputDir("bad") }));
    const ended = world.watch(runId);
    for (let times = 0; times < 5; times++) {
      const gate = new Gate();
      tokenizer.beforeEncode = () => gate.pass();
      await gate.reached;
      const { dataStream } = world.services;
      await kill(dataStream);
      const env = { GRADPOOL_TOKENIZER_ADDRESS: tokenizer.address, GRADPOOL_LISTEN: dataStream.address };
      world.services.dataStream = await startService("data-stream", env);
      gate.letGo();
    }
    tokenizer.beforeEncode = () => Promise.resolve();
    const { run } = await ended;
    assert.equal(run.state, RunState.RUN_STATE_FAILED);
    assert.match(
      run.error?.message ?? "",
      /the data-stream service ended 5 times in a row while it worked for this run/,
    );
    const good = await world.train(world.spec({ outputDir: world.outputDir("good") }));
    assert.equal(good.run.state, RunState.RUN_STATE_COMPLETED, good.run.error?.message);
  });

  it("of the tokenizer delays the preparation", async () => {
    await using world = await World.start({ ownServices: true });
    await world.trainer();
    const { tokenizer } = world.services;
    const { address } = tokenizer;
    await tokenizer[Symbol.asyncDispose]();
    const runId = await world.submit(world.spec());
    await world.watch(runId, ({ run }) => run.preparing === "loading the tokenizer");
    await tokenizer.listen(address);
    const { run } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
  });

  it("of the checkpoint store delays checkpoints and result", async () => {
    await using world = await World.start({ ownServices: true });
    const trainer = await world.trainer();
    const gate = new Gate();
    trainer.alter = async (answer, { step }) => {
      if (step === 2) await gate.pass();
      return answer;
    };
    const runId = await world.submit(world.spec({}, { saveEvery: 1 }));
    await gate.reached;
    const { store } = world.services;
    await kill(store);
    gate.letGo();
    await world.watch(runId, ({ steps }) => steps.length >= 2);
    world.services.store = await startService("checkpoint-store", { GRADPOOL_LISTEN: store.address });
    const { run, checkpoints } = await world.watch(runId);
    assert.equal(run.state, RunState.RUN_STATE_COMPLETED, run.error?.message);
    assert.deepEqual(
      checkpoints.filter(({ removed }) => !removed).map(({ step }) => step),
      [1, 2, 3, 4],
    );
    assert.ok(world.has("output/adapter_model.safetensors"));
  });

  it("is waited for no longer than a run lives", async () => {
    await using world = await World.start({ ownServices: true });
    await kill(world.services.dataStream);
    const runId = await world.submit(world.spec());
    await world.watch(runId, ({ run }) => run.preparing === "reading the data set");
    const { run } = await world.runs.cancelRun({ requestId: "cancel", runId });
    assert.equal(run?.state, RunState.RUN_STATE_CANCELLED);
  });
});

describe("a data set that changes", { timeout: 240_000 }, () => {
  it("fails its run, which says so", async () => {
    await using world = await World.start({ ownServices: true });
    await world.trainer();
    const spec = world.spec({}, LONG);
    const runId = await world.submit(spec);
    await interruptData(world, () => appendFileSync(spec.dataset[0] ?? "", '{"content": "one more row"}\n'));
    const { run } = await world.watch(runId);
    assert.deepEqual([run.state, run.error?.code], [RunState.RUN_STATE_FAILED, "failed_precondition"]);
    assert.match(run.error?.message ?? "", /data set/);
  });
});
