import assert from "node:assert/strict";
import { test } from "node:test";
import { bfloat16ToFloat32, float16ToFloat32, toFloat32 } from "../src/index.js";
import { failure } from "./support.js";

const ALL_HALVES = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const BYTES = new Uint8Array(ALL_HALVES.buffer);

/** Value of a half by the definition in IEEE 754. */
function halfByDefinition(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

test("all 65,536 float16 values are converted exactly", () => {
  const floats = float16ToFloat32(BYTES);
  ALL_HALVES.forEach((half) => assert.ok(Object.is(floats[half], halfByDefinition(half)), `half ${half}`));
});

test("float16 NaNs keep sign and payload", () => {
  const bits = new Uint32Array(float16ToFloat32(BYTES).buffer);
  assert.equal(bits[0x7e01], 0x7fc02000);
  assert.equal(bits[0xfc01], 0xff802000);
});

test("all 65,536 bfloat16 values are the upper halves of float32", () => {
  const bits = new Uint32Array(bfloat16ToFloat32(BYTES).buffer);
  ALL_HALVES.forEach((half) => assert.equal(bits[half], (half << 16) >>> 0));
  assert.equal(bfloat16ToFloat32(new Uint8Array([0x01, 0x00]))[0], 2 ** -133);
});

test("an unaligned view of a Buffer is converted like aligned data", () => {
  const view = Buffer.concat([Buffer.alloc(1), BYTES]).subarray(1);
  assert.deepEqual(float16ToFloat32(view), float16ToFloat32(BYTES));
});

test("unaligned data is converted like aligned data", () => {
  const values = [1.5, -0, 2 ** -149, Infinity, 3.4028234663852886e38];
  for (const offset of [0, 1, 2, 4]) {
    const bytes = new Uint8Array(offset + 40);
    const view = new DataView(bytes.buffer, offset);
    values.forEach((value, i) => view.setFloat32(4 * i, value, true));
    const f32 = toFloat32({ dtype: "F32", data: bytes.subarray(offset, offset + 20) });
    assert.deepEqual([...f32], values);
    assert.equal(f32.buffer === bytes.buffer, offset % 4 === 0, "a view only when aligned");
    values.forEach((value, i) => view.setFloat64(8 * i, value, true));
    assert.deepEqual([...toFloat32({ dtype: "F64", data: bytes.subarray(offset) })], values);
    const halves = new Uint8Array(offset + BYTES.length);
    halves.set(BYTES, offset);
    assert.deepEqual(float16ToFloat32(halves.subarray(offset)), float16ToFloat32(BYTES));
    assert.deepEqual(bfloat16ToFloat32(halves.subarray(offset)), bfloat16ToFloat32(BYTES));
  }
});

test("float64 is rounded to the nearest float32, ties to even", () => {
  const data = new Uint8Array(new Float64Array([0.1, 1 + 2 ** -24, 1 + 3 * 2 ** -24, 1e300, 1e-300, NaN]).buffer);
  const expected = [Math.fround(0.1), 1, 1 + 2 ** -22, Infinity, 0, NaN];
  assert.deepEqual([...toFloat32({ dtype: "F64", data })], expected);
});

test("integers are not taken for floats", () => {
  const data = new Uint8Array(8);
  assert.throws(() => toFloat32({ dtype: "I64", data }), failure("invalid_argument", /I64/));
});
