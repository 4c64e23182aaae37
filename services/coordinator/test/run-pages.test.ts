/** The list of runs, and the replay of those that have ended, in pages. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { defaultRecipe, NEW_START } from "@gradpool/recipe";
import { ListRunsRequest, ListRunsResponse, RunState, RunView, type Run, type RunSpec } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { EventBook } from "../src/events/event-book.js";
import { pageOf } from "../src/record/run-pages.js";
import { RunRecord } from "../src/record/run-record.js";
import { RunRegistry } from "../src/record/run-registry.js";
import type { Change } from "../src/store/run-store.js";
import { SqliteRunStore } from "../src/store/sqlite-run-store.js";
import { failure, runNamed } from "./support.js";

const MESSAGE_BYTES = 4 << 20;

const specOf = (dataset: string[]): RunSpec => ({
  ...{ modelId: "/m", dataset, outputDir: "/out", ...NEW_START, recipe: defaultRecipe() },
});

/** Submitted one second after another. */
const recordsOf = (count: number, changes: (i: number) => Partial<Run> = () => ({})): RunRecord[] =>
  Array.from(
    { length: count },
    (_, i) => new RunRecord(runNamed(`run-${i}`, { submittedAt: new Date(1000 * i), ...changes(i) })),
  );

const request = (changes: Partial<ListRunsRequest> = {}) => ({ ...ListRunsRequest.create(), ...changes });

/** All pages from the newest run on, each of which fits into a message. */
function pagesOf(records: readonly RunRecord[], changes: Partial<ListRunsRequest>): string[][] {
  const pages: string[][] = [];
  for (let pageToken = ""; ;) {
    const page = pageOf(records, request({ ...changes, pageToken }));
    assert.ok(ListRunsResponse.encode(page).finish().byteLength < MESSAGE_BYTES);
    pages.push(page.runs.map(({ runId }) => runId));
    if (page.nextPageToken === "") return pages;
    pageToken = page.nextPageToken;
  }
}

const idsOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `run-${count - 1 - i}`);

describe("the list of runs", () => {
  it("has pages, newest run first, each run once", () => {
    const records = recordsOf(250);
    assert.deepEqual(
      pagesOf(records, {}).map(({ length }) => length),
      [100, 100, 50],
    );
    assert.deepEqual(pagesOf(records, { pageSize: 60 }).flat(), idsOf(250));
    assert.deepEqual(pagesOf(records, { pageSize: 5_000 }), [idsOf(250)]);
    assert.deepEqual(pagesOf([], {}), [[]]);
    assert.equal(pagesOf(recordsOf(100), {}).length, 1);
  });

  it("continues where it was, whatever was submitted and deleted in between", () => {
    const records = recordsOf(10);
    const { nextPageToken: pageToken } = pageOf(records, request({ pageSize: 3 }));
    const rest = (left: readonly RunRecord[]) => pageOf(left, request({ pageToken })).runs.map(({ runId }) => runId);
    const expected = idsOf(7);
    assert.deepEqual(rest(records), expected);
    assert.deepEqual(rest([...records.slice(0, 7), ...recordsOf(30).slice(10)]), expected);
    // The next run itself is gone.
    assert.deepEqual(rest([...records.slice(0, 6), ...records.slice(7)]), expected.slice(1));
  });

  it("has only runs in the states that are asked for", () => {
    const records = recordsOf(9, (i) => ({ state: i % 3 ? RunState.RUN_STATE_FAILED : RunState.RUN_STATE_RUNNING }));
    assert.deepEqual(pagesOf(records, { states: [RunState.RUN_STATE_RUNNING], pageSize: 2 }), [
      ["run-6", "run-3"],
      ["run-0"],
    ]);
  });

  it("has only runs with the name and the tags that are asked for, page by page", () => {
    const records = recordsOf(30, (i) => ({
      spec: { ...specOf(["/d"]), runName: i % 2 ? `Nightly ${i}` : "", tags: i % 3 ? ["a"] : ["a", "b"] },
    }));
    const named = (changes: Partial<ListRunsRequest>) => pagesOf(records, { pageSize: 4, ...changes });
    assert.deepEqual(named({ runName: "nightly", tags: ["b", "a"] }), [
      ["run-27", "run-21", "run-15", "run-9"],
      ["run-3"],
    ]);
    assert.deepEqual(named({ runName: "TLY 29" }), [["run-29"]]);
    assert.deepEqual(named({ runName: "tly 29", tags: ["b"] }), [[]]);
    assert.deepEqual(named({ tags: ["A"] }), [[]]);
    assert.deepEqual(named({ tags: ["a"] }).flat(), idsOf(30));
    const [run] = pageOf(records, request({ view: RunView.RUN_VIEW_BASIC, runName: "29" })).runs;
    assert.deepEqual([run?.spec?.runName, run?.spec?.tags], ["Nightly 29", ["a"]]);
    for (const filter of [{ runName: "x".repeat(129) }, { tags: Array.from({ length: 21 }, String) }]) {
      assert.throws(
        () => pageOf(records, request(filter)),
        failure("invalid_argument", /fits no run: a name has at most/),
      );
    }
  });

  it("refuses what is not a page", () => {
    const records = recordsOf(3);
    for (const pageToken of ["x", "run-1", Buffer.from("run-1").toString("base64url")]) {
      assert.throws(
        () => pageOf(records, request({ pageToken })),
        failure("invalid_argument", /page_token is not one/),
      );
    }
    for (const pageSize of [-1, NaN, 1.5]) {
      assert.throws(() => pageOf(records, request({ pageSize })), failure("invalid_argument", /page_size/));
    }
  });

  it("fits into messages: specs of 1 MB, and 350 runs with 200 files each, in either view", () => {
    const large = recordsOf(5, () => ({ spec: specOf(["x".repeat(1_000_000)]) }));
    const many = recordsOf(350, () => ({
      spec: specOf(Array.from({ length: 200 }, (_, i) => `/data/train-${i}-of-00200.parquet`)),
    }));
    for (const records of [large, many]) {
      for (const view of [RunView.RUN_VIEW_BASIC, RunView.RUN_VIEW_FULL]) {
        assert.deepEqual(pagesOf(records, { view, pageSize: 1_000 }).flat(), idsOf(records.length));
      }
    }
    const [run] = pageOf(many, request({ view: RunView.RUN_VIEW_BASIC })).runs;
    assert.deepEqual(run?.spec, { ...specOf(["/data/train-0-of-00200.parquet"]), recipe: undefined });
    assert.equal(pageOf(many, request()).runs[0]?.spec?.dataset.length, 200);
  });
});

