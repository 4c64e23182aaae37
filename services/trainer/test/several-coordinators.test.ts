/** One trainer that works for several coordinators. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { TestGateway, type GatewayOptions } from "./gateway.js";
import { adapterFile, startTrainer, taskOf } from "./helpers.js";

const TIMEOUT_MS = 240_000;
const longTask = (taskId: string, changes = {}) => taskOf(taskId, { rows: 4, rowLength: 256, ...changes });
const idsOf = (gateway: TestGateway) => gateway.results.map(({ header }) => header.taskId);

async function start(coordinatorId: string, options: GatewayOptions = {}): Promise<TestGateway> {
  const gateway = await TestGateway.start({ heartbeatMs: 20, coordinatorId, ...options });
  gateway.adapters.set("run/0", adapterFile(8, 1));
  return gateway;
}

/** Something that is let go later. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

describe("a trainer of two coordinators", { timeout: TIMEOUT_MS }, () => {
  it("serves them in turn, each with its own adapters", async () => {
    await using one = await start("one");
    await using two = await start("two");
    // The same names, another adapter.
    two.adapters.set("run/0", adapterFile(8, 2));
    await using trainer = await startTrainer([one.address, two.address]);
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.room === 2)));
    const order: string[] = [];
    for (const gateway of [one, two]) gateway.beforeAccept = async ({ taskId }) => void order.push(taskId);
    for (const taskId of ["1a", "1b"]) one.sendTask(longTask(taskId));
    await one.until(() => one.heartbeats.at(-1)?.taskId === "1a");
    for (const taskId of ["2a", "2b"]) two.sendTask(longTask(taskId));
    await Promise.all([one.until(() => one.results.length === 2), two.until(() => two.results.length === 2)]);
    assert.deepEqual(order, ["1a", "2a", "1b", "2b"]);
    assert.notDeepEqual(one.results[0]?.gradients, two.results[0]?.gradients);
    assert.deepEqual(one.results[0]?.gradients, one.results[1]?.gradients);
    assert.deepEqual([one.fetched, two.fetched], [["run/0"], ["run/0"]]);
    assert.ok(trainer.address && one.failures.length + two.failures.length === 0);
  });

  it("tells each what it does for the other, and has room for one task of each meanwhile", async () => {
    await using one = await start("one");
    await using two = await start("two", { heartbeatMs: 60_000 });
    await using trainer = await startTrainer([one.address, two.address]);
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.room === 2)));
    one.sendTask(longTask("1a"));
    // Long before its next heartbeat.
    await two.until(() => two.heartbeats.some(({ tasksElsewhere }) => tasksElsewhere === 1));
    two.sendTask(longTask("2a", { longestTurnMs: 1 }));
    await one.resultOf("1a");
    one.sendTask(longTask("1b"));
    await one.until(() => one.heartbeats.some(({ waiting }) => waiting));
    assert.equal(one.room, 0);
    await one.until(() => one.heartbeats.some(({ stuckElsewhere }) => stuckElsewhere));
    await one.resultOf("1b");
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.room === 2)));
    await two.until(() => two.heartbeats.at(-1)?.tasksElsewhere === 0);
    assert.ok(trainer.address && two.results.length === 1);
    assert.ok(two.heartbeats.every(({ taskId, stuckElsewhere }) => taskId !== "1a" && !stuckElsewhere));
  });

  it("computes for one while the other's adapter is on its way, and while the other takes no results", async () => {
    await using one = await start("one");
    await using two = await start("two");
    const [fetching, accepting] = [gate(), gate()];
    one.beforeFetch = () => fetching.opened;
    one.beforeAccept = () => accepting.opened;
    await using trainer = await startTrainer([one.address, two.address]);
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.room === 2)));
    one.sendTask(taskOf("1a"));
    await one.until(() => one.fetched.length === 1);
    const compute = async (taskId: string) => {
      await two.until(() => two.room > 0);
      two.sendTask(taskOf(taskId));
      await two.resultOf(taskId);
    };
    await compute("2a");
    assert.ok(one.heartbeats.every(({ taskId, waiting }) => taskId === "" && !waiting));
    fetching.open();
    for (const taskId of ["1b", "1c"]) {
      await one.until(() => one.room > 0);
      one.sendTask(taskOf(taskId));
    }
    for (const taskId of ["2b", "2c", "2d"]) await compute(taskId);
    assert.deepEqual(idsOf(one), []);
    accepting.open();
    await one.until(() => one.results.length === 3);
    assert.deepEqual(idsOf(one), ["1a", "1b", "1c"]);
    assert.ok(trainer.address);
  });

  it("drops the tasks of one that is lost, and works on for the other", async () => {
    const lost = await start("lost");
    await using kept = await start("kept");
    await using trainer = await startTrainer([lost.address, kept.address]);
    await Promise.all([lost, kept].map((gateway) => gateway.until(() => gateway.room === 2)));
    for (const taskId of ["1a", "1b"]) lost.sendTask(longTask(taskId));
    await lost.until(() => lost.heartbeats.at(-1)?.taskId === "1a");
    kept.sendTask(taskOf("2a"));
    await lost[Symbol.asyncDispose]();
    await kept.resultOf("2a");
    await kept.until(() => kept.room === 2 && kept.heartbeats.at(-1)?.tasksElsewhere === 0);
    assert.deepEqual([idsOf(lost), idsOf(kept), kept.hellos.length], [[], ["2a"], 1]);
    assert.ok(trainer.address);
  });

  it("gives each its waiting task back when it stops, and says goodbye to both", async () => {
    await using one = await start("one");
    await using two = await start("two");
    const trainer = await startTrainer([one.address, two.address]);
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.room === 2)));
    for (const taskId of ["1a", "1b"]) one.sendTask(longTask(taskId));
    await one.until(() => one.heartbeats.at(-1)?.taskId === "1a");
    two.sendTask(taskOf("2a"));
    await two.until(() => two.heartbeats.at(-1)?.waiting === true);
    await trainer[Symbol.asyncDispose]();
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.goodbyes === 1)));
    assert.deepEqual([idsOf(one), idsOf(two)], [["1a"], []]);
    const given = [one, two].map(({ failures }) => failures.map(({ taskId, code }) => `${taskId} ${code}`));
    assert.deepEqual(given, [["1b cancelled"], ["2a cancelled"]]);
  });
});

describe("a trainer of a pool whose coordinators come and go", { timeout: TIMEOUT_MS }, () => {
  it("connects to those that are named, also later, and leaves those that are no longer", async () => {
    await using one = await start("one");
    await using two = await start("two");
    const three = await start("three");
    one.members = [one.address, two.address];
    two.members = one.members;
    await using trainer = await startTrainer(one.address);
    await two.until(() => two.room === 2);
    two.announce([one.address, two.address, three.address]);
    await three.until(() => three.room === 2);
    const { address } = three;
    await three[Symbol.asyncDispose]();
    two.announce([one.address, two.address]);
    two.sendTask(taskOf("2a"));
    await two.resultOf("2a");
    // Another program has its place.
    await using other = await start("other", { listen: address });
    two.announce([one.address, two.address, "nonsense"]);
    await two.until(() => two.room === 2);
    two.sendTask(taskOf("2b"));
    await two.resultOf("2b");
    assert.equal(other.hellos.length, 0);
    assert.deepEqual([one.hellos.length, two.hellos.length], [1, 1]);
    assert.ok(trainer.address);
  });

  it("keeps one conversation with a coordinator that it reaches by two addresses", async () => {
    await using one = await start("one");
    const { port } = new URL(`http://${one.address}`);
    one.members = [`localhost:${port}`];
    await using two = await start("two");
    await using trainer = await startTrainer([one.address, two.address]);
    await one.until(() => one.hellos.length === 2);
    assert.deepEqual(one.hellos[1]?.coordinatorIds.includes("one"), true);
    await Promise.all([one, two].map((gateway) => gateway.until(() => gateway.room === 2)));
    one.sendTask(taskOf("1a"));
    await one.resultOf("1a");
    assert.deepEqual([one.hellos.length, one.open], [2, 1]);
    // Whichever address answers first has it again.
    one.hangUp();
    await one.until(() => one.hellos.length >= 3 && one.open === 1 && one.room === 2);
    one.sendTask(taskOf("1b"));
    await one.resultOf("1b");
    assert.ok(trainer.address);
  });
});
