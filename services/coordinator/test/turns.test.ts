/** Turns that wait for one another's commits: their order, and what is durable when. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Turns } from "../src/driver/turns.js";
import type { Fact } from "../src/facts.js";

/** Records what it is asked to, and says so when the test lets it. */
class SlowRecord {
  /** Of each commit, the facts of its turns. */
  readonly commits: (readonly (readonly Fact[])[])[] = [];
  readonly log: string[] = [];
  readonly turns: Turns;
  #release: (() => void)[] = [];

  constructor() {
    this.turns = new Turns({
      life: 1,
      clock: { nowMs: () => 0, sleep: () => Promise.resolve() },
      record: async (turns) => {
        this.commits.push(turns);
        await new Promise<void>((resolve) => this.#release.push(resolve));
        this.log.push(`recorded ${turns.length}`);
      },
      observe: (facts) => facts.forEach(({ type }) => this.log.push(type)),
      carryOut: () => {},
      onCrash: (error) => assert.fail(String(error)),
    });
  }

  join(trainerId: string) {
    return this.turns.happen({ input: { type: "trainer-joined", trainerId, deviceClass: "cpu" } });
  }

  async settle(work: readonly Promise<unknown>[]): Promise<void> {
    let isDone = false;
    const all = Promise.all(work).finally(() => (isDone = true));
    while (!isDone) {
      this.#release.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
  }
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `t${i}`);

describe("turns that wait", () => {
  it("are recorded together, in their order, before any effect (I4)", async () => {
    const record = new SlowRecord();
    const joined = names(200).map((name) => record.join(name));
    assert.deepEqual(record.commits.length, 1);
    await record.settle(joined);
    // The first found nobody before it; all others came while it was recorded.
    assert.deepEqual(
      record.commits.map((turns) => turns.length),
      [1, 199],
    );
    const seen = record.commits.flat(2).map((fact) => "trainerId" in fact && fact.trainerId);
    assert.deepEqual(seen, names(200));
    assert.equal(record.log.indexOf("recorded 199"), 2);
    assert.deepEqual(
      record.turns.state.trainers.map(({ trainerId }) => trainerId),
      names(200),
    );
  });

  it("are at most 256 to a commit", async () => {
    const record = new SlowRecord();
    await record.settle(names(600).map((name) => record.join(name)));
    assert.deepEqual(
      record.commits.map((turns) => turns.length),
      [1, 256, 256, 87],
    );
  });

  it("see what was done before them, where they look", async () => {
    const record = new SlowRecord();
    let seen: number | undefined;
    const looks = () => {
      seen = record.turns.state.trainers.length;
      return {};
    };
    await record.settle([record.join("a"), record.join("b"), record.turns.happen(looks), record.join("c")]);
    assert.equal(seen, 2);
  });

  it("that change what people see of a run begin a commit", async () => {
    const record = new SlowRecord();
    const submitted = record.turns.happen({ input: { type: "run-submitted", runId: "r" } });
    const paused = record.turns.happen({ input: { type: "run-paused", runId: "r" } });
    await record.settle([submitted, record.join("a"), record.join("b"), paused, record.join("c")]);
    const types = record.commits.map((turns) => turns.map((facts) => facts.at(-1)?.type));
    assert.deepEqual(types, [["run-state"], ["run-state", "trainer-joined", "trainer-joined", "trainer-joined"]]);
  });

  it("fail alone", async () => {
    const record = new SlowRecord();
    const first = record.join("a");
    const failed = record.turns.happen(() => {
      throw new Error("refused");
    });
    const refused = assert.rejects(failed, /refused/);
    await record.settle([first, refused, record.join("b")]);
    assert.equal(record.turns.state.trainers.length, 2);
  });

  it("are released when the coordinator stops", async () => {
    const record = new SlowRecord();
    const waiting = ["a", "b", "c"].map((name) => record.join(name));
    record.turns.stop();
    await record.settle(waiting);
    assert.deepEqual(record.turns.state.trainers, []);
  });
});
