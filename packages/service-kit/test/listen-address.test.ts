import assert from "node:assert/strict";
import { test } from "node:test";
import { dialAddress, formatAddress, listenAddress, parseListenAddress } from "@gradpool/service-kit";

const TABLE: [text: string, host: string | undefined, port?: number][] = [
  ["127.0.0.1", "127.0.0.1"],
  ["127.0.0.1:7270", "127.0.0.1", 7270],
  ["0.0.0.0:0", "0.0.0.0", 0],
  ["::1", "::1"],
  ["::", "::"],
  ["::1:7070", "::1:7070"],
  ["[::1]", "::1"],
  ["[::]:7070", "::", 7070],
  ["[fe80::1%eth0]:7070", "fe80::1%eth0", 7070],
  ["localhost", "localhost"],
  ["pool.example:65535", "pool.example", 65535],
  ["my_pool", "my_pool"],
  ["", undefined],
  [":7070", undefined],
  ["7070", undefined],
  ["127.0.0.1:65536", undefined],
  ["127.0.0.1:7270:7070", undefined],
  ["127.0.0.256", undefined],
  ["[127.0.0.1]:7070", undefined],
  ["[::1:7070", undefined],
  ["::1]:7070", undefined],
  ["[::1]7070", undefined],
  [":::7070", undefined],
  ["host:port", undefined],
  ["http://127.0.0.1:7070", undefined],
  ["two words:1", undefined],
];

for (const [text, host, port] of TABLE) {
  test(`"${text}" is ${host === undefined ? "refused" : `host ${host}, port ${port}`}`, () => {
    assert.deepEqual(parseListenAddress(text), host === undefined ? undefined : { host, port });
    if (port !== undefined) assert.equal(formatAddress(host ?? "", port), text);
    assert.equal(listenAddress.safeParse(text).success, port !== undefined);
  });
}

test("a wildcard is dialled at the loopback address of its family", () => {
  assert.deepEqual(["0.0.0.0:1", "[::]:2", "[::1]:3", "10.0.0.1:4", "pool.example:5"].map(dialAddress), [
    "127.0.0.1:1",
    "[::1]:2",
    "[::1]:3",
    "10.0.0.1:4",
    "pool.example:5",
  ]);
});
