/** A service's life as a process. */
import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { authorizationOf, PoolKey } from "@gradpool/access";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const key = PoolKey.random();

function start(file: string, env: Record<string, string> = {}): ChildProcess {
  const options = { stdio: "ignore", env: { ...process.env, GRADPOOL_KEY: key.reveal(), ...env } } as const;
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

test("without an HTTP address there is no HTTP port, and one that cannot be had is an error", async () => {
  const child = start("./example-service.js", { GRADPOOL_HTTP_LISTEN: "127.0.0.1:70000" });
  const exit = once(child, "exit");
  const [message] = (await once(child, "message")) as [{ type: string; message: string }];
  assert.equal(message.type, "failed");
  assert.match(message.message, /^cannot listen for HTTP on 127\.0\.0\.1:70000: /);
  assert.deepEqual(await exit, [1, null]);
});

describe("the HTTP port", () => {
  const HTTP = { GRADPOOL_HTTP_LISTEN: "127.0.0.1:0" };

  /** Ends the service whatever happens. */
  async function withHttp(env: Record<string, string>, work: (url: string, child: ChildProcess) => Promise<void>) {
    const child = start("./example-service.js", { ...HTTP, ...env });
    const exit = once(child, "exit");
    try {
      const [message] = (await once(child, "message")) as [{ address: string; httpAddress: string }];
      assert.equal(message.address, "127.0.0.1:1");
      await work(`http://${message.httpAddress}`, child);
    } finally {
      child.kill("SIGKILL");
      await exit;
    }
  }

  async function get(
    url: string,
    headers: Record<string, string> = { authorization: authorizationOf(key) },
  ): Promise<[number, string]> {
    const response = await fetch(url, { headers });
    return [response.status, await response.text()];
  }

  test("answers metrics and probes, and what the service adds", async () => {
    await withHttp({}, async (url) => {
      assert.deepEqual(await get(`${url}/`), [200, "hello\n"]);
      assert.deepEqual(await get(`${url}/healthz`), [200, "ok\n"]);
      assert.deepEqual(await get(`${url}/readyz`), [200, "ready\n"]);
      const [status, metrics] = await get(`${url}/metrics`);
      assert.equal(status, 200);
      assert.match(metrics, /^nodejs_eventloop_lag_p99_seconds \S+$/m);
      assert.match(metrics, /^process_resident_memory_bytes \d+$/m);
      // Whoever probes has no key.
      const answers = ["/healthz", "/readyz", "/metrics", "/"].map(async (path) => (await get(`${url}${path}`, {}))[0]);
      assert.deepEqual(await Promise.all(answers), [200, 200, 401, 401]);
    });
  });

  test("is alive but not ready while a service it needs is unavailable", async () => {
    await withHttp({ EXAMPLE_LACKS: "tokenizer" }, async (url) => {
      assert.deepEqual(await get(`${url}/readyz`), [503, "not ready: tokenizer is unavailable\n"]);
      assert.deepEqual(await get(`${url}/healthz`), [200, "ok\n"]);
    });
  });

  test("is not ready, but answers, while it is stopping", async () => {
    await withHttp({ EXAMPLE_ENDS_LATE: "1" }, async (url, child) => {
      const exit = once(child, "exit");
      child.kill("SIGTERM");
      // The signal has to arrive first.
      while ((await get(`${url}/readyz`))[0] === 200) await delay(5);
      assert.deepEqual(await get(`${url}/readyz`), [503, "not ready: it is stopping\n"]);
      child.send("end");
      assert.deepEqual(await exit, [0, null]);
    });
  });
});

test("a second signal ends it at once", async () => {
  const child = start("./example-service.js", { EXAMPLE_HANGS: "stopping" });
  await once(child, "message");
  child.kill("SIGTERM");
  // The example says so when the first has arrived.
  await once(child, "message");
  child.kill("SIGINT");
  assert.deepEqual(await once(child, "exit"), [130, null]);
});

test("a signal ends it while it starts", async () => {
  const child = start("./example-service.js", { EXAMPLE_HANGS: "starting" });
  await once(child, "message");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [143, null]);
});

test("a service that does not end in time is ended", async () => {
  const child = start("./example-service.js", { EXAMPLE_HANGS: "stopping", GRADPOOL_STOP_GRACE_SECONDS: "1" });
  await once(child, "message");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [1, null]);
});

test("a service without a key does not start, and says what to set", async () => {
  const child = start("./example-service.js", { GRADPOOL_KEY: "", GRADPOOL_HOME: "/dev/null/none" });
  const exit = once(child, "exit");
  const [message] = (await once(child, "message")) as [{ code: string; message: string }];
  assert.equal(message.code, "invalid_argument");
  assert.match(message.message, /^GRADPOOL_KEY: [^\n]*GRADPOOL_KEY_FILE[^\n]*$/);
  assert.deepEqual(await exit, [1, null]);
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
