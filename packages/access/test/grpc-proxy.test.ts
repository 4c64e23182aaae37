import assert from "node:assert/strict";
import { test } from "node:test";
import { grpcProxy, proxyTo } from "../src/index.js";

const hostOf = (address: string, env: NodeJS.ProcessEnv) => proxyTo(address, grpcProxy(env))?.host ?? "";

test("calls to other machines go through grpc_proxy, and no variable for the web counts", () => {
  assert.equal(hostOf("pool.corp:7070", { grpc_proxy: "http://proxy:3128" }), "proxy:3128");
  assert.equal(hostOf("pool.corp:7070", { GRPC_PROXY: "proxy:3128" }), "proxy:3128");
  assert.equal(hostOf("192.0.2.7:7070", { grpc_proxy: "http://proxy" }), "proxy");
  assert.equal(hostOf("pool.corp:7070", { https_proxy: "http://proxy", http_proxy: "http://proxy" }), "");
});

test("nothing of this machine goes through it", () => {
  for (const address of ["127.0.0.1:7070", "localhost:7070", "[::1]:7070", "127.9.9.9:1"]) {
    assert.equal(hostOf(address, { grpc_proxy: "http://proxy:3128" }), "", address);
  }
});

test("no_proxy names hosts, domains, ports, addresses and ranges", () => {
  const isDirect = (address: string, no_proxy: string) =>
    hostOf(address, { grpc_proxy: "http://proxy:3128", no_proxy }) === "";
  const cases: [address: string, list: string, isDirect: boolean][] = [
    ["pool.corp:7070", "pool.corp", true],
    ["POOL.corp:7070", "a, Pool.Corp", true],
    ["a.pool.corp:7070", "pool.corp", true],
    ["a.pool.corp:7070", ".pool.corp", true],
    ["a.pool.corp:7070", "*.corp", true],
    ["my-pool.corp:7070", "pool.corp", false],
    ["pool.corp.evil:7070", "pool.corp", false],
    ["pool.corp:7070", "pool.corp:7070", true],
    ["pool.corp:7070", "pool.corp:443", false],
    ["pool.corp:7070", "*", true],
    ["pool.corp:7070", "a,,", false],
    ["192.0.2.7:7070", "192.0.2.7", true],
    ["192.0.2.77:7070", "192.0.2.7", false],
    ["192.0.2.7:7070", "192.0.2.0/24", true],
    ["192.0.3.7:7070", "192.0.2.0/24", false],
    ["[2001:db8::7]:7070", "2001:db8::/32", true],
    ["[2001:db8::7]:7070", "2001:db8::7", true],
    ["[2001:db8::7]:7070", "[2001:db8::7]:7070", true],
    ["192.0.2.7:7070", "192.0.2.0/99,x/8", false],
  ];
  for (const [address, list, expected] of cases) assert.equal(isDirect(address, list), expected, `${address} ${list}`);
  const both = { grpc_proxy: "http://proxy", no_grpc_proxy: "a", NO_PROXY: "b" };
  assert.deepEqual([hostOf("a:1", both), hostOf("b:1", both)], ["", "proxy"]);
});

test("what is not an HTTP proxy is refused without its password, and only where it would be used", () => {
  for (const grpc_proxy of ["socks5://user:s3cret@proxy:1080", "https://user:s3cret@proxy", "http://user:s3cret@:"]) {
    assert.throws(
      () => hostOf("pool.corp:7070", { grpc_proxy }),
      (error: Error) => /^grpc_proxy is not the address of an HTTP proxy; set/.test(error.message),
    );
    assert.equal(hostOf("127.0.0.1:7070", { grpc_proxy }), "");
  }
});
