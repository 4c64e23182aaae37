import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { identityOf, isAlive } from "../src/index.js";

test("a process is alive until it ends, and another of its number is not it", async () => {
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await once(child, "spawn");
  const identity = identityOf(child.pid);
  assert.equal(isAlive(identity), true);
  assert.equal(isAlive({ ...identity, start_ticks: "1" }), process.platform !== "linux");
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(isAlive(identity), false);
});

test("a process of another machine is believed to be alive", () => {
  assert.equal(isAlive({ ...identityOf(), pid: 2 ** 22, host: "elsewhere" }), true);
});
