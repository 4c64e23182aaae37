/** A service's life as a process. */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

function start(file: string, env: Record<string, string> = {}): ChildProcess {
  const options = { stdio: "ignore", env: { ...process.env, ...env } } as const;
  return fork(fileURLToPath(new URL(file, import.meta.url)), {
    ...options,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
}

test("says where it listens, and ends cleanly on SIGTERM", async () => {
  const child = start("./example-service.js");
  const [message] = (await once(child, "message")) as [unknown];
  assert.deepEqual(message, { type: "ready", address: "127.0.0.1:1" });
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("a service that cannot start says why in one line and exits with 1", async () => {
  const child = start("./example-service.js", { EXAMPLE_FAILS: "1" });
  const exit = once(child, "exit");
  const [message] = (await once(child, "message")) as [unknown];
  assert.deepEqual(message, { type: "failed", code: "unavailable", message: "the port is taken; choose another" });
  assert.deepEqual(await exit, [1, null]);
});

for (const hangs of ["", "starting", "stopping"]) {
  test(`ends when its parent is killed${hangs && `, even when it hangs ${hangs}`}`, async () => {
    const parent = start("./example-parent.js", { EXAMPLE_HANGS: hangs });
    const [{ pid }] = (await once(parent, "message")) as [{ pid: number }];
    assert.ok(isAlive(pid));
    parent.kill("SIGKILL");
    while (isAlive(pid)) await delay(20);
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
