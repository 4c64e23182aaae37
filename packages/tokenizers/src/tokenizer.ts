import { GradpoolError } from "@gradpool/errors";
import { AddedTokens } from "./added-tokens.js";
import { bytesOf } from "./byte-alphabet.js";
import type { ChatTemplateSource } from "./chat-template.js";
import type { Definition } from "./definition.js";
import { toNfc } from "./nfc.js";
import { PieceEncoder } from "./piece-encoder.js";
import { PreTokenizer } from "./pre-tokenizer.js";

/** Text is worked on in parts of about this many code units, where it may be cut. */
const PART_LENGTH = 1 << 16;
/** Longest part without a place to cut it, in code units: what the runtime's regular expressions can handle. */
export const MAX_PART_LENGTH = 1 << 22;

export type TruncationSide = "left" | "right";

export interface TokenizerInfo {
  /** SHA-256 (hex) over everything that decides ids, the pad token included. */
  hash: string;
  /** Largest id + 1, an added pad token included. */
  vocabSize: number;
  eosId: number;
  eosToken: string;
  padId: number;
  padToken: string;
  /** The pad token is new: the embedding grows by one row. */
  padTokenAdded: boolean;
  /** Undefined when it has none. */
  chatTemplate?: ChatTemplateSource | undefined;
  /** Where a text that is too long loses tokens. */
  truncationSide: TruncationSide;
  /** Notes for the user: where other programs read these files differently. */
  notes: string[];
}

/** How a piece of a longer text is encoded. */
export interface EncodeOptions {
  /** Stop after this many ids; 0: no limit. */
  maxTokens?: number;
  /** Text of the same row came before: no ids are put in front. */
  continued?: boolean;
  /** Text of the same row follows: no ids are put after it. */
  continues?: boolean;
  /** Put no ids before the text or after it. */
  noSpecialTokens?: boolean;
}

/**
 * Where text may be cut so that its ids are those of the parts, one after the other: before a space
 * that follows a character other than whitespace.
 */
export interface CutRule {
  /** Text may be cut at all. */
  atSpaces: boolean;
  /** Tokens that take the whitespace after them. */
  notBehind: string[];
}

/** An encoder and decoder whose ids are those of Hugging Face's tokenizers. */
export class HfTokenizer {
  readonly info: TokenizerInfo;
  readonly cutRule: CutRule;
  readonly #definition: Definition;
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #addedTokens: AddedTokens;
  readonly #preTokenizer: PreTokenizer;
  readonly #pieces: PieceEncoder;
  readonly #bytesOfId = new Map<number, Uint8Array>();
  readonly #specialIds: Set<number>;

