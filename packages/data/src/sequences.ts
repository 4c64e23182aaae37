import { encodedRows } from "./encoded-rows.js";
import type { EpochPlace, EpochRow } from "./epoch-rows.js";
import type { DataRecipe, Encoder } from "./recipe.js";

/** Where an epoch stands between two sequences. */
export interface SequencePlace extends EpochPlace {
  /** Tokens of the next row that packing has delivered already. */
  rowTokens: number;
}

/** One row of a micro-batch. */
export interface Sequence {
  tokens: Int32Array;
  after: SequencePlace;
}

/** One sequence per row: encode(text) + [eos], cut to max_length. */
export async function* cutSequences(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<Sequence> {
  for await (const { row, tokens } of encodedRows(rows, encoder, recipe.maxLength, signal)) {
    const whole = recipe.appendEos ? withEos(tokens, encoder.eosId) : tokens;
    yield { tokens: whole.subarray(0, recipe.maxLength), after: { ...row.after, rowTokens: 0 } };
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
  let filled = 0;
  let skip = delivered;
  let after: SequencePlace | undefined;
  for await (const { row, tokens } of encodedRows(rows, encoder, 0, signal)) {
    const whole = withEos(tokens, encoder.eosId);
    after = { ...row.after, rowTokens: 0 };
    for (let taken = skip; taken < whole.length;) {
      const piece = whole.subarray(taken, taken + recipe.maxLength - filled);
      block.set(piece, filled);
      filled += piece.length;
      taken += piece.length;
      if (filled < recipe.maxLength) break;
      yield { tokens: block, after: taken < whole.length ? { ...row.before, rowTokens: taken } : after };
      block = new Int32Array(recipe.maxLength);
      filled = 0;
    }
    skip = 0;
  }
  if (filled > 0 && after) yield { tokens: block.subarray(0, filled), after };
}

function withEos(tokens: Int32Array, eosId: number): Int32Array {
  const whole = new Int32Array(tokens.length + 1);
  whole.set(tokens);
  whole[tokens.length] = eosId;
  return whole;
}
