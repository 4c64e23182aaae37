import { encodedRows, type EncodedRow } from "./encoded-rows.js";
import type { EpochPlace, EpochRow } from "./epoch-rows.js";
import { chatOptions, type ChatOptions, type DataRecipe, type Encoder } from "./recipe.js";
import type { RowContent } from "./row-content.js";

/** A place in an epoch, between two sequences. */
export interface SequencePlace extends EpochPlace {
  /** Tokens of the next row that packing has delivered already. */
  rowTokens: number;
  /** Of the blocks that are packed from the next rows together (best-fit.ts), those delivered already. */
  packedBlocks: number;
}

/** The tokens of one row of the data. */
export interface RowTokens {
  tokens: Int32Array;
  /** For each token 1 if it counts in the loss, else 0; undefined when all count. */
  counted: Uint8Array | undefined;
  /** The row was longer than max_length. */
  isCut: boolean;
  /** It lost its end-of-sequence token by that, so it does not teach where a text ends. */
  lostEos: boolean;
}

/** One row of a micro-batch. */
export interface Sequence extends Pick<RowTokens, "tokens" | "counted"> {
  /** Tokens of each document in it, where it holds several that do not see each other; undefined: it is a single one. */
  documents?: readonly number[];
  /** Of the data's rows in it, those that were cut, and that lost their end-of-sequence token by it. */
  rowsCut: number;
  rowsWithoutEos: number;
  after: SequencePlace;
}

/** One sequence per row: encode(text) + [eos], cut to max_length at the tokenizer's truncation_side. */
export async function* cutSequences(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<Sequence> {
  for await (const encoded of encodedRows(rows, encoder, cutOptions(recipe, encoder), signal)) {
    const { isCut, lostEos, ...row } = cut(encoded, recipe, encoder);
    const found = { rowsCut: Number(isCut), rowsWithoutEos: Number(lostEos) };
    yield { ...row, ...found, after: { ...encoded.row.after, ...WHOLE } };
  }
}

/** Of a place between two rows. */
const WHOLE = { rowTokens: 0, packedBlocks: 0 };

/** How rows are encoded that are cut. */
export function cutOptions(
  recipe: DataRecipe,
  { truncationSide }: Pick<Encoder, "truncationSide">,
): ChatOptions & { maxTokens: number } {
  // One more than is kept shows whether there was more.
  return { maxTokens: truncationSide === "left" ? 0 : recipe.maxLength + 1, ...chatOptions(recipe) };
}

/** An encoded row as it is trained on, unless it is packed. */
export function cut(
  { row, tokens, counted }: EncodedRow<{ content: RowContent }>,
  { maxLength, appendEos: endTexts }: DataRecipe,
  { eosId, truncationSide }: Pick<Encoder, "eosId" | "truncationSide">,
): RowTokens {
  const fromLeft = truncationSide === "left";
  const appendEos = endTexts && !isChat(row.content);
  const [whole, wholeCounted] = appendEos ? ended(tokens, counted, eosId, 1) : [tokens, counted];
  const isCut = whole.length > maxLength;
  const first = fromLeft && isCut ? whole.length - maxLength : 0;
  return {
    tokens: whole.subarray(first, first + maxLength),
    counted: wholeCounted?.subarray(first, first + maxLength),
    isCut,
    lostEos: isCut && appendEos && !fromLeft,
  };
}

/**
 * Joins encode(text) + [eos] of all rows and cuts the result into blocks of max_length tokens. A row
 * may spread over several blocks; the epoch's last block may be shorter, so that no token is lost.
 * A block leaves as soon as it is full: what is left over then is from a single row.
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
  let filled = 0;
  let skip = delivered;
  let after: SequencePlace | undefined;
  for await (const { row, tokens, counted } of encodedRows(
    rows,
    encoder,
    { maxTokens: 0, ...chatOptions(recipe) },
    signal,
  )) {
    // A chat's template has said how it ends: the token that separates it from the next is not part of it.
    const [whole, wholeCounted] = ended(tokens, counted, encoder.eosId, isChat(row.content) ? 0 : 1);
    after = { ...row.after, ...WHOLE };
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
        after: taken < whole.length ? { ...row.before, ...WHOLE, rowTokens: taken } : after,
        ...UNCUT,
      };
      block = new Int32Array(recipe.maxLength);
      blockCounted = new Uint8Array(recipe.maxLength).fill(1);
      filled = 0;
    }
    skip = 0;
  }
  if (filled > 0 && after) {
    yield { tokens: block.subarray(0, filled), counted: blockCounted.subarray(0, filled), after, ...UNCUT };
  }
}

/** This packing drops no token. */
const UNCUT = { rowsCut: 0, rowsWithoutEos: 0 };

/** A row with the end-of-sequence token, unless its text ends in it; `eosCounts` is 1 where a new one counts in the loss. */
function ended(
  tokens: Int32Array,
  counted: Uint8Array | undefined,
  eosId: number,
  eosCounts: number,
): [tokens: Int32Array, counted: Uint8Array | undefined] {
  if (tokens.at(-1) === eosId) return [tokens, counted];
  const whole = new Int32Array(tokens.length + 1);
  whole.set(tokens);
  whole[tokens.length] = eosId;
  if (counted === undefined) return [whole, undefined];
  const wholeCounted = new Uint8Array(counted.length + 1);
  wholeCounted.set(counted);
  wholeCounted[counted.length] = eosCounts;
  return [whole, wholeCounted];
}

/** Tokens that a row adds to a packed epoch. */
export function packedLength(tokens: Int32Array, eosId: number): number {
  return tokens.length + (tokens.at(-1) === eosId ? 0 : 1);
}

/** Also one whose prompt and completion are columns of their own. */
function isChat(content: RowContent): boolean {
  return "messages" in content;
}
