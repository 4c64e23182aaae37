import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { watch } from "node:fs/promises";
import { test } from "node:test";
import { CHUNK_BYTES, concat } from "@gradpool/rpc";
import { nodeFileSystem } from "../src/file-system.js";
import { LocalFolders } from "../src/local-folders.js";
import { OutputStore } from "../src/output-store.js";
import { collect, failure, headerOf, load, LOG, remove, RUN, save, startStore, tempFolder } from "./support.js";

const FILES = { "adapter_config.json": "{}", "empty.txt": "", "adapter_model.safetensors": "weights" };

test("what is saved is loaded, listed, verified and deleted", async (t) => {
  const outputDir = `${tempFolder(t)}/new/output`;
  const { client } = await startStore(t);
  const name = "checkpoint-epoch2-step30";
  const before = Date.now();
  const saved = await save(client, outputDir, 30, FILES, { name, epoch: 2 });
  assert.deepEqual(saved, { path: `${outputDir}/${name}`, removed: [] });
  assert.deepEqual(readdirSync(outputDir), [name], "nothing but the checkpoint, not even a lock");
  assert.deepEqual(await load(client, outputDir), { name, files: FILES });
  assert.deepEqual(await load(client, outputDir, name, ["empty.txt"]), { name, files: { "empty.txt": "" } });
  const { checkpoints } = await client.list({ outputDir });
  const { savedAt, ...rest } = checkpoints[0] ?? assert.fail();
  assert.deepEqual(rest, {
    name,
    path: saved.path,
    runId: RUN,
    epoch: 2,
    step: 30,
    sizeBytes: 9,
    damage: "",
    recovery: false,
  });
  assert.ok(savedAt && savedAt.getTime() >= before && savedAt.getTime() <= Date.now());
  assert.deepEqual(await client.verify({ outputDir, name: "" }), { checkpoints });
  await remove(client, outputDir, name);
  assert.deepEqual(readdirSync(outputDir), []);
  await assert.rejects(remove(client, outputDir, name), failure("not_found", /no checkpoint/));
  await assert.rejects(load(client, outputDir), failure("not_found", /has no checkpoint/));
  await assert.rejects(load(client, outputDir, name), failure("not_found", /no checkpoint checkpoint-epoch2-step30/));
  await assert.rejects(client.list({ outputDir: `${outputDir}/x` }), failure("not_found", /does not exist/));
});

test("a checkpoint of the same name replaces the old one", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  await save(client, outputDir, 1, FILES);
  await save(client, outputDir, 1, { "other.txt": "new" });
  assert.deepEqual(await load(client, outputDir), { name: "checkpoint-epoch0-step1", files: { "other.txt": "new" } });
  assert.deepEqual(readdirSync(outputDir), ["checkpoint-epoch0-step1"]);
  assert.deepEqual(readdirSync(`${outputDir}/checkpoint-epoch0-step1`).sort(), ["manifest.json", "other.txt"]);
});

test("results replace the files of their names and nothing else", async (t) => {
  const outputDir = tempFolder(t);
  writeFileSync(`${outputDir}/metrics.json`, "old");
  writeFileSync(`${outputDir}/notes.txt`, "mine");
  const { client } = await startStore(t);
  const files = { "metrics.json": "new", "loss.svg": "<svg/>" };
  assert.deepEqual(await save(client, outputDir, 0, files, { name: "" }), { path: outputDir, removed: [] });
  assert.deepEqual(readdirSync(outputDir).sort(), ["loss.svg", "metrics.json", "notes.txt"]);
  assert.equal(readFileSync(`${outputDir}/metrics.json`, "utf8"), "new");
  assert.equal(readFileSync(`${outputDir}/notes.txt`, "utf8"), "mine");
});

