import { GradpoolError } from "@gradpool/errors";
import type { Dtype } from "./dtype.js";

/**
 * float32 values as bytes (little-endian) of a floating-point type, rounded to the nearest, of two equally
 * near to the even one, as torch's `to`. Errors: `invalid_argument` for integer and boolean types.
 */
export function fromFloat32(values: Float32Array, dtype: Dtype): Uint8Array {
  if (dtype === "F32") return bytesOf(values);
  if (dtype === "F64") return bytesOf(Float64Array.from(values));
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (dtype === "BF16") return bytesOf(Uint16Array.from(bits, bfloat16Bits));
  if (dtype === "F16") return bytesOf(Uint16Array.from(bits, float16Bits));
  throw new GradpoolError("invalid_argument", `a tensor of dtype ${dtype} holds no floating-point numbers`);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Float64Array | Uint16Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** The upper half; the addition carries over into it where the lower half rounds up. */
function bfloat16Bits(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function float16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  // From the middle between 65504 and 65536 on: infinite.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  const exponent = magnitude >>> 23;
  // Normal from 2^-14 on: the exponent's bias is 112 less, 13 bits of the fraction go.
  if (exponent >= 113) return sign | rounded(magnitude - (112 << 23), 13);
  // Subnormal: a multiple of 2^-24.
  if (exponent < 102) return sign;
  return sign | rounded((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
}

/** value / 2^shift, rounded to the nearest, ties to even. */
function rounded(value: number, shift: number): number {
  return (value + (1 << (shift - 1)) - 1 + ((value >>> shift) & 1)) >>> shift;
}
