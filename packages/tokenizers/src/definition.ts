/** What decides a tokenizer's ids, whatever files it came from. */
import type { Stage } from "./pre-tokenizer.js";

export interface AddedToken {
  id: number;
  content: string;
  singleWord: boolean;
  lstrip: boolean;
  rstrip: boolean;
  /** Matched in the normalized text, not in the raw one. */
  normalized: boolean;
  special: boolean;
}

/** A special token without flags. */
export const plainSpecial = (content: string): Omit<AddedToken, "id"> => ({
  content,
  singleWord: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

export interface Definition {
  /** Entries, in the byte alphabet, and their ids. */
  vocab: Map<string, number>;
  /** Pairs of entries, most important first. */
  merges: [string, string][];
  /** A piece that is an entry as a whole becomes its id, whether merges lead there or not. */
  ignoreMerges: boolean;
  /** The entry for bytes that the vocabulary lacks; without one they vanish. */
  unkToken: string | undefined;
  fuseUnk: boolean;
  /** Normalize to NFC. */
  nfc: boolean;
  stages: Stage[];
  addedTokens: AddedToken[];
  /** Special tokens in a text are text (split_special_tokens). */
  splitSpecialTokens?: true;
  /** Ids before and after each text. */
  prefix: number[];
  suffix: number[];
}

/** A vocabulary and tokens added to it, as Hugging Face's tokenizers give them ids. */
export class AddedVocabulary {
  readonly #vocab: ReadonlyMap<string, number>;
  readonly #tokens = new Map<string, AddedToken>();
  #nextId: number;

  constructor(vocab: ReadonlyMap<string, number>) {
    this.#vocab = vocab;
    this.#nextId = vocab.size;
  }

  get tokens(): AddedToken[] {
    return [...this.#tokens.values()];
  }

  /** Number of entries: transformers' len(tokenizer). */
  get size(): number {
    return this.#vocab.size + this.tokens.filter(({ content }) => !this.#vocab.has(content)).length;
  }

  idOf(content: string): number | undefined {
    return this.#tokens.get(content)?.id ?? this.#vocab.get(content);
  }

  /** Adds a token. An entry keeps its id, a new one gets the next free one. */
  add(token: Omit<AddedToken, "id">): AddedToken {
    const id = this.idOf(token.content) ?? this.#nextId;
    this.#nextId = Math.max(this.#nextId, id + 1);
    const added = { ...token, id };
    this.#tokens.set(token.content, added);
    return added;
  }
}
