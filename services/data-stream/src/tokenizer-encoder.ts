import type { ChatTemplateSource, EncodeOptions, Encoder } from "@gradpool/data";
import { GradpoolError } from "@gradpool/errors";
import {
  isBroken,
  type Client,
  type EncodeResponse,
  type TokenizerInfo,
  type TokenizerRef,
  type TokenizerServiceService,
} from "@gradpool/rpc";
import { Backoff } from "@gradpool/service-kit";
import { within } from "@gradpool/tracing";
import { EncodeRequests } from "./encode-requests.js";

/** How long the tokenizer service may be unavailable before a stream fails. */
const RETRY_MS = 30_000;
/** It may end this often in a row during the same call, which then is the reason. */
const MAX_BREAKS = 5;
const PAUSES = { firstMs: 50, longestMs: 1_000 };

/** A stream's trace shows its first Encode calls only: a week-long stream has millions. */
const TRACED_CALLS = 4;

/**
 * Encodes with the tokenizer service: one Encode call per batch. Calls run concurrently over one
 * connection, which keeps all of the service's workers busy, and a batch whose call fails is simply
 * sent again: its ids come back once or not at all.
 */
export class TokenizerEncoder implements Encoder {
  readonly eosId: number;
  readonly padId: number;
  readonly chatTemplate: ChatTemplateSource | undefined;
  readonly truncationSide: "left" | "right";
  readonly #client: Client<TokenizerServiceService>;
  readonly #ref: TokenizerRef;
  readonly #retryMs: number;
  #calls = 0;

  private constructor(
    client: Client<TokenizerServiceService>,
    ref: TokenizerRef,
    info: TokenizerInfo,
    retryMs: number,
  ) {
    this.eosId = info.eosId;
    this.padId = info.padId;
    this.chatTemplate = info.chatTemplate;
    this.truncationSide = info.truncationSide === "left" ? "left" : "right";
    this.#client = client;
    // With its hash: a tokenizer that changes while the stream is open is refused.
    this.#ref = { ...ref, tokenizerHash: info.tokenizerHash };
    this.#retryMs = retryMs;
  }

  /** Identifies its ids and the texts it makes of chats: with another key they may differ. */
  get key(): string {
    return JSON.stringify([this.#ref.tokenizerHash, this.chatTemplate ?? null]);
  }

  /** Errors: those of GetTokenizer; `unavailable` when the service stays unavailable for `retryMs`. */
  static async create(
    client: Client<TokenizerServiceService>,
    ref: TokenizerRef,
    signal: AbortSignal,
    retryMs = RETRY_MS,
  ): Promise<TokenizerEncoder> {
    const { info } = await retrying(() => client.getTokenizer({ tokenizer: ref }, { signal }), retryMs, signal);
    if (!info) throw new Error("GetTokenizer answered without a tokenizer");
    return new TokenizerEncoder(client, ref, info, retryMs);
  }

  /** Errors: those of Encode; `unavailable` when the service stays unavailable. */
  async encode(
    texts: readonly string[],
    maxTokens: number,
    signal: AbortSignal,
    options: EncodeOptions = { specialTokens: true },
  ): Promise<Int32Array[]> {
    const encode = () => retrying(() => this.#encodeOnce(texts, maxTokens, signal, options), this.#retryMs, signal);
    return this.#calls++ < TRACED_CALLS ? encode() : within("", encode);
  }

  async #encodeOnce(
    texts: readonly string[],
    maxTokens: number,
    signal: AbortSignal,
    options: EncodeOptions,
  ): Promise<Int32Array[]> {
    const requests = new EncodeRequests(this.#ref, texts, maxTokens, options);
    const encoded: Int32Array[] = [];
    let parts: Int32Array[] = [];
    try {
      for await (const response of this.#client.encode(requests.messages(), { signal })) {
        const idsOfTexts = split(response);
        for (const [index, ids] of idsOfTexts.entries()) {
          parts.push(ids);
          if (response.continues && index === idsOfTexts.length - 1) continue;
          encoded.push(join(parts, maxTokens));
          parts = [];
        }
        requests.answered(parts.reduce((sum, ids) => sum + ids.length, 0));
      }
    } finally {
      requests.close();
    }
    if (encoded.length === texts.length) return encoded;
    throw new GradpoolError("unavailable", "the tokenizer service ended a call early; try again");
  }
}

/** The ids of each text of a response. */
function split({ ids, lengths }: EncodeResponse): Int32Array[] {
  // A message's bytes may begin anywhere in their buffer; a copy is aligned. (A Buffer's slice() would be no copy.)
  const all = new Int32Array(new Uint8Array(ids).buffer);
  let start = 0;
  return lengths.map((length) => all.subarray(start, (start += length)));
}

function join(parts: Int32Array[], maxTokens: number): Int32Array {
  const [first] = parts;
  const limit = maxTokens === 0 ? Infinity : maxTokens;
  if (first && parts.length === 1) return first.subarray(0, limit);
  const whole = new Int32Array(parts.reduce((sum, ids) => sum + ids.length, 0));
  let start = 0;
  for (const ids of parts) {
    whole.set(ids, start);
    start += ids.length;
  }
  return whole.subarray(0, limit);
}

/** Retries while the service is unavailable; other errors are thrown at once. */
async function retrying<T>(call: () => Promise<T>, retryMs: number, signal: AbortSignal): Promise<T> {
  const giveUpAt = performance.now() + retryMs;
  const backoff = new Backoff(PAUSES);
  let breaks = 0;
  for (;;) {
    try {
      return await call();
    } catch (reason) {
      const error = GradpoolError.from(reason);
      signal.throwIfAborted();
      // A service that is shutting down cancels its calls.
      if (error.code !== "unavailable" && error.code !== "cancelled") throw error;
      if (isBroken(error) && ++breaks === MAX_BREAKS) {
        const message = `the tokenizer service ended ${MAX_BREAKS} times in a row on the same texts; its log says why; correct the data or the tokenizer`;
        throw new GradpoolError("failed_precondition", message, { cause: error });
      }
      if (performance.now() >= giveUpAt) {
        const message = `the tokenizer service cannot be reached (${error.message}); start it, then resume`;
        throw new GradpoolError("unavailable", message, { cause: error });
      }
    }
    await backoff.pause(signal);
  }
}
