/**
 * Merges the bytes of pieces into ids, on tiktoken where every byte has an entry.
 *
 * tiktoken merges any two neighbours whose joined bytes have a rank; the rules of a tokenizer.json name
 * pairs. The two agree on every text when the ranks hold exactly the entries that the rules make of
 * their own bytes alone, ranked by the rule that makes them last. For if neighbours x, y cover the bytes
 * of a ranked entry t, nothing has been merged across its ends so far, so that all merges inside have
 * been those of t alone; these end with one pair, which is x, y, and with its rule. Entries that the
 * rules do not make of their own bytes are never made in longer text either, by the same argument.
 */
import { Tiktoken } from "@dqbd/tiktoken/lite";
import { bytesOf } from "./byte-alphabet.js";
import type { Definition } from "./definition.js";
import { Merges } from "./merges.js";

/** Longest piece that is remembered, in code units; longer ones seldom come twice. */
const MAX_REMEMBERED_LENGTH = 32;
/** Longest piece that goes to tiktoken, in code units: its time grows with the square of the length. */
const MAX_TIKTOKEN_LENGTH = 256;
/** Pieces remembered in each of two generations. */
const MAX_REMEMBERED_PIECES = 1 << 16;
/** From this length on, V8 keeps a part of a text by keeping the whole text. */
const SLICED_LENGTH = 13;

/** One id, or several. */
export type PieceIds = number | ArrayLike<number>;

export class PieceEncoder {
  readonly #merges: Merges;
  readonly #tiktoken: Tiktoken | undefined;
  /** Ids by tiktoken's rank: the 256 bytes, then entries in the order of their rules. */
  readonly #idOfRank: Int32Array;
  /** Pieces that are an entry which no rules make, where such pieces become that entry. */
  readonly #wholePieces = new Map<string, number>();
  #recent = new Map<string, PieceIds>();
  #older = new Map<string, PieceIds>();

  /** Errors: `data_loss` when merges and vocabulary contradict each other. */
  constructor(definition: Definition, file: string) {
    this.#merges = new Merges(definition, file);
    const made = this.#entriesMade(definition);
    if (definition.ignoreMerges) this.#rememberWholePieces(definition, made);
    const bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
    const ranked = [...bytes, ...made.map((entry) => entry.bytes)];
    if (this.#merges.coversBytes) {
      const lines = ranked.map((entry, rank) => `${Buffer.from(entry).toString("base64")} ${rank}`);
      this.#tiktoken = new Tiktoken(lines.join("\n"), {}, "[\\s\\S]+");
    }
    const idsOfBytes = this.#merges.coversBytes ? bytes.map((byte) => this.#merges.encode(byte).ids[0]!) : [];
    this.#idOfRank = Int32Array.from([...idsOfBytes, ...made.map(({ id }) => id)]);
  }

  /** The ids of a piece. */
  encode(piece: string): PieceIds {
    let ids = this.#recent.get(piece);
    if (ids !== undefined) return ids;
    ids = this.#older.get(piece) ?? this.#compute(piece);
    if (piece.length <= MAX_REMEMBERED_LENGTH) this.#remember(piece, ids);
    return ids;
  }

  free(): void {
    this.#tiktoken?.free();
  }

  #compute(piece: string): PieceIds {
    const whole = this.#wholePieces.get(piece);
    if (whole !== undefined) return whole;
    if (!this.#tiktoken || piece.length > MAX_TIKTOKEN_LENGTH) return this.#merges.encode(Buffer.from(piece)).ids;
    const ranks = this.#tiktoken.encode_ordinary(piece);
    if (ranks.length === 1) return this.#idOfRank[ranks[0]!]!;
    return Array.from(ranks, (rank) => this.#idOfRank[rank]!);
  }

  #remember(piece: string, ids: PieceIds): void {
    if (this.#recent.size >= MAX_REMEMBERED_PIECES) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    const key = piece.length < SLICED_LENGTH ? piece : Buffer.from(piece, "utf16le").toString("utf16le");
    this.#recent.set(key, ids);
  }

  /** The entries that the rules make of their own bytes, in the order of the rules that make them last. */
  #entriesMade({ vocab, merges }: Definition): { bytes: Uint8Array; id: number }[] {
    const made: { bytes: Uint8Array; id: number; rank: number }[] = [];
    for (const entry of new Set(merges.map(([left, right]) => left + right))) {
      const bytes = bytesOf(entry);
      const id = vocab.get(entry);
      if (!bytes || id === undefined) continue;
      const { ids, lastRank } = this.#merges.encode(bytes);
      if (ids.length === 1 && ids[0] === id) made.push({ bytes, id, rank: lastRank });
    }
    return made.sort((a, b) => a.rank - b.rank);
  }

  #rememberWholePieces({ vocab }: Definition, made: readonly { id: number }[]): void {
    const idsMade = new Set(made.map(({ id }) => id));
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    for (const [entry, id] of vocab) {
      const bytes = idsMade.has(id) ? undefined : bytesOf(entry);
      if (!bytes) continue;
      try {
        this.#wholePieces.set(decoder.decode(bytes), id);
      } catch {
        // Not whole characters: no piece of a text is this entry.
      }
    }
  }
}
