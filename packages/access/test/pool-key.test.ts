import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { authorizationOf, PoolKey, refusalOf } from "../src/index.js";

test("a key matches itself alone, and says its text to nobody who does not ask", () => {
  const [key, other] = [PoolKey.random(), PoolKey.random()];
  assert.ok(key.matches(key.reveal()));
  for (const text of ["", other.reveal(), `${key.reveal()}x`, key.reveal().slice(1)]) assert.ok(!key.matches(text));
  for (const shown of [JSON.stringify({ key }), inspect({ key }, { depth: 9, showHidden: true }), String(key)]) {
    assert.ok(!shown.includes(key.reveal()), shown);
  }
  const derived = key.derive("cookie");
  assert.ok(derived.matches(key.derive("cookie").reveal()) && !key.matches(derived.reveal()));
});

test("a header is refused with what to do, unless it carries the key as RFC 6750 says", () => {
  const key = PoolKey.random();
  assert.equal(refusalOf(authorizationOf(key), key), "");
  assert.equal(refusalOf(`bearer  ${key.reveal()}`, key), "");
  for (const header of [undefined, "", "Bearer", key.reveal(), `Basic ${key.reveal()}`]) {
    assert.match(refusalOf(header, key), /carries none; set GRADPOOL_KEY .*--key_file/, String(header));
  }
  assert.match(refusalOf(authorizationOf(PoolKey.random()), key), /is not this pool's; set GRADPOOL_KEY/);
});

test("what cannot be a key is refused, and not repeated", () => {
  for (const text of [
    "",
    "short",
    "with a space in the middle",
    `${"x".repeat(16)}\n`,
    "ä".repeat(20),
    "x".repeat(513),
  ]) {
    assert.throws(() => new PoolKey(text, "GRADPOOL_KEY"), {
      code: "invalid_argument",
      message: /^GRADPOOL_KEY: a key is 16 to 512/,
    });
  }
});
