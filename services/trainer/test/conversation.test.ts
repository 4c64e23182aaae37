/** The conversation with the coordinator, over gRPC, with the real runtime and a real model. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readSafetensors } from "@gradpool/safetensors";
import { TestGateway } from "./gateway.js";
import { adapterFile, base, startTrainer, taskOf } from "./helpers.js";

const TIMEOUT_MS = 120_000;

/** A task that takes long compared with a heartbeat of 20 ms. */
const longTask = (taskId: string, changes = {}) => taskOf(taskId, { rows: 8, rowLength: 256, ...changes });
const isComputing = (gateway: TestGateway, taskId: string) => gateway.heartbeats.some((beat) => beat.taskId === taskId);

describe("a trainer's conversation", { timeout: TIMEOUT_MS }, () => {
  it("says hello, pulls two tasks, and answers each in order", async () => {
    await using gateway = await TestGateway.start();
    gateway.adapters.set("run/0", adapterFile(8, 1));
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    const [hello] = gateway.hellos;
    assert.ok(hello && trainer.address);
    assert.deepEqual([hello.trainerId, hello.device, hello.pid, hello.threads], ["trainer-1", "cpu", process.pid, 1]);
    assert.match(hello.deviceClass, new RegExp(`^cpu-${process.arch}-.`));
    assert.match(hello.version, /^gradpool \d+\.\d+\.\d+, onnxruntime \d+\.\d+\.\d+$/);
    assert.ok(hello.memoryBytes > 2 ** 28 && hello.host !== "");

    for (let i = 0; i < 6; i++) {
      await gateway.until(() => gateway.room > 0);
      gateway.sendTask(taskOf(`task-${i}`, { step: 3, microBatch: i }));
    }
    await gateway.until(() => gateway.results.length === 6 && gateway.room === 2);
    assert.deepEqual(
      gateway.results.map(({ header }) => header.taskId),
      Array.from({ length: 6 }, (_, i) => `task-${i}`),
    );
    for (const [i, { header, gradients }] of gateway.results.entries()) {
      const { trainerId, runId, step, microBatch, targetTokens, computeMs, waitMs, gradientBytes } = header;
      assert.deepEqual([trainerId, runId, step, microBatch, targetTokens], ["trainer-1", "run", 3, i, 15 + 14]);
      assert.ok(computeMs > 0 && waitMs >= 0);
      assert.equal(gradientBytes, gradients.byteLength);
      assert.equal(readSafetensors(gradients).tensors.size, 2 * base.targetModules.length);
    }
    assert.equal(gateway.failures.length, 0);
  });

  it("fetches each adapter version once, keeps the newest two, and none of an ended run", async () => {
    await using gateway = await TestGateway.start();
    for (const name of ["run/0", "run/1", "run/2", "other/0"]) gateway.adapters.set(name, adapterFile(8, 1));
    await using trainer = await startTrainer(gateway.address);
    const fetchedBy = async (runId: string, adapterVersion: number) => {
      await gateway.until(() => gateway.room > 0);
      const before = gateway.fetched.length;
      const taskId = `${gateway.results.length}`;
      gateway.sendTask(taskOf(taskId, { runId, adapterVersion }));
      await gateway.resultOf(taskId);
      return gateway.fetched.slice(before);
    };
    assert.deepEqual(await fetchedBy("run", 0), ["run/0"]);
    assert.deepEqual(await fetchedBy("run", 0), []);
    assert.deepEqual(await fetchedBy("run", 1), ["run/1"]);
    assert.deepEqual(await fetchedBy("other", 0), ["other/0"]);
    assert.deepEqual(await fetchedBy("run", 0), []);
    assert.deepEqual(await fetchedBy("run", 2), ["run/2"]);
    assert.deepEqual(await fetchedBy("run", 1), ["run/1"]);
    gateway.send({ $case: "endRun", value: { runId: "run" } });
    assert.deepEqual(await fetchedBy("run", 1), ["run/1"]);
    assert.deepEqual(await fetchedBy("other", 0), []);
    assert.ok(trainer.address);
  });

  it("sends heartbeats while it computes (I10)", async () => {
    await using gateway = await TestGateway.start({ heartbeatMs: 20 });
    gateway.adapters.set("run/0", adapterFile(8, 1));
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    gateway.sendTask(longTask("long"));
    await gateway.resultOf("long");
    const beats = gateway.heartbeats.filter(({ taskId }) => taskId === "long");
    assert.ok(beats.length > 3, `${beats.length} heartbeats`);
    for (const { residentBytes } of beats) assert.ok(residentBytes > 2 ** 24);
    await gateway.until(() => gateway.heartbeats.at(-1)?.taskId === "");
    assert.ok(trainer.address);
  });

  it("drops a cancelled task that is waiting, and the result of one being computed", async () => {
    await using gateway = await TestGateway.start({ heartbeatMs: 20 });
    gateway.adapters.set("run/0", adapterFile(8, 1));
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    gateway.sendTask(longTask("computing"));
    gateway.sendTask(taskOf("waiting"));
    await gateway.until(() => isComputing(gateway, "computing"));
    gateway.send({ $case: "cancel", value: { taskId: "waiting" } });
    await gateway.until(() => gateway.room === 1);
    gateway.send({ $case: "cancel", value: { taskId: "computing" } });
    gateway.send({ $case: "cancel", value: { taskId: "unknown" } });
    gateway.sendTask(taskOf("last"));
    await gateway.resultOf("last");
    await gateway.until(() => gateway.room === 2);
    assert.deepEqual(
      gateway.results.map(({ header }) => header.taskId),
      ["last"],
    );
    assert.ok(trainer.address && gateway.failures.length === 0);
  });

  it("drops the tasks of a run that ended", async () => {
    await using gateway = await TestGateway.start({ heartbeatMs: 20 });
    for (const name of ["run/0", "other/0"]) gateway.adapters.set(name, adapterFile(8, 1));
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    gateway.sendTask(longTask("computing"));
    gateway.sendTask(taskOf("waiting"));
    await gateway.until(() => isComputing(gateway, "computing"));
    gateway.send({ $case: "endRun", value: { runId: "run" } });
    await gateway.until(() => gateway.room === 1);
    gateway.sendTask(taskOf("other", { runId: "other" }));
    await gateway.resultOf("other");
    assert.ok(trainer.address && gateway.results.length === 1 && gateway.failures.length === 0);
  });

  it("keeps computing and fetching while a result is pushed, one at a time, and continues when it was not accepted", async () => {
    await using gateway = await TestGateway.start();
    for (const name of ["run/0", "run/1"]) gateway.adapters.set(name, adapterFile(8, 1));
    gateway.accepts = false;
    let letGo = () => {};
    const held = new Promise<void>((resolve) => (letGo = resolve));
    gateway.beforeAccept = ({ taskId }) => (taskId === "a" ? held : Promise.resolve());
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    gateway.sendTask(taskOf("a"));
    gateway.sendTask(taskOf("b"));
    // The push of a is held: b is computed all the same, and c takes a's place, with its adapter.
    await gateway.until(() => gateway.room === 1);
    gateway.sendTask(taskOf("c", { adapterVersion: 1 }));
    await gateway.until(() => gateway.fetched.includes("run/1"));
    assert.equal(gateway.results.length, 0);
    letGo();
    await gateway.until(() => gateway.results.length === 3 && gateway.room === 2);
    assert.ok(trainer.address && gateway.failures.length === 0);
  });

  it("refuses a third task instead of queueing it", async () => {
    await using gateway = await TestGateway.start({ heartbeatMs: 20 });
    gateway.adapters.set("run/0", adapterFile(8, 1));
    await using trainer = await startTrainer(gateway.address);
    await gateway.until(() => gateway.room === 2);
    for (const taskId of ["a", "b", "c"]) gateway.sendTask(longTask(taskId));
    await gateway.until(() => gateway.failures.length === 1);
    const [failure] = gateway.failures;
    assert.deepEqual([failure?.taskId, failure?.code, failure?.permanent], ["c", "resource_exhausted", false]);
    await gateway.until(() => gateway.results.length === 2);
    assert.ok(trainer.address);
  });
});
