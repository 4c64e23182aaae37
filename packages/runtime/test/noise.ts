/** Weights of tiny models that a test and Python both make. */
import type { FloatTensor } from "@gradpool/safetensors";

/** The tensor whose noise it is, what is added to it, its shape. */
export type Weight = [source: string, added: number, shape: number[]];

/** As scripts/compare/tiny_models.py makes it. */
export function noise([source, added, shape]: Weight): FloatTensor {
  let seed = 2_166_136_261;
  for (const byte of Buffer.from(source)) seed = Math.imul(seed ^ byte, 16_777_619) >>> 0;
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  for (let i = 0; i < data.length; i++) {
    let x = (Math.imul(i + 1, 2_654_435_761) + seed) >>> 0;
    for (let round = 0; round < 2; round++) x = Math.imul(x ^ (x >>> 16), 0x45d9f3b) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
    data[i] = Math.fround((x / 2 ** 31 - 1) * 0.25) + added;
  }
  return { shape, data };
}
