/** A machine that reaches the hub through a proxy, as most company machines do. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { FakeHub, gradpool, makeCertificates, openssl, TINY_CODER, Workspace } from "@gradpool/integration-tests";
import { BIN } from "../src/cli.js";
import { ProxyServer } from "../src/proxy-server.js";

const { skip } = await openssl();
/** From Ctrl-C to the end of a command. */
const LONGEST_END_MS = 5_000;

test(
  "gradpool train gets its model through the proxy, and its own services without it",
  { timeout: 200_000 },
  async () => {
    await using workspace = await Workspace.create();
    await using hub = await FakeHub.start();
    await using proxy = await ProxyServer.start();
    await hub.create("model", "org/tiny").commit(TINY_CODER);
    const dataset = await workspace.dataset(12);
    const train = (out: string, env: Record<string, string>) =>
      gradpool(
        ["train", "--model_id", "org/tiny", "--dataset", dataset, "--output_dir", workspace.path(out), "--epochs", "1"],
        workspace.path("home"),
        { HF_ENDPOINT: hub.endpoint, HF_HOME: workspace.path(`hf-${out}`), ...env },
      );
    const proxied = await train("proxied", { http_proxy: proxy.url, https_proxy: proxy.url, grpc_proxy: proxy.url });
    assert.equal(proxied.code, 0, proxied.stderr);
    assert.ok(
      proxy.requests.some((line) => line.startsWith(`GET ${hub.endpoint}/org/tiny/resolve`)),
      proxy.requests.join("\n"),
    );
    // Neither our own services, nor anybody else: ONNX Runtime would send usage data.
    assert.deepEqual(
      proxy.requests.filter((line) => !/^GET http:\/\/127\.0\.0\.1:/.test(line)),
      [],
    );

    proxy.requests.length = 0;
    const direct = await train("direct", { HTTP_PROXY: proxy.url, NO_PROXY: "127.0.0.1" });
    assert.equal(direct.code, 0, direct.stderr);
    assert.deepEqual(proxy.requests, []);
  },
);

test("an encrypted hub is reached by CONNECT; doctor and config check name the proxy", { skip }, async () => {
  await using workspace = await Workspace.create();
  await using proxy = await ProxyServer.start();
  const { ca, server } = await makeCertificates(workspace.path("pki"));
  const hub = createServer({ cert: await readFile(server.cert), key: await readFile(server.key) }, (_, response) =>
    response.end("[]"),
  );
  await once(hub.listen(0, "127.0.0.1"), "listening");
  const { port } = hub.address() as AddressInfo;
  try {
    const endpoint = `https://localhost:${port}`;
    const https_proxy = proxy.url.replace("http://", "http://user:s3cret@");
    const env = { HF_ENDPOINT: endpoint, https_proxy, no_proxy: "pool.corp", NODE_EXTRA_CA_CERTS: ca };
    const doctor = await gradpool(["doctor", "--online"], workspace.path("home"), env);
    assert.match(doctor.stdout, new RegExp(`${endpoint} answers through the proxy ${proxy.url}`));
    assert.deepEqual(proxy.requests, [`CONNECT localhost:${port}`]);
    const check = await gradpool(["config", "check"], workspace.path("home"), env);
    assert.match(check.stdout, new RegExp(`go through ${proxy.url} for https, except to pool.corp`));
    assert.doesNotMatch(doctor.stdout + check.stdout, /s3cret/);
    const socks = await gradpool(["config", "check"], workspace.path("home"), { https_proxy: "socks5://proxy:1080" });
    assert.equal(socks.code, 1);
    assert.match(socks.stdout + socks.stderr, /https_proxy is not the address of an HTTP proxy/);
  } finally {
    hub.closeAllConnections();
    hub.close();
  }
});

for (const [how, command] of [
  ["train", ["train", "--model_id", "org/tiny", "--dataset", "synthetic"]],
  ["doctor", ["doctor", "--online"]],
] as const) {
  test(`an interrupted ${how} ends, though a proxy holds its connections`, { timeout: 120_000 }, async () => {
    await using workspace = await Workspace.create();
    await using proxy = await ProxyServer.start({ answers: false });
    const env = {
      ...{ ...process.env, GRADPOOL_HOME: workspace.path("home"), HF_HOME: workspace.path("hf") },
      ...{ HF_ENDPOINT: "https://hub.invalid", HTTPS_PROXY: proxy.url },
    };
    const child = spawn(process.execPath, [BIN, ...command], { env, cwd: workspace.path(), stdio: "ignore" });
    const exited = once(child, "exit");
    while (proxy.requests.length === 0) {
      assert.equal(child.exitCode, null, "it ended before it asked");
      await delay(20);
    }
    const interruptedAt = performance.now();
    child.kill("SIGINT");
    await exited;
    const took = performance.now() - interruptedAt;
    assert.ok(took < LONGEST_END_MS, `it took ${Math.round(took)} ms`);
  });
}
