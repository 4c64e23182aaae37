/** A pool of another machine that is reached through a proxy, which loses connections, refuses them, or is gone. */
import assert from "node:assert/strict";
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { gradpool, LocalPool, tinyRun, Workspace } from "@gradpool/integration-tests";
import { BIN } from "../src/cli.js";
import { ProxyServer } from "../src/proxy-server.js";

/** From Ctrl-C to the end of a command. */
const LONGEST_END_MS = 5_000;
/** Only the proxy knows where this is. */
const NAME = "pool.example";
const HOSTS = { [NAME]: "127.0.0.1" };

describe("through a proxy", { timeout: 200_000 }, () => {
  let workspace: Workspace;
  let pool: LocalPool;
  let remote: { address: string; env: Record<string, string> };

  before(async () => {
    workspace = await Workspace.create();
    const certs = workspace.path("certs");
    const made = await gradpool(["certs", "init", "--dir", certs, "--host", NAME], workspace.path());
    assert.equal(made.code, 0, made.stderr);
    const tlsOf = (name: string) => [`${certs}/ca.crt`, `${certs}/${name}.crt`, `${certs}/${name}.key`] as const;
    const [ca, cert, key] = tlsOf("server");
    pool = await LocalPool.start(workspace.path("home"), ["--tls_ca", ca, "--tls_cert", cert, "--tls_key", key]);
    const address = `${NAME}:${pool.address.split(":")[1]}`;
    const [GRADPOOL_TLS_CA, GRADPOOL_TLS_CERT, GRADPOOL_TLS_KEY] = tlsOf("client");
    const env = { GRADPOOL_ADDRESS: address, GRADPOOL_KEY: pool.key.reveal() };
    remote = { address, env: { ...env, GRADPOOL_TLS_CA, GRADPOOL_TLS_CERT, GRADPOOL_TLS_KEY } };
  });
  after(async () => {
    await pool[Symbol.asyncDispose]();
    await workspace[Symbol.asyncDispose]();
  });

  const call = (command: string[], env: Record<string, string>) =>
    gradpool(command, workspace.path("elsewhere"), { ...remote.env, ...env });
  const start = (command: string[], env: Record<string, string>): ChildProcessByStdio<null, Readable, Readable> =>
    spawn(process.execPath, [BIN, ...command], {
      env: { ...process.env, GRADPOOL_HOME: workspace.path("elsewhere"), NO_COLOR: "1", ...remote.env, ...env },
      cwd: workspace.path(),
      stdio: ["ignore", "pipe", "pipe"],
    });
  const submit = async (rows: number) =>
    pool.submit(tinyRun(await workspace.dataset(rows), workspace.path(`out-${rows}`), { epochs: 1 }));

  test("grpc_proxy leads to another machine, encrypted from end to end, and never to this one", async () => {
    await using proxy = await ProxyServer.start({ hosts: HOSTS });
    const env = { grpc_proxy: proxy.url.replace("http://", "http://user:s3cret@") };
    const status = await call(["pool", "status"], env);
    assert.equal(status.code, 0, status.stderr);
    assert.deepEqual(new Set(proxy.requests), new Set([`CONNECT ${remote.address}`]));
    const doctor = await call(["doctor"], env);
    assert.ok(
      doctor.stdout.includes(`${remote.address} through the proxy ${proxy.url} (grpc_proxy) answers`),
      doctor.stdout,
    );
    const check = await gradpool(["config", "check"], workspace.path("elsewhere"), { ...env, no_proxy: ".corp" });
    const expected = `calls to pools go through ${proxy.url} (grpc_proxy), except to this machine and .corp`;
    assert.ok(check.stdout.includes(expected), check.stdout);
    assert.doesNotMatch(status.stderr + doctor.stdout + check.stdout, /s3cret/);
    const asked = proxy.requests.length;
    assert.equal((await call(["pool", "status"], { ...env, GRADPOOL_ADDRESS: pool.address })).code, 0);
    const direct = await call(["run", "list"], { ...env, no_proxy: NAME });
    assert.match(direct.stderr, new RegExp(`^gradpool: no pool answers at ${remote.address}; [^\n]*\n$`));
    assert.equal(proxy.requests.length, asked);
  });

  test("a proxy that drops connections interrupts no watching", async () => {
    await using proxy = await ProxyServer.start({ hosts: HOSTS });
    const runId = await submit(24);
    const watching = start(["run", "watch", runId], { grpc_proxy: proxy.url });
    const [stdout, stderr] = [text(watching.stdout), text(watching.stderr)];
    const exited = once(watching, "exit");
    while (proxy.requests.length === 0) await delay(20);
    for (let lost = 0; watching.exitCode === null && lost < 5;) {
      const before = proxy.requests.length;
      await delay(200);
      proxy.drop();
      while (watching.exitCode === null && proxy.requests.length === before) await delay(20);
      lost++;
    }
    const [code] = (await exited) as [number];
    assert.equal(code, 0, await stderr);
    assert.match(await stdout, /^done in .*: 3 steps/m);
  });

  test("a proxy that is gone, or refuses, is named in one line", async () => {
    const gone = await ProxyServer.start();
    await gone[Symbol.asyncDispose]();
    await using refusing = await ProxyServer.start({ refuses: "407 Proxy Authentication Required" });
    for (const { url } of [gone, refusing]) {
      const { code, stderr } = await call(["run", "list"], { grpc_proxy: url });
      assert.equal(code, 1);
      const line = `gradpool: no pool answers at ${remote.address} through the proxy ${url} (grpc_proxy); start one`;
      assert.ok(stderr.startsWith(line), stderr);
      assert.equal(stderr.trim().split("\n").length, 1, stderr);
    }
  });

  test("an interrupted command ends, though its proxy holds the connection or has vanished", async () => {
    const runId = await submit(400);
    await using silent = await ProxyServer.start({ answers: false });
    const working = await ProxyServer.start({ hosts: HOSTS });
    await using _ = working;
    for (const proxy of [silent, working]) {
      const child = start(["run", "watch", runId], { grpc_proxy: proxy.url });
      const exited = once(child, "exit");
      let heard = "";
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (piece: Buffer) => (heard += piece.toString()));
      while (proxy.requests.length === 0 || (proxy === working && !/step/.test(heard))) {
        assert.equal(child.exitCode, null, heard);
        await delay(20);
      }
      if (proxy === working) {
        await working[Symbol.asyncDispose]();
        while (!/does not answer; waiting for it/.test(heard)) await delay(20);
      }
      const interruptedAt = performance.now();
      child.kill("SIGINT");
      const [code] = (await exited) as [number];
      const took = performance.now() - interruptedAt;
      assert.equal(code, 130, heard);
      assert.ok(took < LONGEST_END_MS, `it took ${Math.round(took)} ms`);
      assert.ok(heard.split("\n").filter((line) => /proxy/.test(line)).length <= 1, heard);
    }
    await pool.runs.cancelRun({ requestId: "cancel-proxied", runId });
  });
});
