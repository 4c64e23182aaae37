import { readFileSync } from "node:fs";

export function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../test/fixtures/${name}`, import.meta.url), "utf8")) as T;
}

/** Float32 values from little-endian bits in hexadecimal. */
export function floats(hex: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(hex, "hex")).buffer);
}

/** Names tensors "0", "1", …. */
export function named(tensors: readonly string[]): Map<string, { data: Float32Array }> {
  return new Map(tensors.map((hex, i) => [String(i), { data: floats(hex) }]));
}

/** The largest distance between two lists of float32 values in steps of representable numbers. */
export function ulps(a: Float32Array, b: Float32Array): number {
  const order = (bits: number) => (bits < 0 ? -0x80000000 - bits : bits);
  const as = new Int32Array(a.slice().buffer);
  const bs = new Int32Array(b.slice().buffer);
  if (as.length !== bs.length) return Infinity;
  return as.reduce((worst, bits, i) => Math.max(worst, Math.abs(order(bits) - order(bs[i] as number))), 0);
}
