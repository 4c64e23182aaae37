/** Several processes and one cache: kill -9 in the middle of a download, and two that want the same file. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { downloadModel, type DownloadProgress } from "@gradpool/hub";
import { gate, HubWorkspace, MODEL, modelFiles, noise, until } from "../src/hub-fixtures.js";

const { signal } = new AbortController();
const WEIGHTS = noise(3_000_000);
const HELD_BYTES = 2_000_000;
const DOWNLOADER = fileURLToPath(new URL("../src/hub-downloader.js", import.meta.url));

class Downloader implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it, and what it printed. */
  readonly ended: Promise<{ code: number | string | null; stdout: string; stderr: string }>;

  constructor({ fake, cacheDir }: HubWorkspace) {
    const env = {
      ...process.env,
      HF_ENDPOINT: fake.endpoint,
      HF_HUB_CACHE: cacheDir,
      HF_TOKEN: "",
      HF_HUB_OFFLINE: "",
    };
    const child = spawn(process.execPath, [DOWNLOADER, MODEL.id], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    const output = Promise.all([text(child.stdout), text(child.stderr)]);
    this.ended = once(child, "close").then(async ([code, killedBy]: (number | string | null)[]) => {
      const [stdout, stderr] = await output;
      return { code: code ?? killedBy ?? null, stdout: stdout.trim(), stderr };
    });
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
  }
}

/** A hub that stops half-way through the weights, whenever they are requested from the start, until the gate opens. */
async function withHeldWeights() {
  const workspace = await HubWorkspace.create();
  await workspace.fake.create("model", MODEL.id).commit(await workspace.folder("model", modelFiles(WEIGHTS)));
  const held = gate();
  const until = held.opened;
  workspace.fake.inject({ on: /model\.safetensors/, kind: "hold", afterBytes: HELD_BYTES, until, times: 1 });
  return { workspace, release: held.open };
}

const blobs = (workspace: HubWorkspace) => join(workspace.cacheDir, "models--org--tiny/blobs");

/** Partial files and their sizes. */
async function partials(workspace: HubWorkspace): Promise<{ name: string; size: number }[]> {
  const names = await readdir(blobs(workspace)).catch(() => []);
  const found = names.filter((name) => name.endsWith(".incomplete"));
  return Promise.all(
    found.map(async (name) => ({
      name,
      size: (await stat(join(blobs(workspace), name)).catch(() => ({ size: 0 }))).size,
    })),
  );
}

const halfWay = (workspace: HubWorkspace) =>
  until(async () => (await partials(workspace)).some(({ size }) => size >= HELD_BYTES));

const storageRanges = (workspace: HubWorkspace) =>
  workspace.fake
    .contentRequests("model.safetensors")
    .filter(({ at }) => at === "storage")
    .map(({ range }) => range);

/** Another download, in this process; `seen` once it has noticed the first one's file. */
function downloadUntilHalfWay(workspace: HubWorkspace) {
  const seen = gate();
  const onProgress = ({ doneBytes }: DownloadProgress) => doneBytes >= HELD_BYTES && seen.open();
  return { seen: seen.opened, model: downloadModel(workspace.hub(), MODEL, { signal, onProgress }) };
}

test("killed in the middle: the next process continues where it stopped", async () => {
  const { workspace } = await withHeldWeights();
  await using _ = workspace;
  await using killed = new Downloader(workspace);
  await halfWay(workspace);
  await killed.kill();
  const [left] = await partials(workspace);
  assert.ok(left && left.size >= HELD_BYTES);

  await using next = new Downloader(workspace);
  const { code, stdout, stderr } = await next.ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(await readFile(join(stdout, "model.safetensors")), WEIGHTS);
  assert.deepEqual(storageRanges(workspace), [undefined, `bytes=${left.size}-${WEIGHTS.byteLength - 1}`]);
  assert.deepEqual(await partials(workspace), []);
});

test("a killed process's data is checked: damage costs a second download, never a wrong file", async () => {
  const { workspace } = await withHeldWeights();
  await using _ = workspace;
  await using killed = new Downloader(workspace);
  await halfWay(workspace);
  await killed.kill();
  const [left] = await partials(workspace);
  await writeFile(join(blobs(workspace), left!.name), Buffer.alloc(left!.size));

  const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
  assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
  assert.equal(storageRanges(workspace).length, 3);
});

test("two processes want the same file: one downloads, the other waits for it", async () => {
  const { workspace, release } = await withHeldWeights();
  await using _ = workspace;
  await using first = new Downloader(workspace);
  await halfWay(workspace);
  const { seen, model } = downloadUntilHalfWay(workspace);
  await seen;
  release();
  const { code, stdout, stderr } = await first.ended;
  assert.equal(code, 0, stderr);
  assert.equal((await model).folder, stdout);
  assert.deepEqual(await readFile(join(stdout, "model.safetensors")), WEIGHTS);
  assert.deepEqual(storageRanges(workspace), [undefined]);
});

test("when the downloading process is killed, the waiting one takes over", async () => {
  const { workspace } = await withHeldWeights();
  await using _ = workspace;
  await using first = new Downloader(workspace);
  await halfWay(workspace);
  const { seen, model } = downloadUntilHalfWay(workspace);
  await seen;
  assert.equal(storageRanges(workspace).length, 1);
  await first.kill();
  const { folder } = await model;
  assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
  assert.match(storageRanges(workspace)[1] ?? "", /^bytes=2\d{6}-/);
});

test("eight processes at once end with the same complete files", async () => {
  await using workspace = await HubWorkspace.create();
  await workspace.fake.create("model", MODEL.id).commit(await workspace.folder("model", modelFiles(WEIGHTS)));
  workspace.fake.inject({ on: /model\.safetensors/, kind: "cut", afterBytes: 700_000, times: 3 });
  const all = Array.from({ length: 8 }, () => new Downloader(workspace));
  const results = await Promise.all(all.map(({ ended }) => ended));
  for (const { code, stderr } of results) assert.equal(code, 0, stderr);
  assert.deepEqual(await readFile(join(results[0]!.stdout, "model.safetensors")), WEIGHTS);
  assert.deepEqual(await partials(workspace), []);
});

test("nobody waits for another machine's download that stopped long ago", async () => {
  const { workspace } = await withHeldWeights();
  await using _ = workspace;
  await using killed = new Downloader(workspace);
  await halfWay(workspace);
  await killed.kill();
  const [left] = await partials(workspace);
  const foreign = join(blobs(workspace), left!.name.replace(/-[0-9a-f]{8}\.incomplete$/, "-00000000.incomplete"));
  await rename(join(blobs(workspace), left!.name), foreign);
  await utimes(foreign, new Date(0), new Date(0));
  const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
  assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
  assert.deepEqual(storageRanges(workspace), [undefined, undefined]);
});
