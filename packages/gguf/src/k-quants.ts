/** ggml's k-quants: blocks of 256 elements, whose parts have scales of few bits under one scale of float16. */
import { halfAt } from "./halves.js";
import type { Dequantize } from "./tensor-types.js";

/**
 * Scale and minimum of part `j` of 8: 6 bits each, packed into 12 bytes. The first four are in the low bits
 * of bytes 0–7, the last four in halves of bytes 8–11, their upper bits on top of the first eight.
 */
function scaleAndMinimum(source: Uint8Array, at: number, j: number): [number, number] {
  if (j < 4) return [source[at + j]! & 63, source[at + j + 4]! & 63];
  const packed = source[at + j + 4]!;
  return [(packed & 15) | ((source[at + j - 4]! >> 6) << 4), (packed >> 4) | ((source[at + j]! >> 6) << 4)];
}

/** Two bits of element `e`: each half of a block has 32 bytes, whose pairs of bits are four quarters of 32. */
const twoBits = (source: Uint8Array, at: number, e: number): number =>
  (source[at + 32 * (e >> 7) + (e & 31)]! >> (2 * ((e >> 5) & 3))) & 3;

/** x = d·s·q − dmin·m per part of 16, q of 2 bits, s and m in the halves of a byte. */
export const blocksOfQ2K: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 84, to += 256) {
    const scale = halfAt(source, at + 80);
    const minimum = halfAt(source, at + 82);
    for (let e = 0; e < 256; e++) {
      const packed = source[at + (e >> 4)]!;
      target[to + e] = scale * (packed & 15) * twoBits(source, at + 16, e) - minimum * (packed >> 4);
    }
  }
};

/**
 * x = d·(s − 32)·q per part of 16. q has 2 bits, less 4 where the element's bit of the first 32 bytes is not set. The
 * 16 scales have 6 bits: 4 in the halves of 8 bytes, first all low ones, and 2 in the pairs of 4 bytes after them.
 */
export const blocksOfQ3K: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 110, to += 256) {
    const scale = halfAt(source, at + 108);
    for (let part = 0; part < 16; part++) {
      const low = (source[at + 96 + (part & 7)]! >> (4 * (part >> 3))) & 15;
      const high = (source[at + 104 + (part & 3)]! >> (2 * (part >> 2))) & 3;
      const s = (low | (high << 4)) - 32;
      for (let e = 16 * part; e < 16 * part + 16; e++) {
        const isSet = (source[at + (e & 31)]! >> (e >> 5)) & 1;
        target[to + e] = scale * s * (twoBits(source, at + 32, e) - (isSet ? 0 : 4));
      }
    }
  }
};

/** x = d·s·q − dmin·m per part of 32; two parts share 32 bytes of q, in their low and high halves. */
export const blocksOfQ4K: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 144, to += 256) {
    const scale = halfAt(source, at);
    const minimum = halfAt(source, at + 2);
    for (let part = 0; part < 8; part++) {
      const [s, m] = scaleAndMinimum(source, at + 4, part);
      const quants = at + 16 + 32 * (part >> 1);
      const shift = 4 * (part & 1);
      for (let i = 0; i < 32; i++) {
        target[to + 32 * part + i] = scale * s * ((source[quants + i]! >> shift) & 15) - minimum * m;
      }
    }
  }
};

/** As Q4_K, with a fifth bit of part p in bit p of 32 bytes before q. */
export const blocksOfQ5K: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 176, to += 256) {
    const scale = halfAt(source, at);
    const minimum = halfAt(source, at + 2);
    for (let part = 0; part < 8; part++) {
      const [s, m] = scaleAndMinimum(source, at + 4, part);
      const quants = at + 48 + 32 * (part >> 1);
      const shift = 4 * (part & 1);
      for (let i = 0; i < 32; i++) {
        const high = (source[at + 16 + i]! >> part) & 1;
        const q = ((source[quants + i]! >> shift) & 15) | (high << 4);
        target[to + 32 * part + i] = scale * s * q - minimum * m;
      }
    }
  }
};

/**
 * x = d·s·(q − 32) per part of 16, s of 8 bits with sign. Each half of a block has 64 bytes of low
 * halves, 32 bytes of upper bits in pairs, and 8 scales; quarters of 32 elements take them in turn.
 */
export const blocksOfQ6K: Dequantize = (source, target) => {
  for (let at = 0, to = 0; at < source.length; at += 210, to += 256) {
    const scale = halfAt(source, at + 208);
    for (let quarter = 0; quarter < 8; quarter++) {
      const half = quarter >> 2;
      const place = quarter & 3;
      const low = at + 64 * half + 32 * (place & 1);
      const high = at + 128 + 32 * half;
      for (let i = 0; i < 32; i++) {
        const q = ((source[low + i]! >> (4 * (place >> 1))) & 15) | (((source[high + i]! >> (2 * place)) & 3) << 4);
        const s = (source[at + 192 + 8 * half + 2 * place + (i >> 4)]! << 24) >> 24;
        target[to + 32 * quarter + i] = scale * s * (q - 32);
      }
    }
  }
};
