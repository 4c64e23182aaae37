/** Data sets on a hub: which files a split has, and that their bytes arrive whatever happens on the way. */
import assert from "node:assert/strict";
import { mkdir, symlink } from "node:fs/promises";
import { describe, test } from "node:test";
import {
  datasetResolver,
  hubRepo,
  hubSettings,
  listDatasetFiles,
  type ByteSource,
  type DatasetSelection,
  type Hub,
} from "@gradpool/hub";
import type { Fault, FakeRepo } from "@gradpool/integration-tests";
import { failsWith, gate, HubWorkspace, noise } from "../src/hub-fixtures.js";

const { signal } = new AbortController();
const SHARD = noise(1_500_000);

async function list(hub: Hub, name: string, selection: DatasetSelection = {}) {
  const repo = await hubRepo(name, "dataset");
  assert.ok(repo);
  return listDatasetFiles(hub, repo, selection, signal);
}

const paths = async (...args: Parameters<typeof list>) => (await list(...args)).files.map(({ path }) => path);

async function bytesOf(source: ByteSource, start = 0, end?: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source.read({ start, ...(end === undefined ? {} : { end }), signal })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A data set like codeparrot's: shards in LFS, and no information about splits. */
async function withShard(): Promise<{ workspace: HubWorkspace; repo: FakeRepo; source: ByteSource }> {
  const workspace = await HubWorkspace.create();
  const repo = workspace.fake.create("dataset", "codeparrot/codeparrot-clean");
  const files = { "file-000000000001.json.gz": SHARD, "README.md": "# code\n", ".gitattributes": "*.gz\n" };
  await repo.commit(await workspace.folder("shards", files));
  const [file] = (await list(workspace.hub(), "codeparrot")).files;
  assert.ok(file);
  return { workspace, repo, source: file.source };
}

describe("the files of a split", () => {
  test("codeparrot: all shards are train, over several pages", async () => {
    await using workspace = await HubWorkspace.create({ pageFiles: 7 });
    const names = Array.from({ length: 54 }, (_, i) => `file-${String(i + 1).padStart(12, "0")}.json.gz`);
    const files = Object.fromEntries([...names, "README.md", ".gitattributes"].map((name) => [name, name]));
    const commit = await workspace.fake
      .create("dataset", "codeparrot/codeparrot-clean")
      .commit(await workspace.folder("shards", files));
    const found = await list(workspace.hub(), "codeparrot");
    assert.deepEqual(
      found.files.map(({ path }) => path),
      names,
    );
    assert.equal(found.commit, commit);
    const [first] = found.files;
    assert.equal(first?.source.name, `codeparrot/codeparrot-clean/${names[0]}`);
    assert.equal(first?.source.sizeBytes, names[0]?.length);
    assert.match(first?.source.version ?? "", new RegExp(`^${commit}/[0-9a-f]{64}$`));
    await assert.rejects(
      list(workspace.hub(), "codeparrot", { split: "test" }),
      failsWith("not_found", /no split test; choose one of train/),
    );
  });

  test("the card's configs take precedence over names; kinds of data are not mixed", async () => {
    await using workspace = await HubWorkspace.create();
    const repo = workspace.fake.create("dataset", "org/data");
    const files = {
      "README.md": "---\nconfigs:\n- config_name: a\n  data_files: x/*\n- config_name: b\n  data_dir: y\n---\n",
      "x/1.csv": "1",
      "x/2.csv": "2",
      "x/notes.txt": "3",
      "y/train.jsonl": "4",
      "y/test.jsonl": "5",
    };
    await repo.commit(await workspace.folder("d", files));
    const hub = workspace.hub();
    assert.deepEqual(await paths(hub, "org/data", { config: "a" }), ["x/1.csv", "x/2.csv"]);
    assert.deepEqual(await paths(hub, "org/data", { config: "b", split: "test" }), ["y/test.jsonl"]);
    assert.deepEqual(await paths(hub, "org/data", { patterns: ["**/*.txt"] }), ["x/notes.txt"]);
    assert.deepEqual(await paths(hub, "hf://datasets/org/data/y/*"), ["y/test.jsonl", "y/train.jsonl"]);
    await assert.rejects(list(hub, "org/data"), failsWith("invalid_argument", /several configs; choose one of a, b/));
    await assert.rejects(
      list(hub, "org/data", { patterns: ["z/*"] }),
      failsWith("not_found", /no file that matches z\/\*/),
    );
  });

  test("the most frequent extension decides the kind, as datasets 5.2 counts", async () => {
    await using workspace = await HubWorkspace.create();
    const kinds = async (id: string, names: string[]) => {
      const files = Object.fromEntries(names.map((name) => [name, "1"]));
      await workspace.fake.create("dataset", id).commit(await workspace.folder(id.replace("/", "-"), files));
      return paths(workspace.hub(), id);
    };
    // Two .csv files beat one .jsonl and one .json; in a tie .jsonl wins, together with .json.
    assert.deepEqual(await kinds("org/most", ["a.jsonl", "b.json", "c.csv", "d.csv"]), ["c.csv", "d.csv"]);
    assert.deepEqual(await kinds("org/draw", ["a.csv", "b.json", "c.jsonl"]), ["b.json", "c.jsonl"]);
    assert.deepEqual(await kinds("org/first", ["a.csv", "b.parquet"]), ["b.parquet"]);
  });

  test("one of several splits, and never train in place of held-out data", async () => {
    await using workspace = await HubWorkspace.create();
    const splitOf = async (id: string, names: string[], split = "validation|valid|val|dev|test") => {
      const files = Object.fromEntries(names.map((name) => [name, "1"]));
      await workspace.fake.create("dataset", id).commit(await workspace.folder(id.replace("/", "-"), files));
      const found = await list(workspace.hub(), id, { split });
      return [found.split, found.files.map(({ path }) => path)];
    };
    const all = ["train.jsonl", "test.jsonl", "dev.jsonl"];
    assert.deepEqual(await splitOf("org/three", all), ["validation", ["dev.jsonl"]]);
    assert.deepEqual(await splitOf("org/two", all.slice(0, 2)), ["test", ["test.jsonl"]]);
    assert.deepEqual(await splitOf("org/named", all, "test"), ["test", ["test.jsonl"]]);
    const shards = ["data/train-00000-of-00001.jsonl", "data/val-00000-of-00001.jsonl"];
    assert.deepEqual(await splitOf("org/shards", shards), ["val", shards.slice(1)]);
    const message =
      /no split validation, .*test to evaluate on; name one of train with --eval_split, or .*--eval_fraction 0\.05$/;
    await assert.rejects(splitOf("org/one", ["a.jsonl", "b.jsonl"]), failsWith("not_found", message));
  });

  test("of a folder, where one is asked for", async () => {
    await using workspace = await HubWorkspace.create();
    const folderOf = (name: string, names: string[]) =>
      workspace.folder(name, Object.fromEntries(names.map((path) => [path, "1"])));
    const open = async (path: string) => path;
    const resolve = (source: string, selection: { split?: string; needsSplit?: boolean }) =>
      datasetResolver(hubSettings({}), selection, open)(source, signal);
    const heldOut = { split: "validation|valid|val|dev|test" };
    const rows = await folderOf("rows", [
      "README.md",
      "LICENSE",
      "train/a.csv",
      "train/b.csv",
      "test/c.csv",
      ".cache/x.bin",
    ]);
    assert.deepEqual(await resolve(rows, heldOut), [`${rows}/test/c.csv`]);
    assert.deepEqual(await resolve(rows, { split: "train" }), [`${rows}/train/a.csv`, `${rows}/train/b.csv`]);
    // As a whole, as ever.
    assert.equal(await resolve(rows, {}), undefined);
    await assert.rejects(
      resolve(rows, { split: "dev", needsSplit: true }),
      failsWith("not_found", /rows has no split dev; choose one of train, test$/),
    );
    const trained = await folderOf("trained", ["train.jsonl", "notes.md"]);
    await assert.rejects(resolve(trained, heldOut), failsWith("not_found", /to evaluate on; name one of train with/));
    // Names that are not splits: the folder is what is held out.
    const plain = await folderOf("plain", ["a.jsonl", "b.jsonl"]);
    assert.equal(await resolve(plain, heldOut), undefined);
    await assert.rejects(
      resolve(plain, { split: "test", needsSplit: true }),
      failsWith("not_found", /plain has no splits, so no test; .*--eval_fraction/),
    );
    await assert.rejects(
      resolve(`${plain}/a.jsonl`, { split: "test", needsSplit: true }),
      failsWith("not_found", /a\.jsonl has no splits/),
    );
    const programs = await folderOf("programs", ["a.py", "test/b.json", "test/c.py"]);
    assert.equal(await resolve(programs, heldOut), undefined);
  });

  test("a repository without data says what it has", async () => {
    await using workspace = await HubWorkspace.create();
    await workspace.fake
      .create("dataset", "org/script")
      .commit(await workspace.folder("s", { "script.py": "raise SystemExit\n" }));
    await workspace.fake
      .create("dataset", "org/images")
      .commit(await workspace.folder("i", { "a.png": "", "b.png": "" }));
    const hub = workspace.hub();
    await assert.rejects(list(hub, "org/script"), failsWith("not_found", /loading scripts are never run/));
    await assert.rejects(
      list(hub, "org/images"),
      failsWith("not_found", /no data in a supported format \(found \.png\)/),
    );
  });
});

describe("the bytes of a file", () => {
  test("arrive for any range, and nothing is downloaded as a whole", async () => {
    const { workspace, source } = await withShard();
    await using _ = workspace;
    assert.deepEqual(await bytesOf(source), SHARD);
    assert.deepEqual(await bytesOf(source, 1_000_000), SHARD.subarray(1_000_000));
    assert.deepEqual(await bytesOf(source, 100, 200), SHARD.subarray(100, 200));
    assert.deepEqual(await bytesOf(source, 1_499_999, 9_999_999), SHARD.subarray(1_499_999));
    assert.deepEqual(await bytesOf(source, SHARD.byteLength), Buffer.alloc(0));
    const ranges = workspace.fake.contentRequests("file-000000000001.json.gz").filter(({ at }) => at === "storage");
    assert.deepEqual(
      ranges.map(({ range }) => range),
      [undefined, "bytes=1000000-1499999", "bytes=100-199", "bytes=1499999-1499999"],
    );
  });

  const faults: Record<string, Fault[]> = {
    "broken connections": [{ on: /file-/, kind: "cut", afterBytes: 300_000, times: 4 }],
    "broken connections of a server without ranges": [
      { on: /file-/, kind: "no-range" },
      { on: /file-/, kind: "cut", afterBytes: 900_000, times: 2 },
    ],
    "early ends": [{ on: /file-/, kind: "truncate", afterBytes: 200_000, times: 3 }],
    "429, 500 and 503": [429, 500, 503].map((status) => ({ on: /file-/, kind: "status", status, times: 1 })),
  };
  for (const [name, switched] of Object.entries(faults)) {
    test(`arrive in spite of ${name}`, async () => {
      const { workspace, source } = await withShard();
      await using _ = workspace;
      for (const fault of switched) workspace.fake.inject(fault);
      assert.deepEqual(await bytesOf(source, 777), SHARD.subarray(777));
    });
  }

  test("arrive in spite of a sender that stops", async () => {
    const { workspace } = await withShard();
    await using _ = workspace;
    const hub = workspace.hub({ timing: { responseMs: 20_000, stallMs: 400, backoffMs: 5 } });
    const [file] = (await list(hub, "codeparrot")).files;
    const never = gate();
    workspace.fake.inject({ on: /file-/, kind: "hold", afterBytes: 400_000, until: never.opened, times: 1 });
    assert.deepEqual(await bytesOf(file!.source), SHARD);
  });

  test("end with a one-line error when the file changes, between reads or in the middle of one", async () => {
    const { workspace, repo, source } = await withShard();
    await using _ = workspace;
    const iterator = source.read({ start: 0, signal });
    const cut = gate();
    workspace.fake.inject({ on: /file-/, kind: "cut", afterBytes: 500_000, when: cut.opened, times: 1 });
    const first = await iterator.next();
    assert.ok(!first.done);
    await repo.swap("file-000000000001.json.gz", noise(SHARD.byteLength, 2));
    cut.open();
    const changed = failsWith(
      "failed_precondition",
      /file-000000000001\.json\.gz of codeparrot\/codeparrot-clean changed since the hub listed it; start again/,
    );
    await assert.rejects(async () => {
      for await (const chunk of iterator) assert.ok(chunk.byteLength > 0);
    }, changed);
    await assert.rejects(bytesOf(source, 5), changed);
  });

  test("end with a one-line error when the file is gone, or the hub fails permanently", async () => {
    const { workspace, source } = await withShard();
    await using _ = workspace;
    workspace.fake.inject({
      on: /file-/,
      kind: "status",
      status: 404,
      headers: { "x-error-code": "EntryNotFound" },
      times: 1,
    });
    await assert.rejects(bytesOf(source), failsWith("not_found", /has no file file-000000000001\.json\.gz/));
    workspace.fake.inject({ on: /file-/, kind: "truncate", afterBytes: 0 });
    await assert.rejects(bytesOf(source), failsWith("data_loss", /is truncated at byte 0 of 1500000/));
  });

  test("stop arriving when the reader stops", async () => {
    const { workspace, source } = await withShard();
    await using _ = workspace;
    for await (const chunk of source.read({ start: 0, signal })) {
      assert.ok(chunk.byteLength > 0);
      break;
    }
    const controller = new AbortController();
    await assert.rejects(
      async () => {
        for await (const _chunk of source.read({ start: 0, signal: controller.signal })) controller.abort();
      },
      { name: "AbortError" },
    );
  });

  test("come from the cache if it has the file, even offline", async () => {
    const { workspace, source } = await withShard();
    await using _ = workspace;
    const hub = workspace.hub();
    const listing = await hub.list((await hubRepo("codeparrot", "dataset"))!, signal);
    const offline = workspace.hub({ offline: true });
    await assert.rejects(list(offline, "codeparrot"), failsWith("not_found", /lacks (README|file).* in the cache/));
    await hub.download(listing, listing.files, { signal });
    const before = workspace.fake.requests.length;
    const [file] = (await list(offline, "codeparrot")).files;
    assert.deepEqual(await bytesOf(file!.source, 10, 1_400_000), SHARD.subarray(10, 1_400_000));
    assert.equal(file!.source.version, source.version);
    assert.equal(workspace.fake.requests.length, before);
  });
});

test("a listing with a path outside its folder is refused", async () => {
  await using workspace = await HubWorkspace.create();
  const repo = workspace.fake.create("dataset", "org/evil");
  await repo.commit(await workspace.folder("e", { "a\\..\\b.json": "{}" }));
  await assert.rejects(list(workspace.hub(), "org/evil"), failsWith("data_loss", /names a file/));
});

test("a link as the cache folder is followed, as in Python", async () => {
  const { workspace } = await withShard();
  await using _ = workspace;
  await mkdir(workspace.path("real"));
  await symlink(workspace.path("real"), workspace.path("linked"));
  const hub = workspace.hub({ cacheDir: workspace.path("linked") });
  const listing = await hub.list((await hubRepo("codeparrot", "dataset"))!, signal);
  await hub.download(listing, listing.files, { signal });
  const [file] = (await list(workspace.hub({ cacheDir: workspace.path("real"), offline: true }), "codeparrot")).files;
  assert.deepEqual(await bytesOf(file!.source), SHARD);
});
