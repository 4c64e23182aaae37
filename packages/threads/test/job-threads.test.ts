import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { describe, it } from "node:test";
import { JobThreads, type Bounds, type JobOptions } from "../src/index.js";
import type { Ask } from "./job-fixture.js";

const MODULE = new URL("./job-fixture.js", import.meta.url);
const BOUNDS: Bounds = { heapMb: 64, stuckMs: 400 };

async function withThreads(use: (threads: JobThreads) => Promise<void>, bounds = BOUNDS): Promise<void> {
  await using threads = new JobThreads({ module: MODULE, bounds });
  await use(threads);
}

const never = new AbortController().signal;

function start(threads: JobThreads, ask: Ask, options: Partial<JobOptions> = {}): AsyncGenerator<unknown> {
  return threads.run(ask, { signal: never, work: "reading x.jsonl", ...options });
}

async function valuesOf(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const value of values) all.push(value);
  return all;
}

describe("JobThreads", () => {
  it("gives a job's values in order, and asks its owner in the caller's context", () =>
    withThreads(async (threads) => {
      assert.deepEqual(await valuesOf(start(threads, { kind: "count", to: 20 }, { ahead: 3 })), [
        ...Array.from({ length: 20 }).keys(),
      ]);
      const storage = new AsyncLocalStorage<string>();
      const onCall = (question: string) => Promise.resolve(`${question} ${storage.getStore()}`);
      const asked = storage.run("here", () =>
        valuesOf(start(threads, { kind: "ask", question: "where?" }, { onCall })),
      );
      assert.deepEqual(await asked, ["where? here"]);
    }));

  it("ends a job whose loop does not turn, naming what it worked on, while others continue", () =>
    withThreads(async (threads) => {
      const stuck = valuesOf(start(threads, { kind: "spin", on: "reading y.jsonl" }));
      const refused = assert.rejects(stuck, {
        code: "failed_precondition",
        message: "reading y.jsonl took more than 0.4 s at a stretch and was stopped; correct or replace the file",
      });
      assert.equal((await valuesOf(start(threads, { kind: "count", to: 1000 }))).length, 1000);
      await refused;
      assert.equal((await valuesOf(start(threads, { kind: "count", to: 3 }))).length, 3);
    }));

  it("gives the values that came before a stuck stretch", () =>
    withThreads(async (threads) => {
      const values = start(threads, { kind: "spinAfter", values: 2 });
      assert.deepEqual(
        [await values.next(), await values.next()].map(({ value }) => value as number),
        [0, 1],
      );
      await assert.rejects(values.next(), /at a stretch/);
    }));

  it("ends a job that fills its heap, and this process lives on", () =>
    withThreads(
      async (threads) => {
        await assert.rejects(valuesOf(start(threads, { kind: "fill" })), {
          code: "failed_precondition",
          message: "reading x.jsonl took more than 64 MiB of memory and was stopped; correct or replace the file",
        });
        assert.equal((await valuesOf(start(threads, { kind: "count", to: 3 }))).length, 3);
      },
      { ...BOUNDS, stuckMs: 60_000 },
    ));

  it("passes on a job's errors, and a crash as an internal one", () =>
    withThreads(async (threads) => {
      await assert.rejects(valuesOf(start(threads, { kind: "refuse" })), { code: "cancelled" });
      await assert.rejects(valuesOf(start(threads, { kind: "crash" })), /a bug/);
      assert.equal((await valuesOf(start(threads, { kind: "count", to: 3 }))).length, 3);
    }));

  it("ends a cancelled job, within a second also one that does not heed it", () =>
    withThreads(
      async (threads) => {
        for (const ask of [{ kind: "wait" }, { kind: "spinAfter", values: 1 }] as const) {
          const cancel = new AbortController();
          const values = start(threads, ask, { signal: cancel.signal });
          await values.next();
          const next = values.next();
          cancel.abort();
          await assert.rejects(next, { name: "AbortError" });
        }
        assert.equal((await valuesOf(start(threads, { kind: "count", to: 3 }))).length, 3);
      },
      { ...BOUNDS, stuckMs: 60_000 },
    ));

  it("does not watch a thread that waits for its owner", () =>
    withThreads(async (threads) => {
      const values = start(threads, { kind: "count", to: 10 });
      await values.next();
      await new Promise((resolve) => setTimeout(resolve, 3 * BOUNDS.stuckMs));
      assert.equal((await valuesOf(values)).length, 9);
    }));
});
