/**
 * Random order that depends only on its key: xoshiro128** 1.1, seeded by SplitMix64
 * (Blackman and Vigna, https://prng.di.unimi.it/).
 */
const MASK_64 = (1n << 64n) - 1n;
const GOLDEN_GAMMA = 0x9e3779b97f4a7c15n;
const RANGE_32 = 2 ** 32;

/** SplitMix64's output function: a bijection on 64 bits. */
function mix(value: bigint): bigint {
  let z = value & MASK_64;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK_64;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK_64;
  return z ^ (z >> 31n);
}

/** A stream of uniform 32-bit integers that depends on the key's numbers and their order. */
export function uint32Generator(key: readonly number[]): () => number {
  let hash = 0n;
  for (const part of key) hash = mix(hash + GOLDEN_GAMMA + mix(BigInt(part) + GOLDEN_GAMMA));
  const first = mix(hash + GOLDEN_GAMMA);
  const second = mix(hash + 2n * GOLDEN_GAMMA);
  let a = Number(first & 0xffffffffn) | 0;
  let b = Number(first >> 32n) | 0;
  let c = Number(second & 0xffffffffn) | 0;
  // The all-zero state would stay zero for ever.
  let d = Number(second >> 32n) | 0 || 1;
  const rotateLeft = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits));
  return () => {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotateLeft(d, 11);
    return result;
  };
}

/** A uniform permutation of 0 … count-1 (Fisher and Yates, without modulo bias); the same key gives the same one. */
export function permutation(count: number, key: readonly number[]): Uint32Array {
  const next = uint32Generator(key);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const choices = last + 1;
    const unbiased = RANGE_32 - (RANGE_32 % choices);
    let drawn = next();
    while (drawn >= unbiased) drawn = next();
    const chosen = drawn % choices;
    const swapped = order[last]!;
    order[last] = order[chosen]!;
    order[chosen] = swapped;
  }
  return order;
}
