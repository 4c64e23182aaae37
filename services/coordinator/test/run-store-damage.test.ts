/** Damage to the run store's files: each flipped bit is noticed, or changes no answer. */
import assert from "node:assert/strict";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { LogLevel, Run, RunState, type StepMetrics } from "@gradpool/rpc";

import sqlite from "node-sqlite3-wasm";
import { CHECKED_VERSION, MIGRATIONS } from "../src/store/schema.js";
import { SqliteDatabase } from "../src/store/sqlite-database.js";
import { randomOf } from "./simulated-run.js";
import { failure, runNamed } from "./support.js";

const FLIPS = 400;
const RUNS = ["a", "b", "c"].map((name) => `run-${name}`);
const STEPS = 40;
/** How the names of a store's files end whose coordinator was killed. */
const FILES = ["", "-wal", ".confirmed"];

const folder = mkdtempSync(join(tmpdir(), "gradpool-damage-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const stepNumber = (step: number): StepMetrics => ({
  ...{ step, epoch: 0, loss: 1 / step, gradNorm: 0.1, learningRate: 1e-4, tokens: 7, seconds: 0.5 },
});

/** Commits what three runs make, each step as a coordinator does it. */
function fill(database: SqliteDatabase): void {
  for (const runId of RUNS) {
    database.commit([
      { type: "run", run: runNamed(runId) },
      { type: "request", requestId: `request of ${runId}`, content: "c", subject: runId },
      { type: "drained", trainerId: `trainer of ${runId}`, draining: true },
    ]);
  }
  for (let position = 1; position <= STEPS * RUNS.length; position++) {
    const runId = RUNS[position % RUNS.length] ?? "";
    const step = stepNumber(Math.ceil(position / RUNS.length));
    const payload = { $case: "runStep", value: step } as const;
    database.commit([
      { type: "step", runId, step },
      { type: "run", run: runNamed(runId, { state: RunState.RUN_STATE_RUNNING, step: step.step, lastStep: step }) },
      {
        type: "event",
        event: {
          runSequence: step.step,
          time: new Date(position),
          runId,
          runName: "",
          trainerId: "",
          traceparent: "",
          payload,
        },
      },
      { type: "reported", runId, reported: { events: step.step, step: step.step, evaluation: 0, checkpoint: 0 } },
      {
        type: "log",
        runId,
        entry: { time: new Date(1), level: LogLevel.LOG_LEVEL_INFO, message: `step ${step.step}` },
      },
    ]);
  }
  // Leaves free pages and free places within pages.
  database.commit([
    { type: "forget-events", through: 50 },
    { type: "published", position: 60, stream: "then" },
  ]);
}

/** All that a coordinator reads of a store that was opened. */
function answersOf(database: SqliteDatabase): string {
  return JSON.stringify(
    [
      database.begin(),
      ...RUNS.map((runId) => [database.history(runId), database.runLog(runId, 0, 1_000)]),
      database.events(0, 1_000),
    ],
    (_, value: unknown) => (value instanceof Map ? [...(value as Map<unknown, unknown>)] : value),
  );
}

/** How reading the store ends: with all its answers, or with the error that refuses it. */
function read(path: string): string | GradpoolError {
  let database: SqliteDatabase | undefined;
  try {
    database = new SqliteDatabase(path);
    return answersOf(database);
  } catch (reason) {
    return GradpoolError.from(reason);
  } finally {
    database?.close();
  }
}

/** What a look at every row finds. */
function verify(path: string): string[] {
  const database = new SqliteDatabase(path, { readOnly: true });
  try {
    const problems: string[] = [];
    for (let place: Parameters<SqliteDatabase["check"]>[0] = {}; place;) {
      const { next, ...found }: ReturnType<SqliteDatabase["check"]> = database.check(place);
      problems.push(...found.problems);
      place = next;
    }
    return problems;
  } finally {
    database.close();
  }
}

