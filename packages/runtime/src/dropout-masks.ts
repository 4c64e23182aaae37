/**
 * Dropout masks that depend only on (seed, step, micro-batch, module), never on the trainer (I2).
 *
 * Each module's generator is xoshiro128** (Blackman & Vigna 2018), started from FNV-1a hashes of the
 * key with murmur3's finalizer. 32 elements are decided at a time, one bit each: reading the binary digits
 * of the keep probability from the most significant, a lane whose random bit differs from the digit
 * is decided. Half of the lanes are decided by each word, so 32 of them cost about 6 words, whatever
 * the probability.
 */
import { evaluateDim } from "@gradpool/graph";
import type { DropoutSite, LinearModule } from "@gradpool/models";

/** What the masks of a micro-batch depend on, besides the module. */
export interface DropoutKey {
  /** Probability that an element of a LoRA input is dropped; the model's own dropouts have theirs from its config. */
  probability: number;
  seed: number;
  step: number;
  microBatch: number;
}

/** Binary digits of the keep probability: its error is below 2^-33. */
const DIGITS = 32;

/** One mask [rows, in] per module: 1 where kept, 0 where dropped. */
export function dropoutMasks(modules: readonly LinearModule[], rows: number, key: DropoutKey): Map<string, Uint8Array> {
  return new Map(modules.map(({ name, inFeatures }) => [name, dropoutMask(name, rows * inFeatures, key)]));
}

/** The masks of the model's own dropouts, each in its site's shape. */
export function siteMasks(
  sites: readonly DropoutSite[],
  symbols: Readonly<Record<string, number>>,
  key: DropoutKey,
): Map<string, Uint8Array> {
  return new Map(
    sites.map(({ name, probability, shape }) => {
      const size = shape.reduce<number>((product, dim) => product * evaluateDim(dim, symbols), 1);
      return [name, dropoutMask(name, size, { ...key, probability })];
    }),
  );
}

/** Mask of `size` elements for one module. One loop over local variables: a step needs millions of elements. */
export function dropoutMask(module: string, size: number, key: DropoutKey): Uint8Array {
  const mask = new Uint8Array(Math.ceil(size / 32) * 32);
  const target = new Float64Array(mask.buffer);
  const digits = Math.min(2 ** DIGITS - 1, Math.round((1 - key.probability) * 2 ** DIGITS)) >>> 0;
  let [a, b, c, d] = seedWords(`${key.seed}/${key.step}/${key.microBatch}/${module}`);
  for (let at = 0; at < target.length; at += 4) {
    let undecided = -1;
    let ones = 0;
    for (let digit = DIGITS - 1; digit >= 0 && undecided !== 0; digit--) {
      const scrambled = Math.imul(b, 5);
      const word = Math.imul((scrambled << 7) | (scrambled >>> 25), 9);
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = (d << 11) | (d >>> 21);
      if ((digits >>> digit) & 1) {
        // A 0 where the probability has a 1: the lane's number is the smaller one, so it is kept.
        ones |= undecided & ~word;
        undecided &= word;
      } else {
        undecided &= ~word;
      }
    }
    target[at] = EIGHT_FLAGS[ones & 255]!;
    target[at + 1] = EIGHT_FLAGS[(ones >>> 8) & 255]!;
    target[at + 2] = EIGHT_FLAGS[(ones >>> 16) & 255]!;
    target[at + 3] = EIGHT_FLAGS[ones >>> 24]!;
  }
  return mask.subarray(0, size);
}

/** The 8 bits of a byte as 8 bytes of 0 or 1, to be copied as one double. */
const EIGHT_FLAGS = new Float64Array(Uint8Array.from({ length: 256 * 8 }, (_, i) => ((i >> 3) >> (i & 7)) & 1).buffer);

/** Four words of generator state from four differently started hashes of the key. */
function seedWords(text: string): [number, number, number, number] {
  const word = (start: number): number => {
    let state = start;
    for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), FNV_PRIME);
    state = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    return state ^ (state >>> 16);
  };
  return [word(FNV_START), word(FNV_START ^ 0x9e3779b9), word(FNV_START ^ 0x3c6ef372), word(FNV_START ^ 0x54ff53a5)];
}

const FNV_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
