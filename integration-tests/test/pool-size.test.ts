/** I2 and I3: neither the number of trainers, nor their threads, nor the death of one changes a bit of the result. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fingerprint, Stack, tinyRun, Workspace } from "@gradpool/integration-tests";

test("one, two, three trainers, other threads, in float32 and int8, and one killed half-way: the same bytes", async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(100);
  const heldOut = await workspace.dataset(10);
  await using stack = await Stack.start({ trainers: 1 });
  const train = async (
    name: string,
    onStep?: (step: { step: number }) => Promise<void> | void,
    basePrecision = "float32",
  ) => {
    const spec = tinyRun(dataset, workspace.path(name), { evalEvery: 4, basePrecision });
    await stack.train({ ...spec, evalDataset: [heldOut] }, onStep);
    return fingerprint(workspace.path(name));
  };

  const one = await train("one");
  assert.equal(one.losses.length, 13);
  assert.deepEqual(
    one.evaluations?.map(([step]) => step),
    [4, 8, 12, 13],
  );
  const eightBits = await train("int8", undefined, "int8");
  assert.notEqual(eightBits.adapter, one.adapter);

  await stack.addTrainer(2);
  assert.deepEqual(await train("two"), one);

  await stack.addTrainer();
  assert.deepEqual(await train("three"), one);

  assert.deepEqual(await train("int8, three", undefined, "int8"), eightBits);

  const killed = await train("killed", async ({ step }) => {
    if (step === 6) await stack.killTrainer();
  });
  assert.deepEqual(killed, one);

  const lonely = await train("killed again", async ({ step }) => {
    if (step === 3) await stack.killTrainer();
  });
  assert.deepEqual(lonely, one);
});

test("another seed gives other bytes", async () => {
  await using workspace = await Workspace.create();
  const dataset = await workspace.dataset(20);
  await using stack = await Stack.start({ trainers: 1 });
  const results = [];
  for (const seed of [0, 1]) {
    await stack.train(tinyRun(dataset, workspace.path(`${seed}`), { seed }));
    results.push(await fingerprint(workspace.path(`${seed}`)));
  }
  assert.notEqual(results[0]?.adapter, results[1]?.adapter);
});
