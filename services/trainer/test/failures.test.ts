/** Tasks that cannot be computed, and a compute thread that dies. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { MicroBatchTask, TaskFailed } from "@gradpool/rpc";
import { TestGateway } from "./gateway.js";
import { key } from "./key.js";
import { adapterFile, base, startTrainer, taskOf } from "./helpers.js";

const TIMEOUT_MS = 120_000;

/** Ids with one changed. */
function idsWith(stray: number): Uint8Array {
  const ids = new Int32Array(2 * 16).fill(1);
  ids[20] = stray;
  return new Uint8Array(ids.buffer);
}

const CASES: [
  name: string,
  changes: Partial<MicroBatchTask>,
  expected: Omit<TaskFailed, "taskId" | "message">,
  RegExp,
][] = [
  [
    "a model that is not the run's",
    { base: { ...base, modelHash: "0".repeat(64) } },
    { code: "failed_precondition", permanent: true },
    /tiny-coder changed since the run was submitted/,
  ],
  [
    "a model that is not there",
    { base: { ...base, modelId: "/nowhere/at-all" } },
    { code: "not_found", permanent: true },
    /\/nowhere\/at-all does not exist/,
  ],
  [
    "a module that is not there",
    { base: { ...base, targetModules: ["transformer.h.99.attn.c_attn"] } },
    { code: "failed_precondition", permanent: true },
    /has no transformer\.h\.99\.attn\.c_attn/,
  ],
  ["no base model", { base: undefined }, { code: "invalid_argument", permanent: true }, /has no base model/],
  [
    "no target modules",
    { base: { ...base, targetModules: [] } },
    { code: "invalid_argument", permanent: true },
    /target_modules/,
  ],
  ["an adapter that is over", { adapterVersion: 9 }, { code: "not_found", permanent: false }, /run\/9 is over/],
  ["an adapter of another rank", { loraR: 4 }, { code: "failed_precondition", permanent: true }, /does not fit/],
  ["a damaged adapter", { adapterVersion: 1 }, { code: "data_loss", permanent: true }, /adapter/],
  [
    "a token beyond the vocabulary",
    { ids: idsWith(4096) },
    { code: "invalid_argument", permanent: true },
    /token id 4096 is outside the model's vocabulary of 4096/,
  ],
  ["a negative token", { ids: idsWith(-1) }, { code: "invalid_argument", permanent: true }, /token id -1/],
  ["ids that are missing", { ids: new Uint8Array(4) }, { code: "invalid_argument", permanent: true }, /4 bytes of ids/],
  [
    "rows beyond the model's positions",
    { rowLength: 257, ids: new Uint8Array(2 * 257 * 4) },
    { code: "invalid_argument", permanent: true },
    /256 positions/,
  ],
  ["a length beyond the row", { lengths: [16, 17] }, { code: "invalid_argument", permanent: true }, /a length of 17/],
  ["no rows", { rows: 0, ids: new Uint8Array(), lengths: [] }, { code: "invalid_argument", permanent: true }, /0 rows/],
  [
    "a rank of a module of its own that is 0",
    { ownRanks: { x: 0 } },
    { code: "invalid_argument", permanent: true },
    /rank is 0/,
  ],
  [
    "a scaling that is no number",
    { ownScalings: { x: NaN } },
    { code: "invalid_argument", permanent: true },
    /scaling is NaN/,
  ],
  ["dropping everything", { loraDropout: 1 }, { code: "invalid_argument", permanent: true }, /dropout/],
];

describe("a task that cannot be computed", { timeout: TIMEOUT_MS }, () => {
  for (const [name, changes, expected, message] of CASES) {
    it(`is answered with what is wrong, and the next one computed: ${name}`, async () => {
      await using gateway = await TestGateway.start();
      gateway.adapters.set("run/0", adapterFile(8, 1));
      gateway.adapters.set("run/1", adapterFile(8, 1).subarray(0, 2000));
      await using trainer = await startTrainer(gateway.address);
      await gateway.until(() => gateway.room === 2);
      gateway.sendTask(taskOf("bad", changes));
      gateway.sendTask(taskOf("good"));
      await gateway.resultOf("good");
      await gateway.until(() => gateway.room === 2);
      const [failure, ...others] = gateway.failures;
      assert.ok(failure && others.length === 0 && trainer.address);
      const { taskId, message: text, ...rest } = failure;
      assert.deepEqual([taskId, rest], ["bad", expected]);
      assert.match(text, message);
      assert.doesNotMatch(text, /\n/);
    });
  }
});

describe("a compute thread that dies", { timeout: TIMEOUT_MS }, () => {
  for (const [how, reason] of [
    ["throws", /what no task is at fault for/],
    ["runs out of memory", /memory/],
    ["exits", /exit code 3/],
  ] as const) {
    it(`ends the process with exit code 1 and says why: ${how}`, async () => {
      await using gateway = await TestGateway.start();
      gateway.adapters.set("run/0", adapterFile(8, 1));
      const trainer = fork(fileURLToPath(new URL("./dying-trainer.js", import.meta.url)), {
        env: { ...process.env, GRADPOOL_KEY: key.reveal(), GRADPOOL_COORDINATOR_ADDRESS: gateway.address },
        execArgv: ["--max-old-space-size=64"],
        stdio: "pipe",
      });
      let log = "";
      trainer.stderr?.on("data", (piece: Buffer) => (log += piece.toString()));
      const closed = once(trainer, "close");
      await gateway.until(() => gateway.room === 2);
      gateway.sendTask(taskOf("deadly", { runId: "run", base: { ...base, modelId: how } }));
      assert.deepEqual(await closed, [1, null]);
      assert.match(log, /the compute thread died \(.*\); the trainer exits; restart it/);
      assert.match(log, reason);
      await gateway.until(() => gateway.open === 0);
      assert.equal(gateway.results.length, 0);
    });
  }
});
