/** Models from a hub: which files are downloaded, where they are stored, and what works without the hub. */
import assert from "node:assert/strict";
import { lstat, readdir, readFile, readlink, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { downloadModel, type DownloadProgress } from "@gradpool/hub";
import {
  failsWith,
  gate,
  HubWorkspace,
  MODEL,
  modelFiles,
  NEEDED,
  noise,
  repoFolder,
  sha256File,
  unfinished,
  withModel,
} from "../src/hub-fixtures.js";

const { signal } = new AbortController();
const WEIGHTS = noise(1_000_000);

describe("a download", () => {
  test("fetches what a model needs, in the layout of Python's huggingface_hub", async () => {
    const { workspace, commit } = await withModel(WEIGHTS);
    await using _ = workspace;
    const seen: DownloadProgress[] = [];
    const model = await downloadModel(workspace.hub(), MODEL, { signal, onProgress: (p) => seen.push(p) });

    assert.deepEqual(model, { folder: join(repoFolder(workspace), "snapshots", commit), commit });
    assert.deepEqual((await readdir(model.folder)).sort(), NEEDED);
    assert.equal(await readFile(join(repoFolder(workspace), "refs/main"), "utf8"), commit);
    const weights = join(model.folder, "model.safetensors");
    const hash = await sha256File(weights);
    assert.equal(await readlink(weights), `../../blobs/${hash}`);
    assert.match(await readlink(join(model.folder, "config.json")), /^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
    assert.deepEqual(await readFile(weights), WEIGHTS);
    assert.deepEqual(await unfinished(workspace), []);

    const last = seen.at(-1);
    assert.equal(last?.doneBytes, last?.totalBytes);
    assert.equal(last?.doneFiles, NEEDED.length);
    assert.ok(seen.every(({ doneBytes }, i) => i === 0 || doneBytes >= seen[i - 1]!.doneBytes));
  });

  test("requests no file twice", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    await downloadModel(workspace.hub(), MODEL, { signal });
    await downloadModel(workspace.hub(), MODEL, { signal });
    for (const path of NEEDED) {
      const got = workspace.fake.contentRequests(path).filter(({ at }) => at === "hub");
      assert.equal(got.length, 1, path);
    }
  });

  test("follows a branch that moves, and shares unchanged files", async () => {
    const { workspace, repo, commit } = await withModel(WEIGHTS);
    await using _ = workspace;
    const old = await downloadModel(workspace.hub(), MODEL, { signal });
    const changed = { ...modelFiles(WEIGHTS), "config.json": '{"model_type": "gpt2", "n_layer": 2}\n' };
    const next = await repo.commit(await workspace.folder("model", changed));
    const model = await downloadModel(workspace.hub(), MODEL, { signal });
    assert.equal(model.commit, next);
    assert.notEqual(model.folder, old.folder);
    assert.equal(workspace.fake.contentRequests("model.safetensors").filter(({ at }) => at === "hub").length, 1);
    const pinned = await downloadModel(workspace.hub(), { ...MODEL, revision: commit }, { signal });
    assert.equal(pinned.folder, old.folder);
  });

  test("fetches the shards that an index names", async () => {
    await using workspace = await HubWorkspace.create({ pageFiles: 2 });
    const shard = (i: number) => `model-0000${i}-of-00002.safetensors`;
    const index = JSON.stringify({ weight_map: { a: shard(1), b: shard(2), c: shard(2) } });
    const repo = workspace.fake.create("model", MODEL.id);
    const files = { "config.json": "{}", [shard(1)]: noise(5000, 1), [shard(2)]: noise(5000, 2) };
    await repo.commit(await workspace.folder("m", { ...files, "model.safetensors.index.json": index, "x.txt": "" }));
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    const expected = ["config.json", shard(1), shard(2), "model.safetensors.index.json"];
    assert.deepEqual((await readdir(folder)).sort(), expected);

    const lost = JSON.stringify({ weight_map: { a: "../../../etc/passwd" } });
    await repo.commit(await workspace.folder("m", { "model.safetensors.index.json": lost }));
    await assert.rejects(downloadModel(workspace.hub(), MODEL, { signal }), failsWith("not_found", /etc\/passwd/));
  });

  test("fetches pytorch_model.bin if there are no safetensors, and says so if there is neither", async () => {
    await using workspace = await HubWorkspace.create();
    const repo = workspace.fake.create("model", MODEL.id);
    const { "model.safetensors": _, ...files } = modelFiles(WEIGHTS);
    await repo.commit(await workspace.folder("m", files));
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    assert.ok((await readdir(folder)).includes("pytorch_model.bin"));
    await repo.commit(await workspace.folder("n", { "config.json": "{}", "model.gguf": "x" }));
    await assert.rejects(downloadModel(workspace.hub(), MODEL, { signal }), failsWith("not_found", /safetensors/));
  });

  test("detects a blob of the wrong size, and downloads it again", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    await truncate(join(folder, "model.safetensors"), 1000);
    await downloadModel(workspace.hub(), MODEL, { signal });
    assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
  });

  test("that is interrupted leaves its data to the next one", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const never = gate();
    workspace.fake.inject({
      on: /model\.safetensors/,
      kind: "hold",
      afterBytes: 300_000,
      until: never.opened,
      times: 1,
    });
    const controller = new AbortController();
    const onProgress = ({ doneBytes }: DownloadProgress) => doneBytes > 100_000 && controller.abort();
    const options = { signal: controller.signal, onProgress };
    await assert.rejects(downloadModel(workspace.hub(), MODEL, options), { name: "AbortError" });
    assert.ok((await unfinished(workspace)).length >= 1);
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    const range = workspace.fake.contentRequests("model.safetensors").at(-1)?.range ?? "";
    assert.ok(Number(/^bytes=(\d+)-/.exec(range)?.[1]) > 100_000 - 5000, range);
    assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
    assert.deepEqual(await unfinished(workspace), []);
  });

  test("requested several times in one process is made once", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const hub = workspace.hub();
    const all = await Promise.all([hub, hub, workspace.hub()].map((one) => downloadModel(one, MODEL, { signal })));
    assert.equal(new Set(all.map(({ folder }) => folder)).size, 1);
    assert.equal(workspace.fake.contentRequests("model.safetensors").filter(({ at }) => at === "storage").length, 1);
  });
});

