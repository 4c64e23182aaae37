/** Who has which runs: members of a simulated database. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RunState, type Run } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { MAX_RUNS } from "../src/core/runs.js";
import type { Clock } from "../src/driver/ports.js";
import { EventBook } from "../src/events/event-book.js";
import { Members } from "../src/members/members.js";
import { RunRegistry } from "../src/record/run-registry.js";
import { Agenda } from "./agenda.js";
import { DatabaseLink, membersTable } from "./shared-store.js";
import { specNamed } from "./simulated-clients.js";
import { SimulatedDatabase } from "./simulated-database.js";
import { SimulatedStore } from "./simulated-store.js";

const log = createLogger("coordinator", { GRADPOOL_LOG_LEVEL: "silent" });
const LEASE_MS = 5_000;

describe("members", () => {
  it("give runs that they have not begun to one that joins and has room, until each has its share", async () => {
    const world = new World();
    const first = await world.join("a:7000", { begun: MAX_RUNS });
    await world.submit(first, 45);
    const second = await world.join("b:7000");
    await world.passes(LEASE_MS);
    assert.deepEqual([world.runsOf(first).length, world.runsOf(second).length], [32, 13]);
    // It has begun as many as its share and more: it keeps them.
    await world.passes(10 * LEASE_MS);
    assert.deepEqual([world.runsOf(first).length, world.runsOf(second).length], [32, 13]);
    assert.deepEqual(world.takeovers, { lost: 0, givenUp: 13 });
  });

  it("keep runs that wait while no other has room", async () => {
    const world = new World();
    const [first, second] = [await world.join("a:7000"), await world.join("b:7000")];
    await world.submit(first, 60);
    await world.submit(second, MAX_RUNS);
    await world.passes(10 * LEASE_MS);
    assert.deepEqual([world.runsOf(first).length, world.runsOf(second).length], [60, MAX_RUNS]);
  });

  it("share the runs of one that is lost evenly", async () => {
    const world = new World();
    const [first, second] = [await world.join("a:7000", { begun: 50 }), await world.join("b:7000")];
    const third = await world.join("c:7000");
    await world.submit(first, 30);
    await world.submit(third, 30);
    third.dies();
    await world.passes(3 * LEASE_MS);
    assert.deepEqual([world.runsOf(first).length, world.runsOf(second).length], [30, 30]);
  });
});

interface Joined {
  members: Members;
  dies: () => void;
}

/** Coordinators that do nothing with the runs that they have. */
class World {
  readonly #agenda = new Agenda();
  readonly #database = new SimulatedDatabase(this.#agenda);
  #runs = 0;

  get takeovers(): SimulatedDatabase["takeovers"] {
    return this.#database.takeovers;
  }

  runsOf({ members }: Joined): string[] {
    return this.#database.owners().flatMap(({ runId, owner }) => (owner === members.id ? [runId] : []));
  }

  /** `begun`: of the runs that it has, the oldest, which it keeps. */
  async join(address: string, { begun = 0 } = {}): Promise<Joined> {
    const agenda = this.#agenda;
    let isDead = false;
    const after = (ms: number) =>
      new Promise<void>((done) => {
        agenda.in(ms, () => {
          if (!isDead) done();
        });
      });
    const clock: Clock = { nowMs: () => agenda.nowMs, sleep: (ms) => after(ms) };
    const calm = { latencyMs: () => 1, diskMs: () => 1, isCut: () => false, crashes: () => false };
    const link = new DatabaseLink({ database: this.#database, after, nowMs: clock.nowMs, ...calm });
    const joined = Members.join({ table: membersTable(link), leaseMs: LEASE_MS, clock, log });
    await this.passes(10);
    const members = await joined;
    const all: Joined = { members, dies: () => (isDead = true) };
    const given = new Set<string>();
    void members.start({
      onTaken: () => Promise.resolve(),
      onShared: (count) => {
        const waiting = this.runsOf(all).slice(begun);
        const runIds = waiting.filter((runId) => !given.has(runId)).slice(0, count);
        for (const runId of runIds) given.add(runId);
        return Promise.resolve(runIds);
      },
      onMembers: () => {},
      onLost: (error) => assert.fail(error),
    });
    void members.reachableAt(address);
    await this.passes(100);
    return all;
  }

  async submit({ members }: Joined, count: number): Promise<void> {
    const store = new SimulatedStore(() => false);
    const newRunId = () => `run-${++this.#runs}`;
    const registry = await RunRegistry.load(store, new EventBook(store.recorded.events, false), { newRunId });
    for (let i = 0; i < count; i++) {
      const run: Run = { ...registry.newRun(specNamed(`run-${this.#runs}`), ""), state: RunState.RUN_STATE_RUNNING };
      this.#database.commit(members.id, [{ type: "run", run }]);
    }
  }

  async passes(ms: number): Promise<void> {
    const endMs = this.#agenda.nowMs + ms;
    let isOver = false;
    this.#agenda.in(ms, () => (isOver = true));
    while (!isOver && this.#agenda.nowMs <= endMs) await this.#agenda.next();
  }
}
