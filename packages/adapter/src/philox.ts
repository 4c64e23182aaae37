/**
 * Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3" (SC 2011): ten rounds of a keyed bijection, so the n-th number of a stream needs no other.
 */
const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

export type Words4 = [number, number, number, number];

/** Four 32-bit words for a counter of four words and a key of two. */
export function philox4x32(counter: Words4, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** Upper 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + ((middle & 0xffff) + aLow * bHigh) / 0x10000) | 0;
}

/**
 * Uniform numbers in [0, 1) with 24 bits, as torch's float32 uniform has; the stream is named by
 * `seed` (0 to 2^53 - 1) and `name` and is independent of every other stream. Up to 2^34 numbers.
 */
export function* uniforms(seed: number, name: string): Generator<number> {
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32)] as const;
  const [low, high] = fnv1a64(name);
  for (let block = 0; ; block++) {
    for (const word of philox4x32([block, 0, low, high], key)) yield (word >>> 8) * 2 ** -24;
  }
}

/** The 64-bit FNV-1a hash of a text's UTF-8 bytes, lower word first. */
function fnv1a64(text: string): [number, number] {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return [Number(hash & 0xffffffffn), Number(hash >> 32n)];
}
