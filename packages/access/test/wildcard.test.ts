import assert from "node:assert/strict";
import { test } from "node:test";
import { bindEvery } from "../src/index.js";

test("both wildcards are every interface; without IPv6 those of IPv4; other addresses are themselves", async () => {
  const bound = async (listen: string, refusal?: string) => {
    const tried: string[] = [];
    const { host } = await bindEvery(listen, (address) => {
      tried.push(address);
      return refusal && address.startsWith("[::]") ? Promise.reject(new Error(refusal)) : Promise.resolve();
    });
    return [...tried, host];
  };
  const NO_FAMILY = "listen EAFNOSUPPORT: address family not supported :::7070";
  assert.deepEqual(await bound("0.0.0.0:7070"), ["[::]:7070", "0.0.0.0"]);
  assert.deepEqual(await bound("[::]:7070"), ["[::]:7070", "::"]);
  assert.deepEqual(await bound("[::]:7070", NO_FAMILY), ["[::]:7070", "0.0.0.0:7070", "0.0.0.0"]);
  assert.deepEqual(await bound("0.0.0.0:7070", NO_FAMILY), ["[::]:7070", "0.0.0.0:7070", "0.0.0.0"]);
  for (const listen of ["127.0.0.1:7070", "[::1]:7070", "pool.example:0"])
    assert.equal((await bound(listen))[0], listen);
  await assert.rejects(bound("0.0.0.0:7070", "listen EADDRINUSE: address already in use :::7070"), /EADDRINUSE/);
});
