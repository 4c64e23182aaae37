/** The HTTP server, asked by real clients: good ones, bad ones and slow ones. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";
import { authorizationOf, PoolKey } from "@gradpool/access";
import { GradpoolError } from "@gradpool/errors";
import { Registry } from "prom-client";
import { readBody, sendText, startHttpServer, type HttpRoute, type RunningHttpServer } from "../src/index.js";
import { processRoutes } from "../src/process-routes.js";

const MIB = 1024 * 1024;
const key = PoolKey.random();
const access = { key, hosts: ["pool.example"] };
const authorization = authorizationOf(key);
/** In bytes that no client library would send. */
const AUTHORIZED = `Host: a\r\nAuthorization: ${authorization}`;
const failures: { error: unknown; path: string }[] = [];

const say =
  (text: string): HttpRoute["handle"] =>
  (_request, response) =>
    sendText(response, 200, text);

const routes: HttpRoute[] = [
  ...processRoutes({ metrics: new Registry(), problem: async () => "" }),
  { method: "GET", path: "/", handle: say("home") },
  { method: "GET", path: "/files/*", handle: (_request, response, url) => sendText(response, 200, url.pathname) },
  { method: "GET", path: "/files/deep/*", handle: say("deep") },
  { method: "GET", path: "/files/one", handle: say("one") },
  { method: "GET", path: "/both", handle: say("got") },
  {
    method: "POST",
    path: "/both",
    handle: async (request, response) => sendText(response, 200, String((await readBody(request)).byteLength)),
  },
  { method: "POST", path: "/deaf", handle: say("did not listen") },
  {
    method: "GET",
    path: "/missing",
    handle: () => {
      throw new GradpoolError("not_found", "there is no such run; gradpool run list shows those that are");
    },
  },
  { method: "GET", path: "/broken", handle: async () => Promise.reject(new Error("a secret")) },
  {
    method: "GET",
    path: "/half",
    handle: (_request, response) => {
      response.write("half");
      throw new Error("then nothing");
    },
  },
  { method: "GET", path: "/endless", handle: (_request, response) => void response.write("begun\n") },
];

