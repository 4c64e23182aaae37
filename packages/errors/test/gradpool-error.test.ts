import assert from "node:assert/strict";
import { test } from "node:test";
import { GradpoolError } from "@gradpool/errors";

test("a GradpoolError stays the one it is", () => {
  const error = new GradpoolError("not_found", "there is no run x; list them");
  assert.equal(GradpoolError.from(error), error);
});

test("an aborted wait is cancelled", () => {
  const { reason } = AbortSignal.abort();
  assert.equal(GradpoolError.from(reason).code, "cancelled");
});

test("anything else is internal, with its cause", () => {
  const cause = new TypeError("x is undefined");
  const error = GradpoolError.from(cause);
  assert.equal(error.code, "internal");
  assert.equal(error.message, "x is undefined");
  assert.equal(error.cause, cause);
  assert.equal(GradpoolError.from("text").message, "text");
});
