/** The same cache and the same rules as Python's huggingface_hub and datasets. Skipped if they are not installed. */
import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { downloadModel, listDatasetFiles } from "@gradpool/hub";
import { HubWorkspace, MODEL, modelFiles, NEEDED, noise, withModel } from "../src/hub-fixtures.js";
import { lacksPython, python } from "../src/python.js";

const { signal } = new AbortController();
const WEIGHTS = noise(200_000);
const withoutHub = { skip: await lacksPython("huggingface_hub") };
const withoutDatasets = { skip: await lacksPython("datasets") };

const environment = ({ fake, cacheDir }: HubWorkspace) => ({
  HF_ENDPOINT: fake.endpoint,
  HF_HUB_CACHE: cacheDir,
  HF_HUB_DISABLE_PROGRESS_BARS: "1",
});

test("Python finds, without a network, what gradpool downloaded", withoutHub, async () => {
  const { workspace } = await withModel(WEIGHTS);
  await using _ = workspace;
  const { folder, commit } = await downloadModel(workspace.hub(), MODEL, { signal });
  const found = await python(
    `import json
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
wanted = json.loads('${JSON.stringify(NEEDED)}')
folder = snapshot_download("${MODEL.id}", local_files_only=True, allow_patterns=wanted)
weights = hf_hub_download("${MODEL.id}", "model.safetensors", local_files_only=True)
cache = scan_cache_dir()
repo, = cache.repos
revision, = repo.revisions
print(json.dumps([folder, weights, len(cache.warnings), repo.repo_id, sorted(revision.refs), len(revision.files)]))`,
    environment(workspace),
  );
  assert.deepEqual(found, [folder, join(folder, "model.safetensors"), 0, MODEL.id, ["main"], NEEDED.length]);
  assert.ok(folder.endsWith(commit));
});

test("Python does not download again what gradpool has, and downloads the rest", withoutHub, async () => {
  const { workspace } = await withModel(WEIGHTS);
  await using _ = workspace;
  const { folder } = await downloadModel(workspace.hub(), MODEL, { signal });
  const before = workspace.fake.contentRequests("model.safetensors").length;
  const found = await python(
    `import json
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("${MODEL.id}")))`,
    environment(workspace),
  );
  assert.equal(found, folder);
  assert.equal(workspace.fake.contentRequests("model.safetensors").length, before);
  assert.equal(await readFile(join(folder, "modeling_tiny.py"), "utf8"), modelFiles(WEIGHTS)["modeling_tiny.py"]);
});

test("gradpool finds, without a network, what Python downloaded", withoutHub, async () => {
  const { workspace } = await withModel(WEIGHTS);
  await using _ = workspace;
  const folder = await python(
    `import json
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("${MODEL.id}")))`,
    environment(workspace),
  );
  const offline = workspace.hub({ offline: true });
  assert.equal((await downloadModel(offline, MODEL, { signal })).folder, folder);
  // Older versions of Python's client do not keep listings.
  await rm(join(workspace.cacheDir, "models--org--tiny/trees"), { recursive: true, force: true });
  assert.equal((await downloadModel(offline, MODEL, { signal })).folder, folder);

  const before = workspace.fake.requests.filter(({ at }) => at === "storage").length;
  assert.equal((await downloadModel(workspace.hub(), MODEL, { signal })).folder, folder);
  assert.equal(workspace.fake.requests.filter(({ at }) => at === "storage").length, before);
});

/** Names that contain splits, and some that only seem to. */
const WORDS = [
  "train",
  "training",
  "test",
  "dev",
  "val",
  "eval",
  "contest",
  "trainer",
  "data",
  "en",
  "part",
  ".x",
  "__y",
];
const SEPARATORS = ["-", "_", ".", " ", "0", ""];

/** A made-up repository: paths from a seed. */
function treeOf(seed: number): string[] {
  const bytes = noise(400, seed);
  let used = 0;
  const pick = <T>(from: readonly T[]): T => from[bytes[used++]! % from.length]!;
  const name = () => pick(WORDS) + (bytes[used]! % 2 ? pick(SEPARATORS) + pick(WORDS) : "");
  const shards = seed % 5 === 0 ? ["data/train-00000-of-00001.jsonl", "data/other.x-00000-of-00002-ab.jsonl"] : [];
  const others = Array.from({ length: 1 + (seed % 6) }, () => {
    const folders = Array.from({ length: bytes[used]! % 3 }, name);
    return [...folders, `${name()}.jsonl`].join("/");
  });
  return [...new Set([...shards, ...others])];
}

test("splits are recognized from names as in Python's datasets", withoutDatasets, async () => {
  await using workspace = await HubWorkspace.create();
  const seeds = Array.from({ length: 120 }, (_, seed) => seed);
  for (const seed of seeds) {
    const files = Object.fromEntries(treeOf(seed).map((path) => [path, "{}\n"]));
    const folder = await workspace.folder(`trees/${seed}`, files);
    await workspace.fake.create("dataset", `org/d${seed}`).commit(folder);
  }
  const expected = (await python(
    `import json, os
from datasets.data_files import get_data_patterns, resolve_pattern
result = []
for seed in range(${seeds.length}):
    base = os.path.join(${JSON.stringify(workspace.path("trees"))}, str(seed))
    splits = {}
    try:
        for split, patterns in get_data_patterns(base).items():
            files = []
            for pattern in patterns:
                try:
                    files += resolve_pattern(pattern, base)
                except FileNotFoundError:
                    pass
            splits[str(split)] = list(dict.fromkeys(os.path.relpath(file, base) for file in files))
    except FileNotFoundError:
        pass
    result.append(splits)
print(json.dumps(result))`,
  )) as Record<string, string[]>[];

  const several = expected.filter((splits) => Object.keys(splits).length > 1);
  assert.ok(several.length > seeds.length / 10, `only ${several.length} have more than one split`);
  const hub = workspace.hub();
  for (const seed of seeds) {
    const repo = { type: "dataset", id: `org/d${seed}`, revision: "main" } as const;
    const found: Record<string, string[]> = {};
    for (const split of new Set(["train", "validation", "test", ...Object.keys(expected[seed]!)])) {
      try {
        const { files } = await listDatasetFiles(hub, repo, { split }, signal);
        found[split] = files.map(({ path }) => path);
      } catch (error) {
        assert.ok(error instanceof GradpoolError && error.code === "not_found", String(error));
      }
    }
    assert.deepEqual(found, expected[seed], treeOf(seed).join("\n"));
  }
});
