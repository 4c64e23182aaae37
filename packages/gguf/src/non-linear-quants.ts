/** ggml's IQ4 types: four bits choose one of sixteen values that are closer together near zero (kvalues_iq4nl). */
import { halfAt } from "./halves.js";
import type { Dequantize } from "./tensor-types.js";

const VALUES = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** 32 elements of 16 bytes: element j in the low half of byte j, element j + 16 in the high one. */
function write32(source: Uint8Array, at: number, scale: number, target: Float32Array, to: number): void {
  for (let j = 0; j < 16; j++) {
    const pair = source[at + j]!;
    target[to + j] = scale * VALUES[pair & 15]!;
    target[to + 16 + j] = scale * VALUES[pair >> 4]!;
  }
}

/** x = d·value. */
export const blocksOfIq4Nl: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 18, to += 32) {
    write32(source, at + 2, halfAt(source, at), target, to);
  }
};

/** x = d·(s − 32)·value per part of 32, s of 6 bits: the upper 2 in 16 bits after d, the lower 4 in halves of 4 bytes. */
export const blocksOfIq4Xs: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 136, to += 256) {
    const scale = halfAt(source, at);
    const highBits = source[at + 2]! | (source[at + 3]! << 8);
    for (let part = 0; part < 8; part++) {
      const low = (source[at + 4 + (part >> 1)]! >> (4 * (part & 1))) & 15;
      const s = (low | (((highBits >> (2 * part)) & 3) << 4)) - 32;
      write32(source, at + 8 + 16 * part, scale * s, target, to + 32 * part);
    }
  }
};
