/** A process that has too many open files: opening a run's files fails in the way that runs wait for. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { TINY_CODER, Workspace } from "../src/index.js";

const OPENER = fileURLToPath(new URL("../src/open-with-no-files-left.js", import.meta.url));

test("too many open files are nothing wrong with a model", { skip: process.platform === "win32" }, async () => {
  await using workspace = await Workspace.create();
  const gguf = workspace.path("model.gguf");
  await writeFile(gguf, "GGUF");
  const args = ["-c", 'ulimit -n 64 && exec "$0" "$@"', process.execPath, OPENER, TINY_CODER, gguf];
  const { stdout, stderr } = spawnSync("sh", args, { encoding: "utf8" });
  assert.equal(stdout, "model: waits\ngguf: waits\ntokenizer: waits\n", stderr);
});
