import { encodedRows } from "./encoded-rows.js";
import type { EpochPlace, EpochRow } from "./epoch-rows.js";
import { chatOptions, columnsOf, type DataRecipe, type Encoder } from "./recipe.js";

/** Where an epoch stands between two sequences. */
export interface SequencePlace extends EpochPlace {
  /** Tokens of the next row that packing has delivered already. */
  rowTokens: number;
}

/** One row of a micro-batch. */
export interface Sequence {
  tokens: Int32Array;
  /** For each token 1 if it counts in the loss, else 0; undefined when all count. */
  counted: Uint8Array | undefined;
  after: SequencePlace;
}

/** One sequence per row: encode(text) + [eos], cut to max_length. */
export async function* cutSequences(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<Sequence> {
  const appendEos = recipe.appendEos && !isChat(recipe);
  for await (const { row, tokens, counted } of encodedRows(
    rows,
    encoder,
    { maxTokens: recipe.maxLength, ...chatOptions(recipe) },
    signal,
  )) {
    const whole = appendEos ? withEos(tokens, encoder.eosId) : tokens;
    const wholeCounted = appendEos ? withLast(counted, 1) : counted;
    yield {
      tokens: whole.subarray(0, recipe.maxLength),
      counted: wholeCounted?.subarray(0, recipe.maxLength),
      after: { ...row.after, rowTokens: 0 },
    };
  }
}

/**
 * Joins encode(text) + [eos] of all rows and cuts the result into blocks of max_length tokens. A row
 * may spread over several blocks; the epoch's last block may be shorter, so that no token is lost.
 * A block leaves as soon as it is full: what is left over then is the rest of a single row.
 * `delivered` tokens of the first row are skipped.
 */
export async function* packedSequences(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  delivered: number,
  signal: AbortSignal,
): AsyncGenerator<Sequence> {
  let block = new Int32Array(recipe.maxLength);
  let blockCounted = new Uint8Array(recipe.maxLength).fill(1);
  // A chat's template has said how it ends: the token that splits it from the next is no part of it.
  const eosCounts = isChat(recipe) ? 0 : 1;
  let filled = 0;
  let skip = delivered;
  let after: SequencePlace | undefined;
  for await (const { row, tokens, counted } of encodedRows(
    rows,
    encoder,
    { maxTokens: 0, ...chatOptions(recipe) },
    signal,
  )) {
    const whole = withEos(tokens, encoder.eosId);
    const wholeCounted = withLast(counted, eosCounts);
    after = { ...row.after, rowTokens: 0 };
    for (let taken = skip; taken < whole.length;) {
      const piece = whole.subarray(taken, taken + recipe.maxLength - filled);
      block.set(piece, filled);
      if (wholeCounted) blockCounted.set(wholeCounted.subarray(taken, taken + piece.length), filled);
      filled += piece.length;
      taken += piece.length;
      if (filled < recipe.maxLength) break;
      yield {
        tokens: block,
        counted: blockCounted,
        after: taken < whole.length ? { ...row.before, rowTokens: taken } : after,
      };
      block = new Int32Array(recipe.maxLength);
      blockCounted = new Uint8Array(recipe.maxLength).fill(1);
      filled = 0;
    }
    skip = 0;
  }
  if (filled > 0 && after) {
    yield { tokens: block.subarray(0, filled), counted: blockCounted.subarray(0, filled), after };
  }
}

function withEos(tokens: Int32Array, eosId: number): Int32Array {
  const whole = new Int32Array(tokens.length + 1);
  whole.set(tokens);
  whole[tokens.length] = eosId;
  return whole;
}

function withLast(counted: Uint8Array | undefined, last: number): Uint8Array | undefined {
  if (counted === undefined) return undefined;
  const whole = new Uint8Array(counted.length + 1);
  whole.set(counted);
  whole[counted.length] = last;
  return whole;
}

function isChat(recipe: DataRecipe): boolean {
  return columnsOf(recipe).kind === "messages";
}
