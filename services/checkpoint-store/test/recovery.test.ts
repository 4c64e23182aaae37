import assert from "node:assert/strict";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "node:test";
import { MAX_REMEMBERED_DELETES } from "../src/delete-requests.js";
import { failure, load, remove, RUN, save, startStore, tempFolder, type StoreClient } from "./support.js";

const FILES = { "adapter_model.safetensors": "weights", "trainer_state.json": "{}" };
const plain = (step: number) => `checkpoint-epoch0-step${step}`;
const recovery = (step: number) => `.recovery-epoch0-step${step}`;

function saveRecovery(client: StoreClient, outputDir: string, step: number, keepLastN = 0, runId = RUN) {
  return save(client, outputDir, step, FILES, { name: recovery(step), keepLastN, runId });
}

async function names(client: StoreClient, outputDir: string): Promise<string[]> {
  return (await client.list({ outputDir })).checkpoints.map(({ name }) => name);
}

/** What a Load without a name finds: the checkpoint and the damaged ones that it skipped. */
async function newest(client: StoreClient, outputDir: string, runId = "") {
  let first: { name: string; damaged: { name: string; damage: string }[] } | undefined;
  for await (const piece of client.load({ outputDir, name: "", paths: [], runId })) {
    if (first) assert.deepEqual([piece.name, piece.damaged], ["", []], "only the first piece says it");
    first ??= piece;
  }
  return { name: first?.name, damaged: first?.damaged.map(({ name }) => name) };
}

test("a recovery point is a checkpoint that the next save removes, whichever run's it is", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  await saveRecovery(client, outputDir, 3);
  const [listed] = (await client.list({ outputDir })).checkpoints;
  assert.deepEqual([listed?.name, listed?.recovery, listed?.step], [recovery(3), true, 3]);
  assert.deepEqual(await load(client, outputDir), { name: recovery(3), files: FILES });
  assert.equal((await client.verify({ outputDir, name: recovery(3) })).checkpoints[0]?.damage, "");
  assert.deepEqual(await saveRecovery(client, outputDir, 4), { path: `${outputDir}/${recovery(4)}`, removed: [] });
  assert.deepEqual(readdirSync(outputDir), [recovery(4)]);
  await save(client, outputDir, 5, FILES, { runId: "another" });
  assert.deepEqual(readdirSync(outputDir), [plain(5)]);
  await saveRecovery(client, outputDir, 6);
  assert.deepEqual(await names(client, outputDir), [recovery(6), plain(5)]);
  await save(client, outputDir, 6, { "metrics.json": "{}" }, { name: "", runId: "another" });
  assert.deepEqual(readdirSync(outputDir).sort(), [plain(5), "metrics.json"]);
  await saveRecovery(client, outputDir, 7);
  await remove(client, outputDir, recovery(7));
  assert.deepEqual(readdirSync(outputDir).sort(), [plain(5), "metrics.json"]);
});

test("keep_last_n neither counts nor removes recovery points", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  for (const step of [1, 2, 3]) await save(client, outputDir, step, FILES);
  assert.deepEqual((await saveRecovery(client, outputDir, 4, 2)).removed, [`${outputDir}/${plain(1)}`]);
  assert.deepEqual(await names(client, outputDir), [recovery(4), plain(3), plain(2)]);
  await save(client, outputDir, 5, FILES, { keepLastN: 2 });
  assert.deepEqual(await names(client, outputDir), [plain(5), plain(3)]);
  const gone = failure(
    "not_found",
    new RegExp(`no checkpoint ${plain(1)} in .*; choose one of ${plain(5)}, ${plain(3)}$`),
  );
  await assert.rejects(load(client, outputDir, plain(1)), gone);
  await assert.rejects(client.verify({ outputDir, name: plain(1) }), gone);
  await assert.rejects(remove(client, outputDir, plain(1)), gone);
});

test("the newest is the last saved; of one run, the one with the most steps", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  await save(client, outputDir, 20, FILES);
  await save(client, outputDir, 10, FILES);
  await save(client, outputDir, 5, FILES, { runId: "another" });
  assert.deepEqual(await newest(client, outputDir), { name: plain(5), damaged: [] });
  assert.deepEqual(await newest(client, outputDir, RUN), { name: plain(20), damaged: [] });
  assert.deepEqual(await newest(client, outputDir, "another"), { name: plain(5), damaged: [] });
  await assert.rejects(newest(client, outputDir, "third"), failure("not_found", /no checkpoint of run third/));
});

