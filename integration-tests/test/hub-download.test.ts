/** Models from a hub: which files come, where they lie, and what a download survives. */
import assert from "node:assert/strict";
import { lstat, mkdir, readdir, readFile, readlink, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { GradpoolError, type ErrorCode } from "@gradpool/errors";
import { downloadModel, type DownloadProgress, type Hub, type Repo } from "@gradpool/hub";
import {
  gate,
  HubWorkspace,
  MODEL,
  modelFiles,
  NEEDED,
  noise,
  sha256File,
  type Fault,
  type FakeRepo,
} from "@gradpool/integration-tests";

const { signal } = new AbortController();
const WEIGHTS = noise(1_000_000);

async function withModel(): Promise<{ workspace: HubWorkspace; repo: FakeRepo; commit: string }> {
  const workspace = await HubWorkspace.create({ token: "hf_good" });
  const repo = workspace.fake.create("model", MODEL.id);
  const commit = await repo.commit(await workspace.folder("model", modelFiles(WEIGHTS)));
  return { workspace, repo, commit };
}

const failsWith = (code: ErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof GradpoolError, String(error));
  assert.match(error.message, message);
  assert.equal(error.code, code);
  assert.ok(!error.message.includes("\n") && !error.message.includes("signature"), error.message);
  return true;
};

const repoFolder = (workspace: HubWorkspace) => join(workspace.cacheDir, "models--org--tiny");

async function unfinished(workspace: HubWorkspace): Promise<string[]> {
  const names = await readdir(repoFolder(workspace), { recursive: true });
  return names.filter((name) => /\.(incomplete|tmp)$/.test(name));
}

