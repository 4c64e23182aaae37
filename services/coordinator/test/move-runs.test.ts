/** Moving a pool's runs from SQLite to PostgreSQL: all of them or none, and the same to a coordinator. */
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { postgresPrograms, PostgresServer } from "@gradpool/integration-tests";
import { LogLevel, RunSpec, RunState } from "@gradpool/rpc";
import { createLogger } from "@gradpool/service-kit";
import { parsePostgresUrl } from "../src/store/postgres/address.js";
import { Database } from "../src/store/postgres/database.js";
import { moveRuns, type Progress } from "../src/store/postgres/move-runs.js";
import type { Change, RunStore } from "../src/store/run-store.js";
import { SqliteDatabase } from "../src/store/sqlite-database.js";
import { openRunStore } from "./open-run-store.js";
import { failure, runNamed } from "./support.js";

const LOG = createLogger("move-runs", { GRADPOOL_LOG_LEVEL: "silent" });
const RUNS = Array.from({ length: 5 }, (_, i) => `run-${i}`);
const { skip } = await postgresPrograms();

/** A file as coordinators left it; its path. */
async function filledFile(t: TestContext): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-move-runs-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "runs.sqlite");
  await using store = await openRunStore(path, LOG);
  for (const [i, runId] of RUNS.entries()) {
    const state = i % 2 === 0 ? RunState.RUN_STATE_COMPLETED : RunState.RUN_STATE_PAUSED;
    await store.commit([
      { type: "run", run: runNamed(runId, { state, spec: RunSpec.fromPartial({ outputDir: `/out/${i}` }) }) },
      { type: "request", requestId: `request ${i}`, content: "c", subject: runId },
      { type: "drained", trainerId: `t${i}`, draining: true },
    ]);
    const made = Array.from({ length: 50 }, (_, at): Change[] => {
      const step = at + 1;
      const numbers = { epoch: 0, loss: 1 / step, gradNorm: 1, learningRate: 1, tokens: 1, seconds: 1 };
      const payload = { $case: "runStep", value: { step, ...numbers } } as const;
      const about = { time: new Date(step), runId, runName: "", trainerId: "", traceparent: "" };
      return [
        { type: "step", runId, step: { step, ...numbers } },
        { type: "event", event: { runSequence: step, ...about, payload } },
        { type: "reported", runId, reported: { events: step, step, evaluation: 0, checkpoint: 0 } },
        { type: "log", runId, entry: { time: new Date(1), level: LogLevel.LOG_LEVEL_INFO, message: `step ${step}` } },
      ];
    });
    await store.commit(made.flat());
  }
  await store.commit([
    { type: "forget-events", through: 20 },
    { type: "published", position: 30, stream: "then" },
  ]);
  return path;
}

/** All that a coordinator reads. */
async function contentOf(store: RunStore): Promise<unknown> {
  const { life: _, ...recorded } = store.recorded;
  const runs = await Promise.all(
    RUNS.map(async (runId) => [await store.history(runId), await store.runLog(runId, 0, 99)]),
  );
  return [{ ...recorded, drained: recorded.drained.sort() }, runs, await store.events(0, 1_000)];
}

describe("moving runs to PostgreSQL", { skip, timeout: 120_000 }, () => {
  const started = skip ? undefined : PostgresServer.start();
  after(async () => (await started)?.[Symbol.asyncDispose]());

  async function emptyDatabase(): Promise<string> {
    const server = await started;
    assert.ok(server);
    return server.emptyDatabase();
  }

  async function move(path: string, url: string, stopAfter?: Progress["doing"]): Promise<Progress[]> {
    const seen: Progress[] = [];
    const source = new SqliteDatabase(path, { readOnly: true });
    try {
      await using target = new Database(parsePostgresUrl(url, {}), { log: LOG });
      await moveRuns(source, target, { patienceMs: 5_000 }, (progress) => {
        seen.push(progress);
        if (progress.doing === stopAfter) throw new Error("interrupted");
      });
    } finally {
      source.close();
    }
    return seen;
  }

  it("moves all that a coordinator reads, and begins again where it was interrupted", async (t) => {
    const path = await filledFile(t);
    const url = await emptyDatabase();
    const before = readFileSync(path);
    for (const doing of ["looking", "copying", "comparing"] as const) {
      await assert.rejects(move(path, url, doing), /interrupted/);
    }
    const seen = await move(path, url);
    assert.deepEqual([...new Set(seen.map(({ doing }) => doing))], ["looking", "copying", "comparing"]);
    const last = seen.at(-1);
    assert.ok(last && last.rows === last.of && last.of > 700);
    assert.ok(readFileSync(path).equals(before), "the file was changed");
    // Its end was not heard of: it is repeated, and finds all there.
    assert.ok((await move(path, url)).every(({ doing }) => doing !== "copying"));
    await using sqlite = await openRunStore(path, LOG);
    const content = await contentOf(sqlite);
    await using postgres = await openRunStore(url, LOG);
    assert.deepEqual(await contentOf(postgres), content);
    assert.equal(postgres.recorded.life, sqlite.recorded.life);
    for await (const { problems } of postgres.check()) assert.deepEqual(problems, []);
    // What comes next comes after it.
    await postgres.commit([{ type: "run", run: runNamed("next") }]);
    await postgres.commit([{ type: "request", requestId: "next", content: "c", subject: "next" }]);
    await assert.rejects(move(path, url), failure("failed_precondition", /is in use by a coordinator/));
  });

  it("is refused into a database with runs, and from a damaged file", async (t) => {
    const path = await filledFile(t);
    const url = await emptyDatabase();
    const other = await openRunStore(url, LOG);
    await other.commit([{ type: "run", run: runNamed("another") }]);
    await other[Symbol.asyncDispose]();
    await assert.rejects(move(path, url), failure("failed_precondition", /is not empty: it has runs/));
    const bytes = readFileSync(path);
    const damaged = `${path}.damaged`;
    copyFileSync(path, damaged);
    const at = bytes.indexOf("a note");
    bytes.writeUInt8(0x62, at);
    writeFileSync(damaged, bytes);
    await assert.rejects(
      move(damaged, await emptyDatabase()),
      failure("data_loss", /is damaged \(the record of run run-/),
    );
  });
});
