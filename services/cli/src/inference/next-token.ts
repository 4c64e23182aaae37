/**
 * From logits to a token, as transformers' generate makes one (generation/utils.py,
 * _get_logits_processor): the repetition penalty, no_repeat_ngram_size, temperature, top-k and top-p in this order, then
 * the draw. At temperature 0 the most likely token is taken after the first two, as with do_sample=False.
 */

export interface Sampling {
  /** 0: always the most likely token. */
  temperature: number;
  /** Only this many of the most likely; 0: all. */
  topK: number;
  /** Only the most likely that together reach this probability; 1: all. */
  topP: number;
  /** Above 1, tokens that are in the text already become less likely; 1: none do. */
  repetitionPenalty: number;
  /** No sequence of this many tokens comes twice; 0: any may. */
  noRepeatNgramSize: number;
}

/** `text` is what the model has read, prompt included; `uniform` is a number of [0, 1) that decides a draw. */
export function nextToken(
  logits: Float32Array,
  text: readonly number[],
  sampling: Sampling,
  uniform: () => number,
): number {
  if (sampling.temperature > 0) return draw(distribution(logits, text, sampling), uniform());
  return mostLikely(penalized(logits, text, sampling));
}

/** The most likely token; of equals the first, as torch.argmax. */
export function mostLikely(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/**
 * The probability of each token [V], of a temperature above 0. Of tokens that are equal at a bound all
 * stay; transformers' TopPLogitsWarper keeps those that its sort happens to put last.
 */
export function distribution(logits: Float32Array, text: readonly number[], sampling: Sampling): Float64Array {
  const { temperature, topK, topP } = sampling;
  const scores = penalized(logits, text, sampling).map((score) => score / temperature);
  const top = scores[mostLikely(scores)]!;
  // A temperature close to 0 may leave the range of float32; the largest stays the largest.
  const weights = Float64Array.from(scores, (score) => (score === top ? 1 : Math.exp(score - top)));
  let least = 0;
  if (topK > 0 && topK < weights.length) least = weights.slice().sort()[weights.length - topK]!;
  if (topP < 1) least = Math.max(least, leastOfNucleus(weights, least, topP));
  let total = 0;
  for (const [i, weight] of weights.entries()) {
    if (weight < least) weights[i] = 0;
    else total += weight;
  }
  return weights.map((weight) => weight / total);
}

/** The smallest weight that is kept: from below, all are dropped whose sum stays within 1 − p of the whole. */
function leastOfNucleus(weights: Float64Array, least: number, topP: number): number {
  const kept = weights.filter((weight) => weight >= least).sort();
  const total = kept.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  for (const weight of kept) {
    sum += weight;
    if (sum > (1 - topP) * total) return weight;
  }
  return kept.at(-1) ?? 0;
}

/**
 * The repetition penalty of Keskar et al. 2019 (CTRL, section 4.1) in transformers' form, where negative logits are multiplied; and
 * minus infinity for tokens that would complete a sequence of noRepeatNgramSize that is in the text (NoRepeatNGramLogitsProcessor).
 */
function penalized(logits: Float32Array, text: readonly number[], sampling: Sampling): Float32Array {
  const { repetitionPenalty: penalty, noRepeatNgramSize: size } = sampling;
  if (penalty === 1 && size === 0) return logits;
  const scores = logits.slice();
  for (const id of penalty === 1 ? [] : new Set(text)) {
    const score = logits[id];
    if (score !== undefined) scores[id] = score < 0 ? score * penalty : score / penalty;
  }
  for (let last = size - 1; size > 0 && last < text.length; last++) {
    const start = last - size + 1;
    const begun = text.length - size + 1;
    let same = 0;
    while (same < size - 1 && text[start + same] === text[begun + same]) same++;
    if (same === size - 1) scores[text[last]!] = -Infinity;
  }
  return scores;
}

/** Draws by probabilities that add up to 1, but for rounding. */
export function draw(probabilities: Float64Array, uniform: number): number {
  let left = uniform;
  for (let i = 0; i < probabilities.length; i++) {
    left -= probabilities[i]!;
    if (left < 0) return i;
  }
  // Rounding may leave a rest after the last token.
  return mostLikely(probabilities);
}

/** Numbers of [0, 1) that follow from the seed (splitmix32). */
export function uniforms(seed: number): () => number {
  let state = (seed ^ Math.floor(seed / 2 ** 32)) | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
