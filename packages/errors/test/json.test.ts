import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson } from "@gradpool/errors";

const nested = (depth: number, inside = "") => "[".repeat(depth) + inside + "]".repeat(depth);

test("reads what JSON.parse reads, to a depth of 100", () => {
  for (const text of [`{"a":[1,"x]}\\"[",{"b":null}]}`, "1", `"[[["`, nested(100), `[${"[],".repeat(500)}0]`]) {
    assert.deepEqual(parseJson(text), JSON.parse(text));
  }
  const brackets = JSON.stringify({ text: `${"[".repeat(300)}\\"${"{".repeat(300)}` });
  assert.deepEqual(parseJson(brackets), JSON.parse(brackets));
});

test("refuses deeper nesting, and what is not JSON, as a syntax error", () => {
  for (const text of [
    nested(101),
    nested(1_000_000),
    '{"a":'.repeat(500_000),
    `["\\\\", ${nested(100)}]`,
    "{",
    "",
    '"\\',
  ]) {
    assert.throws(() => parseJson(text), SyntaxError);
  }
});
