import { GradpoolError } from "@gradpool/errors";
import type { Dtype } from "./dtype.js";

/**
 * Values as float32. F32 is a view when `data` is aligned to 4 bytes, else a copy; F16 and BF16 are
 * exact; F64 is rounded to nearest. Bytes are little-endian, as is every machine that Node runs this on.
 * Errors: `invalid_argument` for integer and boolean tensors.
 */
export function toFloat32(tensor: { dtype: Dtype; data: Uint8Array }): Float32Array {
  const { dtype, data } = tensor;
  if (dtype === "F32") return new Float32Array(...elements(data, 4));
  if (dtype === "F16") return float16ToFloat32(data);
  if (dtype === "BF16") return bfloat16ToFloat32(data);
  if (dtype === "F64") return new Float32Array(new Float64Array(...elements(data, 8)));
  throw new GradpoolError("invalid_argument", `a tensor of dtype ${dtype} holds no floating-point numbers`);
}

/** IEEE 754 binary16 (little-endian bytes) as float32, exactly; NaNs keep their payload. */
export function float16ToFloat32(data: Uint8Array): Float32Array {
  const halves = new Uint16Array(...elements(data, 2));
  const bits = new Uint32Array(halves.length);
  const table = (float16Table ??= buildFloat16Table());
  for (let i = 0; i < halves.length; i++) bits[i] = table[halves[i] as number] as number;
  return new Float32Array(bits.buffer);
}

/** bfloat16 (little-endian bytes) as float32: the upper half of its bits. */
export function bfloat16ToFloat32(data: Uint8Array): Float32Array {
  const halves = new Uint16Array(...elements(data, 2));
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

/** Arguments of a typed array over `data` with elements of `size` bytes; unaligned data is copied. */
function elements(data: Uint8Array, size: number): [ArrayBufferLike, number, number] {
  // Not slice(): that of a Buffer does not copy.
  const { buffer, byteOffset, byteLength } = data.byteOffset % size === 0 ? data : new Uint8Array(data);
  return [buffer, byteOffset, byteLength / size];
}

/** float32 bits of each of the 65,536 halves; 256 KiB, made at first use. */
let float16Table: Uint32Array | undefined;

function buildFloat16Table(): Uint32Array {
  const table = new Uint32Array(65_536);
  for (let half = 0; half < table.length; half++) table[half] = float32Bits(half);
  return table;
}

function float32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  let exponent = (half >> 10) & 0x1f;
  let fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent === 0) {
    if (fraction === 0) return sign;
    // A subnormal half is a normal float32: shift until the leading one is the implicit one.
    exponent = 1;
    while ((fraction & 0x400) === 0) {
      fraction <<= 1;
      exponent--;
    }
    fraction &= 0x3ff;
  }
  return sign | ((exponent - 15 + 127) << 23) | (fraction << 13);
}