test("50 MB pass in pieces of at most 1 MiB", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const big = new Uint8Array(50_000_000).map((_, i) => i % 251);
  const odd = big.subarray(0, 3 * CHUNK_BYTES + 1);
  const header = headerOf(outputDir, 1, { big, odd, none: "" });
  async function* requests() {
    yield { message: { $case: "header" as const, value: header } };
    // Pieces need not end where files do.
    const whole = concat([big, odd]);
    for (let at = 0; at < whole.byteLength; at += CHUNK_BYTES - 7) {
      yield { message: { $case: "data" as const, value: whole.subarray(at, at + CHUNK_BYTES - 7) } };
    }
  }
  await client.save(requests());
  const received = new Map<string, Uint8Array[]>();
  for await (const { path, data } of client.load({ outputDir, name: "", paths: [], runId: "" })) {
    assert.ok(data.byteLength <= CHUNK_BYTES);
    received.set(path, [...(received.get(path) ?? []), data]);
  }
  assert.deepEqual([...received.keys()], ["big", "odd", "none"]);
  assert.equal(Buffer.compare(concat(received.get("big") ?? []), big), 0);
  assert.equal(Buffer.compare(concat(received.get("odd") ?? []), odd), 0);
});

test("memory does not grow with the files' size", async (t) => {
  const outputDir = tempFolder(t);
  await using store = new OutputStore(new LocalFolders(nodeFileSystem), () => new Date(), LOG);
  const sizeBytes = 300 * CHUNK_BYTES;
  const start = process.memoryUsage().arrayBuffers;
  let peak = 0;
  const measure = () => (peak = Math.max(peak, process.memoryUsage().arrayBuffers - start));
  async function* data() {
    for (let sent = 0; sent < sizeBytes; sent += CHUNK_BYTES) {
      yield new Uint8Array(CHUNK_BYTES);
      measure();
    }
  }
  const header = headerOf(outputDir, 1, {}, { files: [{ path: "big", sizeBytes }] });
  await store.save(header, data(), new AbortController().signal);
  let received = 0;
  for await (const { data } of store.load(
    outputDir,
    { name: "", runId: "", paths: [] },
    new AbortController().signal,
  )) {
    received += data.byteLength;
    measure();
  }
  assert.equal(received, sizeBytes);
  assert.ok(peak < sizeBytes / 3, `${Math.round(peak / 1e6)} MB of buffers`);
});

test("keep_last_n removes the run's oldest checkpoints, never another's", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  await save(client, outputDir, 500, FILES, { runId: "another" });
  for (const step of [30, 10, 20]) await save(client, outputDir, step, FILES, { keepLastN: -1 });
  const { removed } = await save(client, outputDir, 5, FILES, { keepLastN: 2 });
  // By time, not by step: 30 was saved first.
  assert.deepEqual(
    removed,
    [30, 10].map((step) => `${outputDir}/checkpoint-epoch0-step${step}`),
  );
  const steps = (await client.list({ outputDir })).checkpoints.map(({ step }) => step);
  assert.deepEqual(steps, [5, 20, 500]);
  assert.equal(readdirSync(outputDir).length, 3);
  assert.deepEqual((await save(client, outputDir, 6, FILES, { keepLastN: 0 })).removed, []);
  assert.equal((await save(client, outputDir, 5, FILES, { keepLastN: 1 })).removed.length, 2);
  assert.deepEqual(
    (await client.list({ outputDir })).checkpoints.map(({ step }) => step),
    [5, 500],
  );
});

