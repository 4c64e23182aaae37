/** The most likely token; of equals the first. */
export function mostLikely(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** Draws from softmax(logits / temperature); `uniform` is a number of [0, 1) that decides. */
export function drawToken(logits: Float32Array, temperature: number, uniform: number): number {
  const top = logits[mostLikely(logits)]!;
  const weights = Float64Array.from(logits, (logit) => Math.exp((logit - top) / temperature));
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < weights.length; i++) {
    left -= weights[i]!;
    if (left < 0) return i;
  }
  // Rounding may leave a rest behind the last token.
  return mostLikely(logits);
}

/** Numbers of [0, 1) that follow from the seed (splitmix32). */
export function* uniforms(seed: number): Generator<number, never> {
  let state = (seed ^ Math.floor(seed / 2 ** 32)) | 0;
  for (;;) {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    yield ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  }
}