  /** `file` is what messages about merges name. Errors: `data_loss`, `failed_precondition`. */
  constructor(definition: Definition, info: TokenizerInfo, files: ReadonlyMap<string, Uint8Array>, file: string) {
    this.info = info;
    this.#definition = definition;
    this.#files = files;
    const normalize = definition.nfc ? toNfc : (text: string) => text;
    this.#addedTokens = new AddedTokens(definition.addedTokens, normalize, definition.splitSpecialTokens);
    this.#preTokenizer = new PreTokenizer(definition.stages);
    this.#pieces = new PieceEncoder(definition, file);
    const { mayCrossSpace, takingSpaceBehind } = this.#addedTokens;
    this.cutRule = { atSpaces: this.#preTokenizer.cutsAtSpaces && !mayCrossSpace, notBehind: takingSpaceBehind };
    for (const [entry, id] of definition.vocab) this.#bytesOfId.set(id, bytesOf(entry) ?? Buffer.from(entry));
    for (const { id, content } of definition.addedTokens) {
      this.#bytesOfId.set(id, bytesOf(content) ?? Buffer.from(content));
    }
    this.#specialIds = new Set(definition.addedTokens.filter(({ special }) => special).map(({ id }) => id));
  }

  /**
   * The ids of a text. Lone surrogates count as U+FFFD. Errors: `invalid_argument` for more than
   * 4 Mi code units without a space.
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { maxTokens = 0, continued = false, continues = false, noSpecialTokens = false } = options;
    const limit = maxTokens > 0 ? maxTokens : Infinity;
    const ids = new IdBuffer(text.length >> 2);
    if (!continued && !noSpecialTokens) ids.append(this.#definition.prefix);
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
    for (let start = 0; start < wellFormed.length && ids.length < limit;) {
      const end = this.#nextCut(wellFormed, start + PART_LENGTH);
      this.#encodePart(wellFormed.slice(start, end), ids, limit);
      start = end;
    }
    if (!continues && !noSpecialTokens) ids.append(this.#definition.suffix);
    return ids.take(limit);
  }

  /** The text of ids; invalid UTF-8 becomes U+FFFD, and ids that are not tokens are left out. */
  decode(ids: Int32Array, { skipSpecialTokens = false }: { skipSpecialTokens?: boolean } = {}): string {
    const pieces: Uint8Array[] = [];
    for (const id of ids) {
      if (skipSpecialTokens && this.#specialIds.has(id)) continue;
      const bytes = this.#bytesOfId.get(id);
      if (bytes) pieces.push(bytes);
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Buffer.concat(pieces));
  }

  /** The files that a result folder needs, by name, with the pad token in them. */
  files(): Map<string, Uint8Array> {
    return new Map(this.#files);
  }

  /** Gives its WebAssembly memory back. It must not be used afterwards. */
  free(): void {
    this.#pieces.free();
  }

  #nextCut(text: string, from: number): number {
    if (from >= text.length || !this.cutRule.atSpaces) return text.length;
    let at = text.indexOf(" ", from);
    while (at >= 0 && !mayCutAt(text, at, this.cutRule)) at = text.indexOf(" ", at + 1);
    return at < 0 ? text.length : at;
  }

  #encodePart(part: string, ids: IdBuffer, limit: number): void {
    if (part.length > MAX_PART_LENGTH) throw tooLong();
    for (const segment of this.#addedTokens.split(part)) {
      if (ids.length >= limit) return;
      if (typeof segment === "number") {
        ids.push(segment);
        continue;
      }
      for (const piece of this.#preTokenizer.split(segment)) {
        const encoded = this.#pieces.encode(piece);
        if (typeof encoded === "number") ids.push(encoded);
        else ids.append(encoded);
        if (ids.length >= limit) return;
      }
    }
  }
}

/** The last place where a text that continues may be cut; 0: nowhere. */
export function lastCut(text: string, rule: CutRule): number {
  if (!rule.atSpaces) return 0;
  for (let at = text.lastIndexOf(" "); at > 0; at = text.lastIndexOf(" ", at - 1)) {
    if (mayCutAt(text, at, rule)) return at;
  }
  return 0;
}

function mayCutAt(text: string, at: number, { notBehind }: CutRule): boolean {
  if (at === 0 || /\p{White_Space}/u.test(text[at - 1] ?? "")) return false;
  return !notBehind.some((content) => text.endsWith(content, at));
}

/** For text that cannot be cut into parts of a workable size. */
export function tooLong(): GradpoolError {
  const message = `a text has more than ${MAX_PART_LENGTH} characters without a space between words; split it into rows`;
  return new GradpoolError("invalid_argument", message);
}

class IdBuffer {
  length = 0;
  #ids: Int32Array<ArrayBuffer>;

  constructor(capacity: number) {
    this.#ids = new Int32Array(Math.max(16, capacity));
  }

  push(id: number): void {
    if (this.length === this.#ids.length) this.#grow(this.length + 1);
    this.#ids[this.length++] = id;
  }

  append(ids: ArrayLike<number>): void {
    if (this.length + ids.length > this.#ids.length) this.#grow(this.length + ids.length);
    for (let i = 0; i < ids.length; i++) this.#ids[this.length++] = ids[i]!;
  }

  /** The first ids, in a buffer of their own. */
  take(limit: number): Int32Array<ArrayBuffer> {
    return this.#ids.slice(0, Math.min(this.length, limit));
  }

  #grow(atLeast: number): void {
    const grown = new Int32Array(Math.max(atLeast, 2 * this.#ids.length));
    grown.set(this.#ids);
    this.#ids = grown;
  }
}