test("the token is sent only to the hub, never to where it redirects", async () => {
  const { workspace } = await withModel(WEIGHTS);
  await using _ = workspace;
  await downloadModel(workspace.hub({ token: "hf_good" }), MODEL, { signal });
  const sent = (at: string) => workspace.fake.requests.filter((one) => one.at === at).map((one) => one.authorization);
  assert.deepEqual(new Set(sent("hub")), new Set(["Bearer hf_good"]));
  assert.deepEqual(new Set(sent("storage")), new Set([undefined]));
});

describe("without the hub", () => {
  test("offline: the cache is used, and no request is made", async () => {
    const { workspace, commit } = await withModel(WEIGHTS);
    await using _ = workspace;
    const online = await downloadModel(workspace.hub(), MODEL, { signal });
    const before = workspace.fake.requests.length;
    const offline = await downloadModel(workspace.hub({ offline: true }), MODEL, { signal });
    assert.equal(offline.folder, online.folder);
    assert.equal(offline.commit, commit);
    assert.match(offline.fromCache ?? "", /HF_HUB_OFFLINE/);
    assert.equal(workspace.fake.requests.length, before);
  });

  test("offline: what is missing is named", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const hub = workspace.hub({ offline: true });
    await assert.rejects(
      downloadModel(hub, MODEL, { signal }),
      failsWith("not_found", /org\/tiny is not in the cache .*unset HF_HUB_OFFLINE/),
    );
    const online = workspace.hub();
    const listing = await online.list(MODEL, signal);
    const some = listing.files.filter(({ path }) => path !== "model.safetensors" && NEEDED.includes(path));
    await online.download(listing, some, { signal });
    await assert.rejects(
      downloadModel(hub, MODEL, { signal }),
      failsWith("not_found", /lacks model\.safetensors in the cache/),
    );
  });

  test("unreachable: the cache is used if it is complete; otherwise the error blames the network", async () => {
    const { workspace } = await withModel(WEIGHTS);
    await using _ = workspace;
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    const dead = await HubWorkspace.create();
    const { endpoint } = dead.fake;
    await dead[Symbol.asyncDispose]();
    const cached = await downloadModel(workspace.hub({ endpoint }), MODEL, { signal });
    assert.equal(cached.folder, folder);
    assert.match(cached.fromCache ?? "", /ECONNREFUSED/);
    const elsewhere = workspace.hub({ endpoint, cacheDir: workspace.path("other") });
    await assert.rejects(
      downloadModel(elsewhere, MODEL, { signal }),
      failsWith("unavailable", /cannot be reached .*ECONNREFUSED.*HF_HUB_OFFLINE/),
    );
  });

  test("files in a snapshot are links, and remain when the branch moves", async () => {
    const { workspace, repo } = await withModel(WEIGHTS);
    await using _ = workspace;
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    await repo.commit(await workspace.folder("other", { "config.json": "{}", "model.safetensors": "new" }));
    await downloadModel(workspace.hub(), MODEL, { signal });
    assert.ok((await lstat(join(folder, "model.safetensors"))).isSymbolicLink());
    assert.equal((await stat(join(folder, "model.safetensors"))).size, WEIGHTS.byteLength);
  });
});
