import assert from "node:assert/strict";
import { test } from "node:test";
import { fromFloat32, toFloat32, type Dtype } from "../src/index.js";
import { failure } from "./support.js";

const ALL_HALVES = new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, i) => i).buffer);
const bitsOf = (bytes: Uint8Array) => new Uint16Array(Uint8Array.from(bytes).buffer);

for (const dtype of ["F16", "BF16"] as const) {
  const values = toFloat32({ dtype, data: ALL_HALVES });

  test(`every ${dtype} value but NaN comes back as it was`, () => {
    const back = bitsOf(fromFloat32(values, dtype));
    for (const [half, value] of values.entries()) {
      if (Number.isNaN(value))
        assert.ok(Number.isNaN(toFloat32({ dtype, data: fromFloat32(Float32Array.of(value), dtype) })[0]));
      else assert.equal(back[half], half);
    }
  });

  test(`what is between two ${dtype} values goes to the nearer, the middle to the even one`, () => {
    const infinity = values.indexOf(Infinity);
    // All neighbours among the finite positive values; the last one's upper neighbour would be the next power of two.
    for (let half = 0; half < infinity - 1; half++) {
      const [low, high] = [values[half]!, values[half + 1]!];
      const middle = (low + high) / 2;
      const even = half % 2 === 0 ? half : half + 1;
      const step = Math.max(middle * 2 ** -22, 2 ** -149);
      const between = [middle, middle - step, middle + step];
      const expected = [even, half, half + 1];
      for (const sign of [1, -1]) {
        const found = bitsOf(
          fromFloat32(
            Float32Array.from(between, (value) => sign * value),
            dtype,
          ),
        );
        assert.deepEqual(
          [...found],
          expected.map((bits) => (sign < 0 ? bits | 0x8000 : bits)),
          String(middle),
        );
      }
    }
  });
}

test("what is too large becomes infinite", () => {
  const narrow = (value: number, dtype: Dtype) =>
    toFloat32({ dtype, data: fromFloat32(Float32Array.of(value), dtype) })[0];
  assert.equal(narrow(65_519, "F16"), 65_504);
  assert.equal(narrow(65_520, "F16"), Infinity);
  assert.equal(narrow(-1e38, "F16"), -Infinity);
  assert.equal(narrow(3.4e38, "BF16"), Infinity);
  assert.equal(narrow(2 ** -26, "F16"), 0);
  assert.equal(narrow(2 ** -25, "F16"), 0);
  assert.equal(narrow(1.5 * 2 ** -25, "F16"), 2 ** -24);
});

test("F32 and F64 keep every value, other types are refused", () => {
  const values = Float32Array.of(0.1, -3, Infinity);
  for (const dtype of ["F32", "F64"] as const)
    assert.deepEqual(toFloat32({ dtype, data: fromFloat32(values, dtype) }), values);
  assert.throws(() => fromFloat32(values, "I64"), failure("invalid_argument", /holds no floating-point numbers/));
});
