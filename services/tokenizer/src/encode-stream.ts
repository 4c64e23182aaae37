/**
 * One Encode call: batches are encoded side by side on the pool's threads and answered in order. A long
 * text that comes in pieces is encoded as far as it can be cut, piece by piece.
 */
import { EventEmitter, once } from "node:events";
import { GradpoolError } from "@gradpool/errors";
import { MessageQueue, type EncodeRequest, type EncodeResponse } from "@gradpool/rpc";
import { tooLong, type EncodeOptions } from "@gradpool/tokenizers";
import type { EncodedTexts } from "./encode-job.js";
import type { EncodePool } from "./encode-pool.js";
import type { LoadedTokenizer, TokenizerCache } from "./tokenizer-cache.js";

/** Batches of one call under way at once. */
const MAX_IN_FLIGHT = 4;

/** What is kept of a text in pieces that cannot be cut, in code units. */
const MAX_UNCUT = 1 << 20;

/** A text whose pieces are still coming. */
interface OpenText {
  /** What came and could not be encoded yet. */
  rest: string;
  /** Some of it was encoded already. */
  begun: boolean;
}

export async function* encodeStream(
  requests: AsyncIterable<EncodeRequest>,
  tokenizers: TokenizerCache,
  pool: EncodePool,
): AsyncGenerator<EncodeResponse> {
  const answers = new MessageQueue<Promise<EncodeResponse>>();
  const taken = new EventEmitter();
  const reading = (async () => {
    let loaded: LoadedTokenizer | undefined;
    let open: OpenText | undefined;
    for await (const request of requests) {
      loaded ??= await tokenizers.get(request.tokenizer);
      const { texts, options, next } = cut(request, open, loaded);
      open = next;
      const answered = pool.encode({ tokenizer: loaded.key, texts, options }).then((encoded) => {
        return answer(encoded, request.continues);
      });
      // Its failure is met when its turn comes.
      answered.catch(() => {});
      answers.push(answered);
      if (answers.length >= MAX_IN_FLIGHT) await once(taken, "answer");
    }
    if (open) throw new GradpoolError("invalid_argument", "the call ended within a text that was to go on");
  })().finally(() => answers.end());
  reading.catch(() => {});
  for await (const answered of answers) {
    taken.emit("answer");
    yield await answered;
  }
  await reading;
}

const answer = ({ ids, lengths }: EncodedTexts, continues: boolean): EncodeResponse => ({
  ids: new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength),
  lengths,
  continues,
});

interface Cut {
  texts: string[];
  options: EncodeOptions;
  next: OpenText | undefined;
}

/** What of a request can be encoded now, and what has to wait for the text's next piece. */
function cut(
  { texts, continues, maxTokens }: EncodeRequest,
  open: OpenText | undefined,
  { tokenizer }: LoadedTokenizer,
): Cut {
  if (!open && !continues) return { texts, options: { maxTokens }, next: undefined };
  const [piece, ...others] = texts;
  if (piece === undefined || others.length > 0) {
    throw new GradpoolError("invalid_argument", "a request with a piece of a text must hold that piece alone");
  }
  const text = (open?.rest ?? "") + piece;
  const continued = open?.begun ?? false;
  if (!continues) return { texts: [text], options: { maxTokens, continued }, next: undefined };
  const end = tokenizer.lastCut(text);
  if (text.length - end > MAX_UNCUT) throw tooLong();
  const next = { rest: text.slice(end), begun: continued || end > 0 };
  // Nothing may be put in front of a text of which nothing is encoded yet.
  const options = { maxTokens, continued: continued || end === 0, continues: true };
  return { texts: [text.slice(0, end)], options, next };
}
