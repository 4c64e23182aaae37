import assert from "node:assert/strict";
import { test } from "node:test";
import { inferSplits, matchingFiles } from "../src/dataset-splits.js";
import type { RepoFile } from "../src/repo-files.js";

const filesOf = (paths: readonly string[]): RepoFile[] =>
  paths.map((path) => ({ path, sizeBytes: 1, blobId: "0".repeat(40) }));

/** Split → paths. */
function splitsOf(paths: string[], folder = ""): Record<string, string[]> {
  const files = filesOf(paths);
  return Object.fromEntries(
    [...inferSplits(files, folder)].map(([split, patterns]) => {
      const found = patterns.flatMap((pattern) => matchingFiles(files, folder, pattern));
      return [split, [...new Set(found)].map(({ path }) => path)];
    }),
  );
}

test("files without a hint are all train, in the order of their names", () => {
  assert.deepEqual(splitsOf([".gitattributes", "README.md", "file-2.json.gz", "file-1.json.gz", "b/.x/c.json"]), {
    train: ["file-1.json.gz", "file-2.json.gz"],
  });
});

test("shards say their split, and any name is one", () => {
  const shard = (split: string, i: number) => `data/${split}-0000${i}-of-00002.parquet`;
  const paths = [shard("extra", 0), shard("test", 0), shard("train", 1), shard("train", 0), "other/train.json"];
  assert.deepEqual(splitsOf(paths), {
    train: [shard("train", 0), shard("train", 1)],
    test: [shard("test", 0)],
    extra: [shard("extra", 0)],
  });
  assert.deepEqual(Object.keys(splitsOf(paths)), ["train", "test", "extra"]);
});

test("folders named after splits come before files named so", () => {
  assert.deepEqual(splitsOf(["train/a.json", "my-dev/b.json", "c/test.json"]), {
    train: ["train/a.json"],
    validation: ["my-dev/b.json"],
  });
});

test("files named after splits", () => {
  assert.deepEqual(splitsOf(["x/code_train_0.jsonl", "valid.jsonl", "eval-1.jsonl", "contest.jsonl"]), {
    train: ["x/code_train_0.jsonl"],
    validation: ["valid.jsonl"],
    test: ["eval-1.jsonl"],
  });
});

test("a config's folder is where its patterns start", () => {
  assert.deepEqual(splitsOf(["en/train.json", "de/train.json", "de/test.json"], "en"), { train: ["en/train.json"] });
});

test("hidden and special files count where they are named", () => {
  const files = filesOf([".h/a.json", "__s/a.json", "config.json", "a.json"]);
  const named = (pattern: string) => matchingFiles(files, "", pattern).map(({ path }) => path);
  assert.deepEqual(named("**"), ["a.json"]);
  assert.deepEqual(named(".h/*"), [".h/a.json"]);
  assert.deepEqual(named("__s/**"), ["__s/a.json"]);
  assert.deepEqual(named("config.json"), ["config.json"]);
});