test("I5: a truncated or altered file is found, named and never loaded; the previous good one is", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  const files = { "small.json": "{}", "big.bin": new Uint8Array(2 * CHUNK_BYTES + 5).fill(7) };
  const [good, bad] = ["checkpoint-epoch0-step1", "checkpoint-epoch0-step2"];
  await save(client, outputDir, 1, FILES);
  const damages: [string, () => void, RegExp, boolean][] = [
    ["a truncated file", () => truncateSync(`${outputDir}/${bad}/big.bin`, 10), /big\.bin has 10 bytes/, true],
    ["an empty file", () => truncateSync(`${outputDir}/${bad}/small.json`, 0), /small\.json has 0 bytes/, true],
    ["a flipped bit at the start", () => flip(`${outputDir}/${bad}/big.bin`, 0), /big\.bin does not match/, false],
    ["a flipped bit at the end", () => flip(`${outputDir}/${bad}/big.bin`, -1), /big\.bin does not match/, false],
    ["a manifest cut short", () => truncateSync(`${outputDir}/${bad}/manifest.json`, 100), /not valid JSON/, true],
    [
      "another step in the manifest",
      () => edit(`${outputDir}/${bad}/manifest.json`, '"step": 2', '"step": 9'),
      /own SHA/,
      true,
    ],
    ["another run in the manifest", () => edit(`${outputDir}/${bad}/manifest.json`, RUN, "run-2"), /own SHA/, true],
  ];
  for (const [what, damage, text, shows] of damages) {
    await save(client, outputDir, 2, files);
    damage();
    const pieces: number[] = [];
    const loading = async () => {
      for await (const { data } of client.load({ outputDir, name: bad, paths: ["big.bin"], runId: "" }))
        pieces.push(data.byteLength);
    };
    if (what !== "an empty file") await assert.rejects(loading(), failure("data_loss", text), what);
    else await assert.rejects(load(client, outputDir, bad), failure("data_loss", text), what);
    assert.ok(pieces.length < 3, "the last piece is never sent");
    assert.deepEqual(await load(client, outputDir), { name: good, files: FILES }, what);
    const listed = (await client.list({ outputDir })).checkpoints.find(({ name }) => name === bad);
    assert.equal(text.test(listed?.damage ?? ""), shows, what);
    const { checkpoints } = await client.verify({ outputDir, name: bad });
    assert.match(checkpoints[0]?.damage ?? "", text, what);
    const all = (await client.verify({ outputDir, name: "" })).checkpoints;
    assert.deepEqual(
      all.filter(({ damage }) => damage === "").map(({ name }) => name),
      [good],
      what,
    );
    await remove(client, outputDir, bad);
  }
  flip(`${outputDir}/${good}/adapter_config.json`, 0);
  const onlyDamaged = failure("data_loss", /only damaged checkpoints \(checkpoint-epoch0-step1: file adapter_config/);
  await assert.rejects(load(client, outputDir), onlyDamaged);
});

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ 4;
  writeFileSync(path, bytes);
}

function edit(path: string, from: string, to: string): void {
  const text = readFileSync(path, "utf8");
  assert.ok(text.includes(from));
  writeFileSync(path, text.replace(from, to));
}

test("a client that disconnects in the middle of a Save leaves nothing behind", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  for (const how of ["abort", "throw"]) {
    const abort = new AbortController();
    const staged = once(abort.signal, "abort");
    async function* requests() {
      yield {
        message: {
          $case: "header" as const,
          value: headerOf(outputDir, 1, {}, { files: [{ path: "a", sizeBytes: 9 }] }),
        },
      };
      yield { message: { $case: "data" as const, value: new Uint8Array(4) } };
      for await (const _ of changes(outputDir)) if (readdirSync(outputDir).some((name) => /saving/.test(name))) break;
      if (how === "throw") throw new Error("the client's own failure");
      abort.abort();
      await new Promise(() => {});
    }
    await assert.rejects(client.save(requests(), { signal: abort.signal }));
    if (how === "abort") await staged;
    for await (const _ of changes(outputDir)) if (readdirSync(outputDir).length === 0) break;
  }
});

/** Now, and again after each change in a folder. */
async function* changes(folder: string): AsyncGenerator<void> {
  const stop = new AbortController();
  const watcher = watch(folder, { signal: stop.signal })[Symbol.asyncIterator]();
  let next = watcher.next();
  try {
    for (;;) {
      yield;
      await next;
      next = watcher.next();
    }
  } finally {
    next.catch(() => {});
    stop.abort();
  }
}

test("a cancelled Load frees its files", async (t) => {
  const outputDir = tempFolder(t);
  const { client } = await startStore(t);
  await save(client, outputDir, 1, { big: new Uint8Array(20 * CHUNK_BYTES) });
  const abort = new AbortController();
  const stopped = async () => {
    for await (const _ of client.load({ outputDir, name: "", paths: [], runId: "" }, { signal: abort.signal }))
      abort.abort();
  };
  await assert.rejects(stopped(), failure("cancelled", /./));
  assert.equal(
    (await collect(client.load({ outputDir, name: "", paths: [], runId: "" }))).files["big"]?.length,
    20 * CHUNK_BYTES,
  );
});