describe("a download", () => {
  test("brings what a model needs, laid out as Python's huggingface_hub lays it out", async () => {
    const { workspace, commit } = await withModel();
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

  test("asks for no file twice", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    await downloadModel(workspace.hub(), MODEL, { signal });
    await downloadModel(workspace.hub(), MODEL, { signal });
    for (const path of NEEDED) {
      const got = workspace.fake.contentRequests(path).filter(({ at }) => at === "hub");
      assert.equal(got.length, 1, path);
    }
  });

  test("follows a branch that moves, and shares what did not change", async () => {
    const { workspace, repo, commit } = await withModel();
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

  test("takes the shards that an index names", async () => {
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

  test("takes pytorch_model.bin where there are no safetensors, and says where there is neither", async () => {
    await using workspace = await HubWorkspace.create();
    const repo = workspace.fake.create("model", MODEL.id);
    const { "model.safetensors": _, ...files } = modelFiles(WEIGHTS);
    await repo.commit(await workspace.folder("m", files));
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    assert.ok((await readdir(folder)).includes("pytorch_model.bin"));
    await repo.commit(await workspace.folder("n", { "config.json": "{}", "model.gguf": "x" }));
    await assert.rejects(downloadModel(workspace.hub(), MODEL, { signal }), failsWith("not_found", /safetensors/));
  });

  test("notices a blob of the wrong size, and gets it again", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    await truncate(join(folder, "model.safetensors"), 1000);
    await downloadModel(workspace.hub(), MODEL, { signal });
    assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
  });

  test("that is broken off leaves what came to the next one", async () => {
    const { workspace } = await withModel();
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

  test("that others of the same process make as well is made once", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    const hub = workspace.hub();
    const all = await Promise.all([hub, hub, workspace.hub()].map((one) => downloadModel(one, MODEL, { signal })));
    assert.equal(new Set(all.map(({ folder }) => folder)).size, 1);
    assert.equal(workspace.fake.contentRequests("model.safetensors").filter(({ at }) => at === "storage").length, 1);
  });
});

describe("a download gets through", () => {
  const faults: Record<string, Fault[]> = {
    "connections that break": [
      { on: /model\.safetensors/, kind: "cut", afterBytes: 250_000, times: 2 },
      { on: /config\.json/, kind: "cut", afterBytes: 3, times: 2 },
    ],
    "connections that break where no part can be asked for": [
      { on: /model\.safetensors/, kind: "no-range" },
      { on: /model\.safetensors/, kind: "cut", afterBytes: 600_000, times: 2 },
    ],
    "HTTP 429 with Retry-After": [{ on: /./, kind: "status", status: 429, headers: { "retry-after": "0" }, times: 3 }],
    "HTTP 500 and 503 of the hub": [
      { on: /\/api\//, kind: "status", status: 500, times: 2 },
      { on: /resolve/, kind: "status", status: 503, times: 3 },
    ],
    "HTTP 502 of the storage": [{ on: /./, at: "storage", kind: "status", status: 502, times: 3 }],
    "answers that end early": [{ on: /model\.safetensors/, kind: "truncate", afterBytes: 400_000, times: 2 }],
    "a damaged transfer": [{ on: /model\.safetensors/, kind: "damage", atByte: 777_777, times: 1 }],
  };
  for (const [name, switched] of Object.entries(faults)) {
    test(name, async () => {
      const { workspace } = await withModel();
      await using _ = workspace;
      for (const fault of switched) workspace.fake.inject(fault);
      const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
      assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
      assert.deepEqual((await readdir(folder)).sort(), NEEDED);
      assert.deepEqual(await unfinished(workspace), []);
    });
  }

  test("a sender that stops, and one that drips", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    const never = gate();
    workspace.fake.inject({
      on: /model\.safetensors/,
      kind: "hold",
      afterBytes: 300_000,
      until: never.opened,
      times: 1,
    });
    workspace.fake.inject({ on: /model\.safetensors/, kind: "drip", bytes: 1, everyMs: 10, times: 1 });
    const hub = workspace.hub({ timing: { responseMs: 20_000, stallMs: 400, backoffMs: 5 } });
    const { folder } = await downloadModel(hub, MODEL, { signal });
    assert.deepEqual(await readFile(join(folder, "model.safetensors")), WEIGHTS);
    const ranges = workspace.fake.contentRequests("model.safetensors").filter(({ at }) => at === "storage");
    assert.ok(ranges.length >= 3);
  });

  test("a hub that does not answer at first", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    workspace.fake.inject({ on: /revision/, kind: "silence", times: 1 });
    const hub = workspace.hub({ timing: { responseMs: 1000, stallMs: 20_000, backoffMs: 5 } });
    // The rest may take longer than that on a busy machine, and is tried again.
    assert.ok((await downloadModel(hub, MODEL, { signal })).folder);
  });
});

describe("a download ends with one line that says what to do:", () => {
  const attempt = (hub: Hub, repo: Repo = MODEL) => downloadModel(hub, repo, { signal });
  const cases: Record<string, { fault: Fault; code: ErrorCode; message: RegExp }> = {
    "a wrong ETag": {
      fault: { on: /model\.safetensors/, kind: "etag", etag: "ab".repeat(32) },
      code: "failed_precondition",
      message: /model\.safetensors of org\/tiny is not what the hub listed.*start again/,
    },
    "content that is damaged each time": {
      fault: { on: /model\.safetensors/, kind: "damage", atByte: 5 },
      code: "data_loss",
      message: /model\.safetensors of org\/tiny arrives damaged.*try again later/,
    },
    "answers that always end early": {
      fault: { on: /config\.json/, kind: "truncate", afterBytes: 4 },
      code: "data_loss",
      message: /config\.json of org\/tiny ends at byte \d+ of 23/,
    },
    "HTTP 429 without an end": {
      fault: { on: /resolve/, kind: "status", status: 429 },
      code: "resource_exhausted",
      message: /limits requests \(HTTP 429\).*set HF_TOKEN/,
    },
    "a pause that is too long": {
      fault: { on: /resolve/, kind: "status", status: 429, headers: { "retry-after": "3600" } },
      code: "resource_exhausted",
      message: /pause of 3600 s/,
    },
    "HTTP 500 without an end": {
      fault: { on: /resolve/, kind: "status", status: 500 },
      code: "unavailable",
      message: /fails \(HTTP 500\).*try again later/,
    },
    "HTTP 403 of the storage": {
      fault: { on: /./, at: "storage", kind: "status", status: 403 },
      code: "permission_denied",
      message: /denies the files of org\/tiny/,
    },
    "a redirect to nowhere": {
      fault: { on: /resolve/, kind: "status", status: 302, headers: { location: "ftp://storage/x" } },
      code: "unavailable",
      message: /redirects to an unprotected address/,
    },
    "redirects in a circle": {
      fault: { on: /./, kind: "status", status: 307, headers: { location: "/again" } },
      code: "unavailable",
      message: /redirects without an end/,
    },
  };
  for (const [name, { fault, code, message }] of Object.entries(cases)) {
    test(name, async () => {
      const { workspace } = await withModel();
      await using _ = workspace;
      workspace.fake.inject(fault);
      await assert.rejects(attempt(workspace.hub()), failsWith(code, message));
    });
  }

  test("names and revisions that are not there", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    const [none, other] = [
      { ...MODEL, id: "org/none" },
      { ...MODEL, revision: "v9" },
    ];
    await assert.rejects(attempt(workspace.hub(), none), failsWith("not_found", /org\/none.*set HF_TOKEN/));
    const known = workspace.hub({ token: "hf_good" });
    await assert.rejects(attempt(known, none), failsWith("not_found", /no model org\/none; check the name/));
    await assert.rejects(attempt(workspace.hub(), other), failsWith("not_found", /no branch, tag or commit v9/));
  });

  test("private and gated repositories", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    for (const access of ["private", "gated"] as const) {
      const repo = workspace.fake.create("model", `org/${access}`, { access });
      await repo.commit(workspace.path("model"));
    }
    const [hidden, gated] = [
      { ...MODEL, id: "org/private" },
      { ...MODEL, id: "org/gated" },
    ];
    const [stranger, wrong, known] = [{}, { token: "hf_bad" }, { token: "hf_good" }].map((one) => workspace.hub(one));
    await assert.rejects(attempt(stranger!, hidden), failsWith("not_found", /private.*set HF_TOKEN/));
    await assert.rejects(attempt(stranger!, gated), failsWith("permission_denied", /gated; accept its terms at http/));
    await assert.rejects(
      attempt(wrong!, hidden),
      failsWith("permission_denied", /does not know the token in HF_TOKEN/),
    );
    for (const repo of [hidden, gated]) assert.ok((await attempt(known!, repo)).folder);
  });

  test("a cache that cannot be written", async () => {
    const { workspace } = await withModel();
    await using _ = workspace;
    await mkdir(workspace.cacheDir);
    await writeFile(repoFolder(workspace), "in the way");
    const message = /models--org--tiny is no folder of a cache/;
    await assert.rejects(attempt(workspace.hub()), failsWith("failed_precondition", message));
  });
});

test("the token goes to the hub alone, never to where it redirects", async () => {
  const { workspace } = await withModel();
  await using _ = workspace;
  await downloadModel(workspace.hub({ token: "hf_good" }), MODEL, { signal });
  const sent = (at: string) => workspace.fake.requests.filter((one) => one.at === at).map((one) => one.authorization);
  assert.deepEqual(new Set(sent("hub")), new Set(["Bearer hf_good"]));
  assert.deepEqual(new Set(sent("storage")), new Set([undefined]));
});

describe("without the hub", () => {
  test("offline: the cache is used, and no request made", async () => {
    const { workspace, commit } = await withModel();
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
    const { workspace } = await withModel();
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

  test("unreachable: the cache is used where it has all, else the network is to blame", async () => {
    const { workspace } = await withModel();
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

  test("what is in the snapshot is a link, and lasts when the branch moves", async () => {
    const { workspace, repo } = await withModel();
    await using _ = workspace;
    const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
    await repo.commit(await workspace.folder("other", { "config.json": "{}", "model.safetensors": "new" }));
    await downloadModel(workspace.hub(), MODEL, { signal });
    assert.ok((await lstat(join(folder, "model.safetensors"))).isSymbolicLink());
    assert.equal((await stat(join(folder, "model.safetensors"))).size, WEIGHTS.byteLength);
  });
});
