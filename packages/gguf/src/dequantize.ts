/**
 * Blocks of GGUF tensors as float32, to the bit what ggml's dequantize_row_* and gguf-py's quants.py give:
 * products of a scale and an integer are exact, so each element is rounded once.
 */
import { bfloat16ToFloat32, float16ToFloat32, toFloat32 } from "@gradpool/safetensors";
import { halfAt } from "./halves.js";
import { blocksOfQ2K, blocksOfQ3K, blocksOfQ4K, blocksOfQ5K, blocksOfQ6K } from "./k-quants.js";
import { blocksOfIq4Nl, blocksOfIq4Xs } from "./non-linear-quants.js";
import type { Dequantize, TensorType } from "./tensor-types.js";

/** x = d·(q − 8); element j in the low half of byte j, element j + 16 in the high one. */
const q4of0: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 18, to += 32) {
    const scale = halfAt(source, at);
    for (let j = 0; j < 16; j++) {
      const pair = source[at + 2 + j]!;
      target[to + j] = scale * ((pair & 15) - 8);
      target[to + 16 + j] = scale * ((pair >> 4) - 8);
    }
  }
};

/** x = d·q + m. */
const q4of1: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 20, to += 32) {
    const scale = halfAt(source, at);
    const minimum = halfAt(source, at + 2);
    for (let j = 0; j < 16; j++) {
      const pair = source[at + 4 + j]!;
      target[to + j] = scale * (pair & 15) + minimum;
      target[to + 16 + j] = scale * (pair >> 4) + minimum;
    }
  }
};

/** Element j of a block of Q5: 4 bits as in Q4, and a fifth in bit j of the 32 before them. */
function fiveBits(source: Uint8Array, highAt: number, j: number): number {
  const low = (source[highAt + 4 + (j & 15)]! >> (4 * (j >> 4))) & 15;
  return low | (((source[highAt + (j >> 3)]! >> (j & 7)) & 1) << 4);
}

/** x = d·(q − 16). */
const q5of0: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 22, to += 32) {
    const scale = halfAt(source, at);
    for (let j = 0; j < 32; j++) target[to + j] = scale * (fiveBits(source, at + 2, j) - 16);
  }
};

/** x = d·q + m. */
const q5of1: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 24, to += 32) {
    const scale = halfAt(source, at);
    const minimum = halfAt(source, at + 2);
    for (let j = 0; j < 32; j++) target[to + j] = scale * fiveBits(source, at + 4, j) + minimum;
  }
};

/** x = d·q, q of 8 bits with sign. */
const q8of0: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 34, to += 32) {
    const scale = halfAt(source, at);
    for (let j = 0; j < 32; j++) target[to + j] = scale * ((source[at + 2 + j]! << 24) >> 24);
  }
};

const DEQUANTIZE: Readonly<Record<string, Dequantize>> = {
  F32: (source, target) => target.set(toFloat32({ dtype: "F32", data: source })),
  F16: (source, target) => target.set(float16ToFloat32(source)),
  BF16: (source, target) => target.set(bfloat16ToFloat32(source)),
  Q4_0: q4of0,
  Q4_1: q4of1,
  Q5_0: q5of0,
  Q5_1: q5of1,
  Q8_0: q8of0,
  Q2_K: blocksOfQ2K,
  Q3_K: blocksOfQ3K,
  Q4_K: blocksOfQ4K,
  Q5_K: blocksOfQ5K,
  Q6_K: blocksOfQ6K,
  IQ4_NL: blocksOfIq4Nl,
  IQ4_XS: blocksOfIq4Xs,
};

/** Whole blocks as float32. */
export function dequantize(type: TensorType, source: Uint8Array): Float32Array {
  const target = new Float32Array((source.byteLength / type.blockBytes) * type.blockElements);
  const write = DEQUANTIZE[type.name];
  if (!write) throw new Error(`no rule for ${type.name}`);
  write(source, target);
  return target;
}
