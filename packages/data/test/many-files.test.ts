/** A process that has too many open files: what reads data waits, since that passes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const READER = fileURLToPath(new URL("./many-files.js", import.meta.url));

test("too many open files are not a lack of permission", { skip: process.platform === "win32" }, () => {
  const args = ["-c", 'ulimit -n 64 && exec "$0" "$@"', process.execPath, READER, READER];
  const { stdout, stderr } = spawnSync("sh", args, { encoding: "utf8" });
  assert.equal(stdout, `unavailable: cannot open ${READER}: too many open files; raise the limit (ulimit -n)`, stderr);
});
