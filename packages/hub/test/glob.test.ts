import assert from "node:assert/strict";
import { test } from "node:test";
import { compileGlob } from "../src/glob.js";

const matches = (pattern: string, path: string) => compileGlob(pattern)(path.split("/"));

test("stars stay within a segment, double stars do not", () => {
  assert.ok(matches("*.json", "a.json"));
  assert.ok(!matches("*.json", "b/a.json"));
  assert.ok(matches("**", "b/c/a.json"));
  assert.ok(matches("**/*.json", "a.json"));
  assert.ok(matches("**/*.json", "b/c/a.json"));
  assert.ok(matches("b/**/a.json", "b/a.json"));
  assert.ok(matches("b/**", "b/c/d"));
  assert.ok(!matches("b/**", "c/b"));
  assert.ok(!matches("b/**/d/**", "b/d"));
  assert.ok(matches("./a/*-?.txt", "a/x-1.txt"));
  assert.ok(!matches("a/*-?.txt", "a/x-.txt"));
});

test("sets of characters", () => {
  assert.ok(matches("a[0-9][0-9].b", "a07.b"));
  assert.ok(!matches("a[0-9].b", "ax.b"));
  assert.ok(matches("a[!0-9].b", "ax.b"));
  assert.ok(matches("a[-._ 0-9]b", "a-b"));
  assert.ok(matches("a[]x]b", "a]b"));
  assert.ok(matches("a[b", "a[b"));
  assert.ok(matches("a?b", "a😀b"));
});

test("nothing in a pattern is an expression, and none takes long", () => {
  assert.ok(!matches("a.c", "abc"));
  assert.ok(matches("(a|b)+$", "(a|b)+$"));
  const begunMs = performance.now();
  assert.ok(!matches("*a".repeat(300) + "b", "a".repeat(1000)));
  assert.ok(!matches("**/a/".repeat(200) + "b", "a/".repeat(300) + "c"));
  assert.ok(performance.now() - begunMs < 5000);
});
