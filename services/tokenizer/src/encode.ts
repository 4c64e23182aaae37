import { GradpoolError } from "@gradpool/errors";
import type { CallContext, EncodeRequest, EncodeResponse } from "@gradpool/rpc";
import { type CutRule, lastCut, MAX_PART_LENGTH, tooLong } from "@gradpool/tokenizers";
import { inOrder } from "./in-order.js";
import type { TokenizerMetrics } from "./metrics.js";
import type { ModelFolders } from "./model-folders.js";
import { keyOf } from "./tokenizer-key.js";
import type { EncodeWork, ResultOf, TokenizerKey } from "./work.js";
import type { WorkerPool } from "./worker-pool.js";

/** Most ids in a response: 4 bytes each, a message may have 4 MiB. */
const MAX_IDS_PER_RESPONSE = 1_000_000;

/** Requests of a stream in progress, in addition to one per thread. */
const REQUESTS_AHEAD = 2;

/** TokenizerService.Encode. */
export function encodeHandler(pool: WorkerPool, models: ModelFolders, metrics: TokenizerMetrics) {
  return async function* encode(
    requests: AsyncIterable<EncodeRequest>,
    { signal }: CallContext,
  ): AsyncGenerator<EncodeResponse> {
    let stream: EncodeStream | undefined;
    let opening: Promise<EncodeStream> | undefined;
    yield* inOrder(requests, pool.size + REQUESTS_AHEAD, async (request) => {
      opening ??= EncodeStream.open(pool, models, request, signal);
      stream ??= await opening;
      const response = await stream.answer(request);
      metrics.encoded(request.texts.length, response.ids.byteLength / Int32Array.BYTES_PER_ELEMENT);
      return response;
    });
    stream?.requireWholeText();
  };
}

/** State of one Encode call between its requests. */
class EncodeStream {
  readonly #pool: WorkerPool;
  readonly #key: TokenizerKey;
  readonly #hash: string;
  readonly #cutRule: CutRule;
  readonly #signal: AbortSignal;
  /** The end of an unfinished text, whose ids the next piece may change. */
  #held = "";
  #continued = false;
  /** Ids sent so far of the current text. */
  #answered = 0;
  #before: Promise<unknown> = Promise.resolve();

  private constructor(pool: WorkerPool, key: TokenizerKey, described: ResultOf["describe"], signal: AbortSignal) {
    this.#pool = pool;
    this.#key = key;
    this.#hash = described.info.hash;
    this.#cutRule = described.cutRule;
    this.#signal = signal;
  }

  static async open(
    pool: WorkerPool,
    models: ModelFolders,
    { tokenizer }: EncodeRequest,
    signal: AbortSignal,
  ): Promise<EncodeStream> {
    const key = await keyOf(tokenizer, models, signal);
    const described = await pool.run(key, tokenizer?.tokenizerHash ?? "", { kind: "describe" }, signal);
    return new EncodeStream(pool, key, described, signal);
  }

  /** Call in the requests' order; the work itself runs concurrently. */
  answer(request: EncodeRequest): Promise<EncodeResponse> {
    const encoding = this.#pool.run(this.#key, this.#hash, this.#workOf(request), this.#signal);
    const answering = Promise.all([encoding, this.#before]).then(([encoded]) => this.#responseOf(request, encoded));
    this.#before = answering;
    answering.catch(() => {});
    return answering;
  }

  /** Errors: `invalid_argument` when a text is unfinished. */
  requireWholeText(): void {
    if (this.#continued)
      throw new GradpoolError(
        "invalid_argument",
        "the call ended within a text marked as continued; send its last piece",
      );
  }

  #workOf({ texts, continues, maxTokens, noSpecialTokens = false }: EncodeRequest): EncodeWork {
    if (continues && texts.length !== 1) {
      const message = `a request that continues holds one text, not ${texts.length}; send the others in separate requests`;
      throw new GradpoolError("invalid_argument", message);
    }
    const continued = this.#continued;
    if (continued) texts = [this.#held + (texts[0] ?? ""), ...texts.slice(1)];
    this.#continued = continues;
    this.#held = "";
    if (continues) {
      const [text = ""] = texts;
      const cut = lastCut(text, this.#cutRule);
      this.#held = text.slice(cut);
      if (this.#held.length > MAX_PART_LENGTH) throw tooLong();
      texts = [text.slice(0, cut)];
    }
    return { kind: "encode", texts, maxTokens, noSpecialTokens, continued, continues };
  }

  #responseOf({ continues, maxTokens }: EncodeRequest, { ids, lengths }: ResultOf["encode"]): EncodeResponse {
    if (ids.length > MAX_IDS_PER_RESPONSE) throw tooLong();
    const [first = 0] = lengths;
    const left = maxTokens === 0 ? first : Math.min(first, Math.max(0, maxTokens - this.#answered));
    if (left < first) {
      // Ids of earlier pieces count as well.
      ids = concatenated(ids.subarray(0, left), ids.subarray(first));
      lengths = [left, ...lengths.slice(1)];
    }
    this.#answered = continues ? this.#answered + left : 0;
    return { ids: new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength), lengths, continues };
  }
}

function concatenated(a: Int32Array, b: Int32Array): Int32Array<ArrayBuffer> {
  const whole = new Int32Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
