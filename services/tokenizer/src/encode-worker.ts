/** An encoding thread: loads tokenizers as jobs name them, and encodes one job after the other. */
import { parentPort } from "node:worker_threads";
import { GradpoolError } from "@gradpool/errors";
import { loadTokenizer, type HfTokenizer } from "@gradpool/tokenizers";
import type { EncodedTexts, EncodeJob, EncodeReplyMessage, EncodeRequestMessage, TokenizerKey } from "./encode-job.js";

/** Tokenizers kept at once; the least recently used is freed. */
const MAX_TOKENIZERS = 4;

const port = parentPort;
if (!port) throw new Error("this file is a worker thread's");

/** Least recently used first. */
const tokenizers = new Map<string, HfTokenizer>();

async function tokenizerOf({ dir, padToken, hash }: TokenizerKey): Promise<HfTokenizer> {
  const key = JSON.stringify([dir, padToken, hash]);
  let tokenizer = tokenizers.get(key);
  tokenizers.delete(key);
  if (!tokenizer) {
    tokenizer = await loadTokenizer(dir, padToken);
    if (tokenizer.info.hash !== hash) {
      tokenizer.free();
      throw new GradpoolError(
        "failed_precondition",
        `the tokenizer in ${dir} changed while it was in use; start again`,
      );
    }
    for (const [oldest, unused] of tokenizers) {
      if (tokenizers.size < MAX_TOKENIZERS) break;
      tokenizers.delete(oldest);
      unused.free();
    }
  }
  tokenizers.set(key, tokenizer);
  return tokenizer;
}

async function encode({ tokenizer: key, texts, options }: EncodeJob): Promise<EncodedTexts> {
  const tokenizer = await tokenizerOf(key);
  const parts = texts.map((text) => tokenizer.encode(text, options));
  const lengths = parts.map(({ length }) => length);
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    ids.set(part, offset);
    offset += part.length;
  }
  return { ids, lengths };
}

async function answer({ id, job }: EncodeRequestMessage): Promise<void> {
  try {
    const encoded = await encode(job);
    port?.postMessage({ id, encoded } satisfies EncodeReplyMessage, [encoded.ids.buffer]);
  } catch (reason) {
    const { code, message } = GradpoolError.from(reason);
    port?.postMessage({ id, error: { code, message } } satisfies EncodeReplyMessage);
  }
}

let last = Promise.resolve();
port.on("message", (request: EncodeRequestMessage) => {
  last = last.then(() => answer(request));
});
