/** W3C Trace Context: what clients may send. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isSampled, parseTraceparent, traceIdOf } from "@gradpool/tracing";

const [TRACE, SPAN] = ["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"];

test("reads version 00, and of later ones what it knows", () => {
  const span = { traceId: TRACE, spanId: SPAN, traceFlags: 1, isRemote: true };
  assert.deepEqual(parseTraceparent(`00-${TRACE}-${SPAN}-01`), span);
  assert.deepEqual(parseTraceparent(`01-${TRACE}-${SPAN}-03-more`), span);
  assert.equal(isSampled(`00-${TRACE}-${SPAN}-00`), false);
  assert.equal(traceIdOf(`00-${TRACE}-${SPAN}-00`), TRACE);
});

for (const wrong of [
  "",
  "00",
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE}-${SPAN}-01-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${"0".repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${"0".repeat(16)}-01`,
  `01-${TRACE}-${SPAN}-01-${"x".repeat(100_000)}`,
  `00-${TRACE}-${SPAN}-01\n`,
]) {
  test(`is not a trace context: ${JSON.stringify(wrong.slice(0, 70))}`, () => {
    assert.equal(parseTraceparent(wrong), undefined);
  });
}
