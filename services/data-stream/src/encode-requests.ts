import type { EncodeOptions } from "@gradpool/data";
import type { EncodeRequest, TokenizerRef } from "@gradpool/rpc";

/** Largest text in one message, in bytes of UTF-8: the contract's bound. */
const MESSAGE_BYTES = 512 * 1024;

/** Code units of a long text per message: each is at most three bytes of UTF-8. */
const PIECE_LENGTH = Math.floor(MESSAGE_BYTES / 3);

/** Pieces of a long text in flight before their responses arrive. */
const PIECES_AHEAD = 4;

/** The messages of one Encode call: small texts together, a long one in pieces. */
export class EncodeRequests {
  readonly #ref: TokenizerRef;
  readonly #texts: readonly string[];
  readonly #maxTokens: number;
  readonly #noSpecialTokens: boolean;
  #unanswered = 0;
  /** Ids received of the text that is being sent in pieces. */
  #idsOfText = 0;
  #closed = false;
  #wake = () => {};

  constructor(ref: TokenizerRef, texts: readonly string[], maxTokens: number, { specialTokens }: EncodeOptions) {
    this.#ref = ref;
    this.#noSpecialTokens = !specialTokens;
    this.#texts = texts;
    this.#maxTokens = maxTokens;
  }

  /** Called for each response, with the ids received so far of an unfinished text. */
  answered(idsOfText: number): void {
    this.#unanswered--;
    this.#idsOfText = idsOfText;
    this.#wake();
  }

  /** Ends the messages: the call has ended. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async *messages(): AsyncGenerator<EncodeRequest> {
    let texts: string[] = [];
    let bytes = 0;
    for (const text of this.#texts) {
      const textBytes = Buffer.byteLength(text);
      if (texts.length > 0 && bytes + textBytes > MESSAGE_BYTES) {
        yield this.#message(texts, false);
        texts = [];
        bytes = 0;
      }
      if (textBytes > MESSAGE_BYTES) {
        yield* this.#pieces(text);
      } else {
        texts.push(text);
        bytes += textBytes;
      }
    }
    if (texts.length > 0) yield this.#message(texts, false);
  }

  /**
   * The pieces of a long text. Once max_tokens of its ids have arrived, the rest of the text cannot change
   * them, for ids in a response are final: an empty piece ends it.
   */
  async *#pieces(text: string): AsyncGenerator<EncodeRequest> {
    // Responses to earlier texts must not count as this one's.
    await this.#untilUnanswered(0);
    this.#idsOfText = 0;
    for (let start = 0; start < text.length;) {
      await this.#untilUnanswered(PIECES_AHEAD - 1);
      if (this.#closed) return;
      if (this.#maxTokens > 0 && this.#idsOfText >= this.#maxTokens) {
        yield this.#message([""], false);
        return;
      }
      let end = Math.min(start + PIECE_LENGTH, text.length);
      if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--;
      yield this.#message([text.slice(start, end)], end < text.length);
      start = end;
    }
  }

  #message(texts: string[], continues: boolean): EncodeRequest {
    this.#unanswered++;
    return {
      tokenizer: this.#ref,
      texts,
      continues,
      maxTokens: this.#maxTokens,
      noSpecialTokens: this.#noSpecialTokens,
    };
  }

  async #untilUnanswered(count: number): Promise<void> {
    while (this.#unanswered > count && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
