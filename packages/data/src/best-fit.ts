/**
 * Packing of whole rows by best-fit decreasing (Ding et al. 2024, arXiv 2404.10830), as TRL 1.16's pack_dataset does it
 * with its default strategy "bfd": 1,000 consecutive rows are packed at a time. Here a group of rows also ends once it has
 * MAX_PACKED_TOKENS, so that memory is bounded whatever max_length is. Which rows share a block follows from the data's
 * order alone, so that every epoch has the same blocks; shuffling permutes blocks, as TRL's sampler does.
 */
import { deserialize, serialize } from "node:v8";
import { encodedRows } from "./encoded-rows.js";
import type { EpochPlace, EpochRow } from "./epoch-rows.js";
import { MAX_PACKED_TOKENS, PACKED_ROWS, SHUFFLE_TEXT_BYTES } from "./limits.js";
import { permutation } from "./random.js";
import type { DataRecipe, Encoder } from "./recipe.js";
import { cut, cutOptions, type RowTokens, type Sequence, type SequencePlace } from "./sequences.js";
import { SpillFile, type Spilled } from "./spill-file.js";

/** Tells the order of blocks from that of rows with the same seed. */
const BLOCKS_KEY = 0x626664;

/** Rows that were packed together. */
export interface PackedRows {
  blocks: RowTokens[][];
  /** Rows that they are made of, empty ones included. */
  rows: number;
  /** The epoch's place after them. */
  after: EpochPlace;
  /** Bytes of the data set read so far. */
  bytesRead: number;
}

type Block = Omit<Sequence, "after">;

/**
 * The blocks of an epoch, from a place between two of them. `rows`: from that place on, in the data's order. With
 * shuffling, blocks of at least shuffle_buffer rows are permuted together.
 */
export async function* bestFitSequences(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  epoch: number,
  { packedBlocks, ...from }: SequencePlace,
  signal: AbortSignal,
): AsyncGenerator<Sequence> {
  await using spill = new SpillFile();
  let before: EpochPlace = from;
  let delivered = packedBlocks;
  for await (const { blocks, after } of groups(packedRows(rows, recipe, encoder, signal), recipe, spill)) {
    const key = [recipe.seed, epoch, before.rows, BLOCKS_KEY];
    const order = recipe.shuffleBuffer > 1 ? permutation(blocks.length, key) : blocks.map((_, index) => index);
    while (delivered < blocks.length) {
      const block = blocks[order[delivered]!]!;
      const whole = "offset" in block ? (deserialize(await spill.read(block)) as Block) : block;
      delivered++;
      const place = delivered === blocks.length ? after : before;
      yield { ...whole, after: { ...place, rowTokens: 0, packedBlocks: delivered % blocks.length } };
    }
    before = after;
    delivered = 0;
    spill.clear();
  }
}

/** How rows end that are packed: cut from the right, as TRL does it whatever the tokenizer says. */
export const packedEnds = ({ eosId }: Pick<Encoder, "eosId">) => ({ eosId, truncationSide: "right" as const });

/** Cuts rows to max_length, and packs them, a group at a time; empty rows are left out. */
export async function* packedRows(
  rows: AsyncIterable<EpochRow>,
  recipe: DataRecipe,
  encoder: Encoder,
  signal: AbortSignal,
): AsyncGenerator<PackedRows> {
  const { maxLength } = recipe;
  const ends = packedEnds(encoder);
  let documents: RowTokens[] = [];
  let [count, tokens] = [0, 0];
  let last: EpochRow | undefined;
  const packed = ({ after, bytesRead }: EpochRow): PackedRows => {
    const blocks = bestFitDecreasing(documents, (document) => document.tokens.length, maxLength);
    const rowCount = count;
    documents = [];
    [count, tokens] = [0, 0];
    last = undefined;
    return { blocks, rows: rowCount, after, bytesRead };
  };
  const options = cutOptions(recipe, ends);
  for await (const encoded of encodedRows(rows, encoder, options, signal)) {
    const document = cut(encoded, recipe, ends);
    if (document.tokens.length > 0) documents.push(document);
    tokens += document.tokens.length;
    count++;
    last = encoded.row;
    if (count === PACKED_ROWS || tokens >= MAX_PACKED_TOKENS) yield packed(last);
  }
  if (last) yield packed(last);
}

/** All blocks of at least shuffle_buffer rows, in memory as far as they fit. */
async function* groups(
  packed: AsyncIterable<PackedRows>,
  { shuffleBuffer }: DataRecipe,
  spill: SpillFile,
): AsyncGenerator<{ blocks: (Block | Spilled)[]; after: EpochPlace }> {
  let blocks: (Block | Spilled)[] = [];
  let [rowCount, bytes] = [0, 0];
  let end: EpochPlace | undefined;
  for await (const { blocks: more, rows, after } of packed) {
    for (const documents of more) {
      const block = joined(documents);
      bytes += block.tokens.byteLength + (block.counted?.byteLength ?? 0);
      blocks.push(bytes <= SHUFFLE_TEXT_BYTES ? block : await spill.write(serialize(block)));
    }
    rowCount += rows;
    end = after;
    if (rowCount < shuffleBuffer) continue;
    yield { blocks, after };
    blocks = [];
    [rowCount, bytes] = [0, 0];
  }
  if (end && rowCount > 0) yield { blocks, after: end };
}

/** Documents, one after another. */
function joined(documents: readonly RowTokens[]): Block {
  const lengths = documents.map(({ tokens }) => tokens.length);
  const size = lengths.reduce((sum, length) => sum + length, 0);
  const tokens = new Int32Array(size);
  const counted = new Uint8Array(size).fill(1);
  let start = 0;
  for (const document of documents) {
    tokens.set(document.tokens, start);
    if (document.counted) counted.set(document.counted, start);
    start += document.tokens.length;
  }
  return {
    ...{ tokens, counted, documents: lengths },
    rowsCut: documents.filter(({ isCut }) => isCut).length,
    rowsWithoutEos: documents.filter(({ lostEos }) => lostEos).length,
  };
}

interface Bin<T> {
  members: T[];
  space: number;
  /** When it got this space: of bins with the same, the one that has had it longest is filled first. */
  since: number;
}

/**
 * Items in bins of `size`, none larger than that: the longest first, each into the bin that it leaves least space in; of items of
 * one length the first first.
 */
export function bestFitDecreasing<T>(items: readonly T[], lengthOf: (item: T) => number, size: number): T[][] {
  const bins: Bin<T>[] = [];
  // Array.sort is stable.
  for (const [time, item] of [...items].sort((a, b) => lengthOf(b) - lengthOf(a)).entries()) {
    const length = lengthOf(item);
    let best: Bin<T> | undefined;
    for (const bin of bins) {
      if (bin.space < length) continue;
      if (!best || bin.space < best.space || (bin.space === best.space && bin.since < best.since)) best = bin;
    }
    if (!best) bins.push((best = { members: [], space: size, since: time }));
    best.members.push(item);
    best.space -= length;
    best.since = time;
  }
  return bins.map(({ members }) => members);
}