describe("a damaged run store", () => {
  /** As a kill left it, with a write-ahead log; and as an orderly stop does. */
  const killed = join(folder, "killed.sqlite");
  const stopped = join(folder, "stopped.sqlite");
  const tried = join(folder, "tried.sqlite");

  before(() => {
    const database = new SqliteDatabase(stopped);
    database.begin();
    fill(database);
    for (const end of FILES) copyFileSync(`${stopped}${end}`, `${killed}${end}`);
    database.close();
  });

  function copyOf(source: string, change?: { file: string; byte: number; bit: number }): string {
    for (const end of FILES) {
      rmSync(`${tried}${end}`, { force: true });
      if (existsSync(`${source}${end}`)) copyFileSync(`${source}${end}`, `${tried}${end}`);
    }
    if (change) {
      const bytes = readFileSync(`${tried}${change.file}`);
      bytes.writeUInt8(bytes.readUInt8(change.byte) ^ (1 << change.bit), change.byte);
      writeFileSync(`${tried}${change.file}`, bytes);
    }
    return tried;
  }

  /** Flips bits, of which `places` gives one at a time, and counts how a coordinator's start ends. */
  function flipBits(
    source: string,
    flips: number,
    places: () => { file: string; byte: number },
  ): Record<string, number> {
    const whole = read(copyOf(source));
    assert.equal(typeof whole, "string", String(whole));
    assert.deepEqual(verify(copyOf(source)), []);
    const counts = { refused: 0, unchanged: 0 };
    for (let flip = 0; flip < flips; flip++) {
      const place = places();
      const answer = read(copyOf(source, { ...place, bit: flip % 8 }));
      if (answer instanceof GradpoolError) {
        assert.ok(["data_loss", "failed_precondition"].includes(answer.code), `${answer.code} ${answer.message}`);
        counts.refused += 1;
      } else {
        assert.equal(answer, whole, `another answer after a bit flip in ${JSON.stringify(place)}`);
        counts.unchanged += 1;
      }
    }
    return counts;
  }

  it(`is refused, or gives the same answers, after any of ${FLIPS} bit flips`, (t) => {
    const random = randomOf(14);
    const { size } = statSync(stopped);
    const counts = flipBits(stopped, FLIPS, () => ({ file: "", byte: Math.floor(random() * size) }));
    t.diagnostic(JSON.stringify(counts));
    assert.ok((counts["refused"] ?? 0) > FLIPS / 10);
  });

  it("is refused, or gives the same answers, when its coordinator was killed before the bit flipped", (t) => {
    const random = randomOf(15);
    const counts = flipBits(killed, FLIPS / 4, () => {
      const file = FILES[Math.floor(random() * FILES.length)] ?? "";
      // Of the log, the part that was written last.
      const size = file === "-wal" ? 100_000 : statSync(`${killed}${file}`).size;
      return { file, byte: Math.floor(random() * size) };
    });
    t.diagnostic(JSON.stringify(counts));
    assert.ok((counts["refused"] ?? 0) > FLIPS / 40);
  });

  it("does not lose confirmed commits with a damaged write-ahead log", () => {
    const expected = failure(
      "data_loss",
      /\(its write-ahead log, of which \d+ of \d+ confirmed pages .*restore a copy/,
    );
    const start = copyOf(killed, { file: "-wal", byte: 5_000, bit: 0 });
    assert.throws(() => new SqliteDatabase(start), expected);
    assert.match(verify(start).join(), /write-ahead log/);
    // What a crash leaves of a commit that it interrupted is no damage.
    const interrupted = copyOf(killed);
    appendFileSync(`${interrupted}-wal`, Buffer.alloc(10_000, 1));
    assert.deepEqual(verify(interrupted), []);
  });

  it("is described row by row, and refused by the name of the run", () => {
    const path = copyOf(stopped);
    const file = readFileSync(path);
    const byte = file.indexOf("a note");
    assert.ok(byte > 0);
    const damaged = copyOf(stopped, { file: "", byte, bit: 1 });
    assert.deepEqual(verify(damaged), ["the record of run run-a is not what was written"]);
    const expected = failure(
      "data_loss",
      /is damaged \(the record of run run-a is not what was written\); restore a copy/,
    );
    const database = new SqliteDatabase(damaged);
    assert.throws(() => database.begin(), expected);
    database.close();
  });

  it("has checksums once a store of an older version was opened", () => {
    rmSync(tried, { force: true });
    const old = new sqlite.Database(tried);
    for (const migration of MIGRATIONS.slice(0, CHECKED_VERSION - 1)) old.exec(migration);
    old.exec(`PRAGMA user_version = ${CHECKED_VERSION - 1}`);
    const run = runNamed("old");
    old.run("INSERT INTO runs VALUES (7, ?, ?, ?)", [run.runId, run.state, Run.encode(run).finish()]);
    old.exec("BEGIN");
    for (let i = 1; i <= 450; i++)
      old.run("INSERT INTO run_log VALUES (?, ?, ?)", ["old", i, new Uint8Array([0x22, 0])]);
    old.exec("COMMIT");
    old.close();
    assert.throws(() => verify(tried), failure("failed_precondition", /made by an older gradpool, without checksums/));
    const database = new SqliteDatabase(tried);
    assert.deepEqual(database.begin().runs, [run]);
    assert.equal(database.runLog("old", 0, 1_000).length, 450);
    database.close();
    assert.deepEqual(verify(tried), []);
  });
});
