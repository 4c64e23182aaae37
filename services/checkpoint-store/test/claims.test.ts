import assert from "node:assert/strict";
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { test, type TestContext } from "node:test";
import { CheckpointStoreServiceService, createClient } from "@gradpool/rpc";
import type { ServiceMessage } from "@gradpool/service-kit";
import { LOCK_FILE } from "@gradpool/run-folder";
import { failure, headerOf, RUN, save, startStore, tempFolder, type StoreClient } from "./support.js";
import { key, keyed } from "./key.js";

const MAIN = new URL("../bin/main.js", import.meta.url);

/** The service as a separate process. */
async function startProcess(t: TestContext): Promise<{ child: ChildProcess; client: StoreClient }> {
  const env = {
    ...process.env,
    GRADPOOL_LISTEN: "127.0.0.1:0",
    GRADPOOL_LOG_LEVEL: "silent",
    GRADPOOL_KEY: key.reveal(),
  };
  const child = fork(MAIN, { env });
  const [message] = (await once(child, "message")) as [ServiceMessage];
  assert.equal(message.type, "ready");
  const client = createClient(CheckpointStoreServiceService, message.type === "ready" ? message.address : "", keyed);
  t.after(async () => {
    client.close();
    if (child.exitCode === null && child.signalCode === null) await ended(child, "SIGKILL");
  });
  return { child, client };
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exit = once(child, "exit");
  child.kill(signal);
  await exit;
}

const inUse = (pid: number) =>
  failure(
    "failed_precondition",
    new RegExp(`is in use by run ${RUN} \\(process ${pid}\\); choose another --output_dir`),
  );

test("a folder belongs to one run until it is released", async (t) => {
  const outputDir = `${tempFolder(t)}/a/b`;
  const { client } = await startStore(t);
  assert.deepEqual(await client.claim({ outputDir: `${outputDir}/.`, runId: RUN, keepResult: false }), { outputDir });
  await client.claim({ outputDir, runId: RUN, keepResult: false });
  await assert.rejects(client.claim({ outputDir, runId: "other", keepResult: false }), inUse(process.pid));
  await assert.rejects(save(client, outputDir, 1, { a: "1" }, { runId: "other" }), inUse(process.pid));
  await client.release({ outputDir, runId: "other" });
  await save(client, outputDir, 1, { a: "1" });
  await assert.rejects(client.claim({ outputDir, runId: "other", keepResult: false }), inUse(process.pid));
  await client.release({ outputDir, runId: RUN });
  await client.release({ outputDir, runId: RUN });
  assert.deepEqual(readdirSync(outputDir), ["checkpoint-epoch0-step1"]);
  await client.claim({ outputDir, runId: "other", keepResult: false });
});

test("of many runs that want a folder at once, one gets it", async (t) => {
  const outputDir = tempFolder(t);
  const stores = [await startStore(t), await startStore(t), await startStore(t)];
  const runs = Array.from({ length: 24 }, (_, i) => `run-${i}`);
  const claims = runs.map((runId, i) => stores[i % 3]!.client.claim({ outputDir, runId, keepResult: false }));
  const won = (await Promise.allSettled(claims)).flatMap(({ status }, i) => (status === "fulfilled" ? [runs[i]] : []));
  assert.equal(won.length, 1);
  assert.equal((JSON.parse(readFileSync(`${outputDir}/${LOCK_FILE}`, "utf8")) as { run_id: string }).run_id, won[0]);
});

test("a store that is shut down releases its folders; another process waits for that", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const other = await startProcess(t);
  await other.client.claim({ outputDir, runId: RUN, keepResult: false });
  await assert.rejects(client.claim({ outputDir, runId: "other", keepResult: false }), inUse(other.child.pid ?? 0));
  await ended(other.child, "SIGTERM");
  assert.deepEqual(readdirSync(outputDir), []);
  await client.claim({ outputDir, runId: "other", keepResult: false });
});

test("a killed store's folders and leftovers are taken over; its run continues elsewhere", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  for (const runId of ["other", RUN]) {
    const { child, client: doomed } = await startProcess(t);
    await doomed.claim({ outputDir, runId: RUN, keepResult: false });
    let sent = () => {};
    const half = new Promise<void>((resolve) => (sent = resolve));
    async function* requests() {
      const files = [{ path: "a", sizeBytes: 9 }];
      yield { message: { $case: "header" as const, value: headerOf(outputDir, 1, {}, { files }) } };
      for (;;) {
        await doomed.list({ outputDir });
        if (readdirSync(outputDir).some((name) => /saving/.test(name))) break;
      }
      sent();
      await new Promise(() => {});
    }
    const saving = assert.rejects(doomed.save(requests()));
    await half;
    await ended(child, "SIGKILL");
    await saving;
    assert.equal(readdirSync(outputDir).filter((name) => name.startsWith(".")).length, 2, "lock and stage");
    await save(client, outputDir, 1, { a: "1" }, { runId });
    // The run that had claimed the folder keeps it; another one that only saved does not.
    assert.deepEqual(readdirSync(outputDir).includes(LOCK_FILE), runId === RUN);
  }
  await assert.rejects(client.claim({ outputDir, runId: "other", keepResult: false }), inUse(process.pid));
});

test("locks that name no running process are taken over", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const dead = spawn(process.execPath, ["-e", ""]);
  await once(dead, "exit");
  const lock = { run_id: RUN, host: hostname(), owner: "x" };
  const stale = [
    "",
    '{"run_id":',
    "null",
    JSON.stringify({ ...lock, pid: dead.pid }),
    // The id has since been given to another process.
    ...(process.platform === "linux" ? [JSON.stringify({ ...lock, pid: process.pid, start_ticks: "1" })] : []),
  ];
  for (const text of stale) {
    writeFileSync(`${outputDir}/${LOCK_FILE}`, text);
    await client.claim({ outputDir, runId: "other", keepResult: false });
    await client.release({ outputDir, runId: "other" });
    assert.deepEqual(readdirSync(outputDir), []);
  }
});

test("another machine's lock is respected, and the message says how to remove it", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  writeFileSync(`${outputDir}/${LOCK_FILE}`, JSON.stringify({ run_id: RUN, pid: 1, host: "elsewhere", owner: "x" }));
  const refused = failure("failed_precondition", /process 1 on elsewhere; if that machine is gone, remove .*\.lock\)/);
  await assert.rejects(client.claim({ outputDir, runId: "other", keepResult: false }), refused);
});

test("a shutdown in the middle of a Save leaves nothing behind", async (t) => {
  const outputDir = tempFolder(t);
  const { client, store } = await startStore(t);
  let sent = () => {};
  const half = new Promise<void>((resolve) => (sent = resolve));
  async function* requests() {
    yield { message: { $case: "header" as const, value: headerOf(outputDir, 1, { a: "12345" }) } };
    while (!readdirSync(outputDir).some((name) => /saving/.test(name))) await client.list({ outputDir });
    sent();
    await new Promise(() => {});
  }
  const saving = assert.rejects(client.save(requests()));
  await half;
  await store[Symbol.asyncDispose]();
  await saving;
  assert.deepEqual(readdirSync(outputDir), []);
});