test("I5: damaged ones are skipped and reported with the first piece", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  for (const step of [1, 2, 3, 4]) await save(client, outputDir, step, FILES);
  await save(client, outputDir, 9, FILES, { runId: "another" });
  truncateSync(`${outputDir}/${plain(4)}/adapter_model.safetensors`, 3);
  truncateSync(`${outputDir}/${plain(9)}/adapter_model.safetensors`, 3);
  truncateSync(`${outputDir}/${plain(3)}/manifest.json`, 3);
  truncateSync(`${outputDir}/${plain(1)}/manifest.json`, 3);
  // The run of the one without a manifest is unknown, but its name claims more than step 2.
  assert.deepEqual(await newest(client, outputDir), { name: plain(2), damaged: [plain(3), plain(9), plain(4)] });
  assert.deepEqual(await newest(client, outputDir, RUN), { name: plain(2), damaged: [plain(3), plain(4)] });
  await remove(client, outputDir, plain(2));
  await assert.rejects(
    newest(client, outputDir, RUN),
    failure("data_loss", /only damaged checkpoints of run run-1 \(/),
  );
  await assert.rejects(newest(client, outputDir), failure("data_loss", /step9: file adapter_model.* has 3 bytes/));
});

test("a checkpoint whose manifest cannot be read is listed by its name, and can be deleted", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const damages: [RegExp, (manifest: string) => void][] = [
    [/manifest\.json is missing/, (path) => unlinkSync(path)],
    [/manifest\.json is not valid JSON/, (path) => truncateSync(path, 0)],
    [
      /manifest\.json is wrong at its top/,
      (path) => writeFileSync(path, readFileSync(path, "utf8").replace("{", `{"a\\nb":1,`)),
    ],
    [/manifest\.json is too large/, (path) => truncateSync(path, 1 << 30)],
    [/manifest\.json is not a plain file/, (path) => (unlinkSync(path), mkdirSync(path))],
    [
      /manifest\.json is not a plain file/,
      (path) => (renameSync(path, `${path}.real`), symlinkSync(`${path}.real`, path)),
    ],
  ];
  for (const [damage, change] of damages) {
    await save(client, outputDir, 12, FILES);
    change(`${outputDir}/${plain(12)}/manifest.json`);
    const { checkpoints } = await client.list({ outputDir });
    assert.deepEqual(
      checkpoints.map(({ name, step, runId, recovery }) => ({ name, step, runId, recovery })),
      [{ name: plain(12), step: 12, runId: "", recovery: false }],
    );
    assert.match(checkpoints[0]?.damage ?? "", damage);
    assert.doesNotMatch(checkpoints[0]?.damage ?? "", /\n/);
    await assert.rejects(load(client, outputDir, plain(12)), failure("data_loss", damage));
    await remove(client, outputDir, plain(12));
    assert.deepEqual(readdirSync(outputDir), []);
  }
});

test("I4: a Delete has one effect per request_id", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const deleting = (name: string, requestId: string) => client.delete({ outputDir, name, requestId });
  await save(client, outputDir, 1, FILES);
  await save(client, outputDir, 2, FILES);
  await Promise.all([deleting(plain(1), "a"), deleting(plain(1), "a")]);
  await save(client, outputDir, 1, FILES);
  assert.deepEqual(await deleting(plain(1), "a"), {}, "the same answer, and no further effect");
  assert.deepEqual((await names(client, outputDir)).sort(), [plain(1), plain(2)]);
  await assert.rejects(deleting(plain(2), "a"), failure("already_exists", /was used to delete .*step1; give/));
  await assert.rejects(deleting(plain(2), ""), failure("invalid_argument", /request_id is empty/));
  await assert.rejects(deleting(plain(2), "x".repeat(201)), failure("invalid_argument", /more than 200 characters/));
  // One that failed had no effect, so it may be retried.
  await assert.rejects(deleting(plain(3), "b"), failure("not_found", /no checkpoint/));
  await save(client, outputDir, 3, FILES);
  await deleting(plain(3), "b");
  assert.deepEqual((await names(client, outputDir)).sort(), [plain(1), plain(2)]);
});

test("only a bounded number of requests is remembered", async (t) => {
  const { client } = await startStore(t);
  const outputDir = tempFolder(t);
  await save(client, outputDir, 1, FILES);
  await client.delete({ outputDir, name: plain(1), requestId: "first" });
  for (let i = 0; i < MAX_REMEMBERED_DELETES; i++) {
    mkdirSync(`${outputDir}/${plain(2)}`);
    await client.delete({ outputDir, name: plain(2), requestId: `request-${i}` });
  }
  await assert.rejects(
    client.delete({ outputDir, name: plain(1), requestId: "first" }),
    failure("not_found", /there are none/),
  );
});
