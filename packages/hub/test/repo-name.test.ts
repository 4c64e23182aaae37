import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";
import { hubRepo, parseRepoName } from "../src/repo-name.js";

const short = (name: string, type: "model" | "dataset" = "model") => {
  const found = parseRepoName(name, type);
  return found && [found.id, found.revision, ...(found.pattern ? [found.pattern] : [])];
};

test("names of the hub", () => {
  assert.deepEqual(short("codeparrot/codeparrot-small"), ["codeparrot/codeparrot-small", "main"]);
  assert.deepEqual(short("codeparrot/codeparrot-small@v1.0"), ["codeparrot/codeparrot-small", "v1.0"]);
  assert.deepEqual(short("gpt2"), ["gpt2", "main"]);
  assert.deepEqual(short("org/name@refs/pr/3"), ["org/name", "refs/pr/3"]);
  assert.deepEqual(short("Qwen/Qwen2.5-0.5B"), ["Qwen/Qwen2.5-0.5B", "main"]);
  assert.deepEqual(short("hf://org/name@v1"), ["org/name", "v1"]);
});

test("the data set codeparrot has a short name", () => {
  assert.deepEqual(short("codeparrot", "dataset"), ["codeparrot/codeparrot-clean", "main"]);
  assert.deepEqual(short("codeparrot@abc", "dataset"), ["codeparrot/codeparrot-clean", "abc"]);
  assert.deepEqual(short("codeparrot"), ["codeparrot", "main"]);
});

test("hf:// names files of a data set, as in Python", () => {
  assert.deepEqual(short("hf://datasets/o/n/data/*.parquet", "dataset"), ["o/n", "main", "data/*.parquet"]);
  assert.deepEqual(short("hf://datasets/o/n@v2/a.jsonl", "dataset"), ["o/n", "v2", "a.jsonl"]);
  assert.deepEqual(short("hf://datasets/o/n@refs/convert/parquet/default/**", "dataset"), [
    "o/n",
    "refs/convert/parquet",
    "default/**",
  ]);
  assert.deepEqual(short("hf://datasets/o/n@refs%2Fpr%2F1/x", "dataset"), ["o/n", "refs/pr/1", "x"]);
});

test("paths are none", () => {
  for (const path of [
    "./a",
    "../a/b",
    "/a/b",
    "a/b/c",
    "a\\b",
    "data/*.jsonl",
    "train.jsonl",
    "data/train.jsonl",
    "",
  ]) {
    assert.equal(short(path, "dataset"), undefined, path);
  }
  for (const path of [
    "a--b/c",
    "a..b",
    "-a",
    "a.",
    "a.git",
    "a/b@",
    "a/b@../x",
    "a/b@/x",
    "a b",
    `a/${"b".repeat(97)}`,
  ]) {
    assert.equal(short(path), undefined, path);
  }
});

test("an invalid hf:// name is refused", () => {
  for (const wrong of ["hf://", "hf://a/b/c", "hf://datasets/", "hf://o/n@refs%2", "hf://o/n@a..b"]) {
    assert.throws(
      () => parseRepoName(wrong, wrong.includes("datasets") ? "dataset" : "model"),
      (error) => error instanceof GradpoolError && error.code === "invalid_argument",
      wrong,
    );
  }
});

test("a folder of the same name wins", async () => {
  const folder = mkdtempSync(join(tmpdir(), "gradpool-hub-"));
  const before = process.cwd();
  try {
    process.chdir(folder);
    mkdirSync("org/name", { recursive: true });
    assert.equal(await hubRepo("org/name", "model"), undefined);
    assert.equal((await hubRepo("org/other", "model"))?.id, "org/other");
    assert.equal((await hubRepo("hf://org/name", "model"))?.id, "org/name");
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});