describe("the HTTP server", () => {
  let server: RunningHttpServer;
  before(async () => {
    const onInternalError = (error: unknown, path: string) => failures.push({ error, path });
    server = await startHttpServer({ listen: "127.0.0.1:0", routes, access, onInternalError });
  });
  after(() => server[Symbol.asyncDispose]());

  async function ask(path: string, init: RequestInit = {}): Promise<[number, string]> {
    const response = await fetch(`http://${server.address}${path}`, { headers: { authorization }, ...init });
    return [response.status, await response.text()];
  }

  /** What comes back for bytes that no client library would send. */
  async function raw(text: string): Promise<string> {
    const [host, port] = server.address.split(":");
    const socket = connect(Number(port), host);
    socket.on("error", () => {});
    socket.write(text);
    let answer = "";
    socket.on("data", (data) => (answer += data.toString()));
    await once(socket, "close");
    return answer;
  }

  test("the most exact route answers", async () => {
    assert.deepEqual(await ask("/"), [200, "home"]);
    assert.deepEqual(await ask("/files/one?and=more"), [200, "one"]);
    assert.deepEqual(await ask("/files/deep/two"), [200, "deep"]);
    assert.deepEqual(await ask("/files/two/three"), [200, "/files/two/three"]);
  });

  test("a path that leaves the folder is refused", async () => {
    assert.match(
      await raw(`GET /files/../etc HTTP/1.1\r\n${AUTHORIZED}\r\nConnection: close\r\n\r\n`),
      /^HTTP\/1\.1 404 /,
    );
  });

  test("metrics and probes are given only to those who name the server as it is called, or have the key", async () => {
    const status = async (path: string, host: string, header = "") => {
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${header}Connection: close\r\n\r\n`);
      return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
    };
    for (const path of ["/healthz", "/readyz", "/metrics"]) {
      const isOpen = path !== "/metrics";
      for (const host of ["127.0.0.1", "[::1]:7071", "localhost:7071", "pool.example"]) {
        assert.equal(await status(path, host), isOpen ? 200 : 401, `${path} of ${host}`);
      }
      for (const host of ["evil.example", "127.0.0.1.evil.example", ""]) {
        assert.equal(await status(path, host), 403, `${path} of ${host}`);
      }
      assert.equal(await status(path, "evil.example", `Authorization: ${authorization}\r\n`), 200, path);
    }
  });

  test("HEAD has GET's headers and no body", async () => {
    const response = await fetch(`http://${server.address}/both`, { method: "HEAD", headers: { authorization } });
    assert.deepEqual([response.status, response.headers.get("content-length"), await response.text()], [200, "3", ""]);
  });

  test("no route and no method are one line each", async () => {
    assert.deepEqual(await ask("/files"), [404, "there is nothing at /files\n"]);
    assert.deepEqual(await ask("/", { method: "POST" }), [405, "/ takes GET and HEAD\n"]);
    const response = await fetch(`http://${server.address}/both`, { method: "DELETE", headers: { authorization } });
    assert.deepEqual(
      [response.status, response.headers.get("allow"), await response.text()],
      [405, "GET, HEAD, POST", "/both takes GET and HEAD and POST\n"],
    );
  });

  test("an expected failure is shown, any other is not", async () => {
    assert.deepEqual(await ask("/missing"), [404, "there is no such run; gradpool run list shows those that are\n"]);
    assert.deepEqual(await ask("/broken"), [500, "internal error; the service's log has the details\n"]);
    assert.deepEqual(
      failures.map(({ error, path }) => [(error as Error).message, path]),
      [["a secret", "/broken"]],
    );
    await assert.rejects(ask("/half"));
  });

  test("bodies of up to 1 MiB are read, larger ones refused", async () => {
    const post = (sizeBytes: number) => ask("/both", { method: "POST", body: Buffer.alloc(sizeBytes) });
    assert.deepEqual(await post(0), [200, "0"]);
    assert.deepEqual(await post(MIB), [200, String(MIB)]);
    assert.deepEqual(await statusOfPost("/both", MIB + 1, true), 400);
    assert.deepEqual(await statusOfPost("/both", MIB + 1, false), 400);
    assert.deepEqual(await statusOfPost("/deaf", MIB, false), 200);
  });

  /** With its length said beforehand, or in chunks. Nothing but the first half is sent unless the server reads on. */
  async function statusOfPost(path: string, sizeBytes: number, saysLength: boolean): Promise<number | undefined> {
    const headers = saysLength ? { "content-length": sizeBytes } : { "transfer-encoding": "chunked" };
    Object.assign(headers, { authorization });
    const request = httpRequest(`http://${server.address}${path}`, { method: "POST", headers, agent: false });
    request.on("error", () => {});
    const answered = once(request, "response") as Promise<[IncomingMessage]>;
    request.write(Buffer.alloc(sizeBytes));
    if (!saysLength) request.end();
    const [response] = await answered;
    response.resume();
    request.destroy();
    return response.statusCode;
  }

  test("what is not HTTP is refused, and so are too many headers", async () => {
    assert.match(await raw("hello\r\n\r\n"), /^HTTP\/1\.1 400 /);
    assert.match(await raw(`GET // HTTP/1.1\r\n${AUTHORIZED}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 40[04] /);
    assert.match(await raw(`GET / HTTP/1.1\r\nA: ${"a".repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
    assert.match(await raw(`GET /${"a".repeat(20_000)} HTTP/1.1\r\n\r\n`), /^HTTP\/1\.1 431 /);
  });

  test("a request that does not arrive ends", async () => {
    assert.match(await raw("GET / HTTP/1.1\r\nHost:"), /^HTTP\/1\.1 408 /);
  });
});

test("closing does not wait for a client that listens for ever", async () => {
  const server = await startHttpServer({ listen: "127.0.0.1:0", routes, access, onInternalError: () => {} });
  const response = await fetch(`http://${server.address}/endless`, { headers: { authorization } });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "begun\n");
  const ended = assert.rejects(reader.read());
  await server[Symbol.asyncDispose]();
  await ended;
  await assert.rejects(fetch(`http://${server.address}/`));
});

test("a port that is taken is said so, and an IPv6 address is a place like any other", async () => {
  await using server = await startHttpServer({ listen: "127.0.0.1:0", routes, access, onInternalError: () => {} });
  await assert.rejects(
    startHttpServer({ listen: server.address, routes, access, onInternalError: () => {} }),
    (error: unknown) =>
      error instanceof GradpoolError && error.code === "unavailable" && /is taken/.test(error.message),
  );
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
  if (!addresses.includes("::1")) return;
  await using six = await startHttpServer({ listen: "[::1]:0", routes, access, onInternalError: () => {} });
  assert.equal((await fetch(`http://${six.address}/`, { headers: { authorization } })).status, 200);
  for (const listen of ["0.0.0.0", "[::]"]) {
    await using every = await startHttpServer({ listen: `${listen}:0`, routes, access, onInternalError: () => {} });
    assert.ok(every.address.startsWith(`${listen}:`), every.address);
    const port = every.address.split(":").at(-1);
    for (const host of ["127.0.0.1", "[::1]"]) {
      assert.equal((await fetch(`http://${host}:${port}/`, { headers: { authorization } })).status, 200, host);
    }
  }
});
