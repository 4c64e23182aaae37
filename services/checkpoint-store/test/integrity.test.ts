/** I5: no damage to a real checkpoint goes unnoticed, whichever bit or byte it hits; what is damaged is never loaded. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test, type TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import { nodeFileSystem } from "../src/file-system.js";
import { LocalFolders } from "../src/local-folders.js";
import { OutputStore } from "../src/output-store.js";
import { assertNoticed, BAD, boundaries } from "./damages.js";
import type { DamageShare } from "./integrity-worker.js";
import { dataOf, headerOf, LOG, tempFolder, type Files } from "./support.js";

const WORKERS = 2;
const NEVER = new AbortController().signal;

// Written by a run on models/tiny-coder; the tokenizer's files are that model's own, less tokenizer.json:
// hashing its 263 kB would take most of the time, and prove nothing more.
const RUN_FILES = fileURLToPath(new URL("../../test/fixtures/tiny-coder-step4", import.meta.url));
const MODEL = fileURLToPath(new URL("../../../../models/tiny-coder", import.meta.url));
const TOKENIZER_FILES = ["tokenizer_config.json", "merges.txt", "vocab.json"];

interface Saved {
  store: OutputStore;
  outputDir: string;
  /** Of the checkpoint to damage, the manifest among them. */
  paths: string[];
}

/** The checkpoint to damage, and an older one of one small file. */
async function saved(t: TestContext): Promise<Saved> {
  const outputDir = tempFolder(t);
  const small = readdirSync(RUN_FILES).map((name): [string, Uint8Array] => [
    name,
    readFileSync(`${RUN_FILES}/${name}`),
  ]);
  const large = TOKENIZER_FILES.map((name): [string, Uint8Array] => [name, readFileSync(`${MODEL}/${name}`)]);
  let clock = Date.parse("2025-01-01T00:00:00Z");
  const store = new OutputStore(new LocalFolders(nodeFileSystem), () => new Date((clock += 1000)), LOG);
  const save = (step: number, files: Files) =>
    store.save(headerOf(outputDir, step, files), toAsync(dataOf(files)), NEVER);
  await save(2, { "adapter_config.json": "{}" });
  await save(4, Object.fromEntries([...small, ...large]));
  const paths = readdirSync(`${outputDir}/${BAD}`).map((name) => `${outputDir}/${BAD}/${name}`);
  assert.equal(paths.length, 9);
  return { store, outputDir, paths };
}

async function* toAsync<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

test("I5: on disk, a file cut at any boundary of its format is noticed", async (t) => {
  const checkpoint = await saved(t);
  let cuts = 0;
  for (const path of checkpoint.paths) {
    const bytes = readFileSync(path);
    for (const length of boundaries(path, bytes)) {
      truncateSync(path, length);
      await assertNoticed(checkpoint.store, checkpoint.outputDir, { path, what: `${path} cut to ${length} bytes` });
      writeFileSync(path, bytes);
      cuts++;
    }
  }
  t.diagnostic(`${cuts} cuts`);
  assert.equal((await checkpoint.store.verify(checkpoint.outputDir, BAD, NEVER))[0]?.damage, "", "it is whole again");
});

for (const [kind, title, atLeast] of [
  ["cuts", "a file cut anywhere", 9_000],
  ["header flips", "each flipped bit of the manifest and of a safetensors header", 30_000],
  ["flips", "a flipped bit anywhere", 10_000],
] as const) {
  test(`I5: ${title} is noticed`, async (t) => {
    const { outputDir, paths } = await saved(t);
    const tried = await Promise.all(
      Array.from({ length: WORKERS }, (_, share) => tryDamages({ outputDir, paths, kind, share, shares: WORKERS })),
    );
    const total = tried.reduce((sum, one) => sum + one, 0);
    t.diagnostic(`${total} damages`);
    assert.ok(total >= atLeast);
  });
}

/** Their number; fails with the first that goes unnoticed. */
async function tryDamages(share: DamageShare): Promise<number> {
  const worker = new Worker(new URL("integrity-worker.js", import.meta.url), { workerData: share });
  const [tried] = (await once(worker, "message")) as [number];
  await worker.terminate();
  return tried;
}
