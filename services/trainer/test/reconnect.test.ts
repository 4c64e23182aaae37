/** What happens when the coordinator disconnects, and when the trainer does. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TestGateway } from "./gateway.js";
import { adapterFile, startTrainer, taskOf } from "./helpers.js";

const TIMEOUT_MS = 120_000;
const longTask = (taskId: string) => taskOf(taskId, { rows: 8, rowLength: 256 });

describe("a trainer whose coordinator disconnects", { timeout: TIMEOUT_MS }, () => {
  it("says hello again under the same name, and forgets tasks and adapters", async () => {
    const first = await TestGateway.start({ heartbeatMs: 20 });
    const { address } = first;
    first.adapters.set("run/0", adapterFile(8, 1));
    await using trainer = await startTrainer(address, { trainerId: "steady" });
    await first.until(() => first.room === 2);
    first.sendTask(taskOf("done"));
    await first.resultOf("done");
    first.sendTask(longTask("computing"));
    await first.until(() => first.heartbeats.some(({ taskId }) => taskId === "computing"));
    first.sendTask(taskOf("waiting"));
    await first[Symbol.asyncDispose]();

    await using second = await TestGateway.start({ listen: address, heartbeatMs: 20 });
    second.adapters.set("run/0", adapterFile(8, 2));
    await second.until(() => second.room === 2);
    assert.equal(second.hellos[0]?.trainerId, "steady");
    second.sendTask(taskOf("again"));
    const { gradients } = await second.resultOf("again");
    assert.deepEqual(second.fetched, ["run/0"]);
    assert.deepEqual(
      [...first.results, ...second.results].map(({ header }) => header.taskId),
      ["done", "again"],
    );
    assert.notDeepEqual(gradients, first.results[0]?.gradients);
    assert.ok(trainer.address);
  });

  it("waits for a coordinator that starts later", async () => {
    const gone = await TestGateway.start();
    const { address } = gone;
    await gone[Symbol.asyncDispose]();
    await using trainer = await startTrainer(address);
    await using gateway = await TestGateway.start({ listen: address });
    await gateway.until(() => gateway.room === 2);
    assert.ok(trainer.address);
  });

  it("reconnects when only the conversation ended", async () => {
    await using gateway = await TestGateway.start();
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    gateway.hangUp();
    await gateway.until(() => gateway.hellos.length === 2 && gateway.room === 2);
    assert.ok(trainer.address);
  });
});

describe("a trainer that is asked to stop", { timeout: TIMEOUT_MS }, () => {
  it("finishes the current micro-batch, returns the waiting one, and says goodbye", async () => {
    await using gateway = await TestGateway.start({ heartbeatMs: 20 });
    gateway.adapters.set("run/0", adapterFile(8, 1));
    const trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    gateway.sendTask(longTask("computing"));
    gateway.sendTask(taskOf("waiting"));
    await gateway.until(() => gateway.heartbeats.some(({ taskId }) => taskId === "computing"));
    await trainer[Symbol.asyncDispose]();
    await gateway.until(() => gateway.goodbyes === 1);
    assert.deepEqual(
      gateway.results.map(({ header }) => header.taskId),
      ["computing"],
    );
    assert.deepEqual(
      gateway.failures.map(({ taskId, code, permanent }) => [taskId, code, permanent]),
      [["waiting", "cancelled", false]],
    );
  });

  it("stops at once while the coordinator is unavailable", async () => {
    const gone = await TestGateway.start();
    const { address } = gone;
    await gone[Symbol.asyncDispose]();
    const trainer = await startTrainer(address);
    await trainer[Symbol.asyncDispose]();
    // Its place is free again.
    await using gateway = await TestGateway.start({ listen: address });
    assert.equal(gateway.hellos.length, 0);
  });
});