/** A store in a file, and the registry of the runs in it. */
async function opened(t: TestContext, changes: readonly Change[]) {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-run-pages-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const log = createLogger("run-pages", { GRADPOOL_LOG_LEVEL: "silent" });
  const path = join(folder, "runs.sqlite");
  {
    await using store = await SqliteRunStore.open(path, log);
    await store.commit(changes);
  }
  const store = await SqliteRunStore.open(path, log);
  t.after(() => store[Symbol.asyncDispose]());
  const reads: number[] = [];
  const counted = {
    recorded: store.recorded,
    commit: (more: readonly Change[]) => store.commit(more),
    history: (runId: string) => store.history(runId),
    runLog: (...which: Parameters<SqliteRunStore["runLog"]>) => store.runLog(...which),
    historyPage: (...which: Parameters<SqliteRunStore["historyPage"]>) => {
      reads.push(which[1]);
      return store.historyPage(...which);
    },
  };
  return { registry: await RunRegistry.load(counted, new EventBook(store.recorded.events, false)), reads };
}

describe("a run that has ended", () => {
  const STEPS = 1_234;
  const ended: Change[] = [
    { type: "run", run: runNamed("a", { state: RunState.RUN_STATE_COMPLETED, step: STEPS }) },
    ...Array.from({ length: STEPS }, (_, i) => ({
      type: "step" as const,
      runId: "a",
      step: { step: i + 1, epoch: 0, loss: 1, gradNorm: 1, learningRate: 1, tokens: 1, seconds: 1 },
    })),
  ];

  it("is replayed page by page, as its watcher reads", async (t) => {
    const { registry, reads } = await opened(t, ended);
    const { signal } = new AbortController();
    const seen: number[] = [];
    for await (const { update } of registry.watch("a", 1_000, signal)) {
      if (update?.$case === "step") seen.push(update.value.step);
    }
    assert.deepEqual(
      seen,
      Array.from({ length: STEPS - 1_000 }, (_, i) => 1_001 + i),
    );
    assert.equal(reads.length, 3);
    reads.length = 0;
    // Of watchers that read no further, no more than the next page is in memory.
    const watchers = Array.from({ length: 20 }, () => registry.watch("a", 0, signal));
    for (const watcher of watchers) for (let i = 0; i < 2; i++) assert.ok(!(await watcher.next()).done);
    assert.deepEqual(
      reads,
      watchers.map(() => 0),
    );
    await Promise.all(watchers.map((watcher) => watcher.return(undefined)));
  });

  it("is not read for watchers that have left", async (t) => {
    const { registry, reads } = await opened(t, ended);
    const controller = new AbortController();
    const watchers = Array.from({ length: 500 }, () => registry.watch("a", 0, controller.signal));
    const first = await Promise.all(watchers.map((watcher) => watcher.next()));
    assert.ok(first.every(({ value }) => (value as { update?: { $case: string } }).update?.$case === "run"));
    const second = watchers.map((watcher) => watcher.next());
    controller.abort();
    const results = await Promise.allSettled(second);
    assert.ok(results.every(({ status }) => status === "rejected"));
    assert.ok(reads.length <= 1, `${reads.length} reads`);
  });

  it("does not come from a spec that is too large for a message", async (t) => {
    const { registry } = await opened(t, []);
    const spec = specOf(Array.from({ length: 4_000 }, (_, i) => `/data/${"long/".repeat(120)}train-${i}.parquet`));
    const expected = failure(
      "invalid_argument",
      /the spec has 2\.\d+ MB, and 2\.1 MB at most .*; name folders or patterns/,
    );
    assert.throws(() => registry.newRun(spec, ""), expected);
  });
});

describe("a run that another coordinator has taken over", () => {
  it("does not end for its watchers without the steps that were made there", async (t) => {
    const step = { step: 1, epoch: 0, loss: 1, gradNorm: 1, learningRate: 1, tokens: 1, seconds: 1 };
    const { registry } = await opened(t, [
      { type: "run", run: runNamed("a", { state: RunState.RUN_STATE_RUNNING, step: 1 }) },
      { type: "step", runId: "a", step },
    ]);
    const watcher = registry.watch("a", 0, new AbortController().signal);
    const first = [await watcher.next(), await watcher.next()].map(({ value }) => value?.update?.$case);
    assert.deepEqual(first, ["run", "step"]);
    registry.learn(runNamed("a", { state: RunState.RUN_STATE_COMPLETED, step: 9 }));
    await assert.rejects(watcher.next(), /run a is changing hands; try again/);
    assert.equal(registry.get("a").history, undefined, "the store has all of its steps");
  });
});
