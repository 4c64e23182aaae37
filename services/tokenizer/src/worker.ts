/** A worker thread: loads tokenizers, and encodes and decodes with them, one job at a time. */
import { GradpoolError } from "@gradpool/errors";
import { threadPort, toPlain } from "@gradpool/threads";
import { type HfTokenizer, loadTokenizer } from "@gradpool/tokenizers";
import type { EncodeWork, ResultOf, TokenizerKey, Work, WorkAnswer, WorkMessage } from "./work.js";

/** Tokenizers kept in each thread; a large one (Llama 3's) takes about 150 MB. */
const MAX_TOKENIZERS = 4;

/** The most recently used is last. */
const tokenizers = new Map<string, HfTokenizer>();

const port = threadPort();
let before = Promise.resolve();
port.on("message", (message: WorkMessage) => {
  before = before.then(() => answer(message));
});

async function answer({ id, key, hash, work }: WorkMessage): Promise<void> {
  try {
    const loaded = !tokenizers.has(JSON.stringify(key));
    const tokenizer = await tokenizerOf(key);
    if (hash && tokenizer.info.hash !== hash) throw otherTokenizer(key, tokenizer.info.hash, hash);
    const result = resultOf(tokenizer, work);
    reply({ id, loaded, result }, "ids" in Object(result) ? [(result as ResultOf["encode"]).ids.buffer] : []);
  } catch (reason) {
    reply({ id, error: toPlain(reason) }, []);
  }
}

function reply(answer: WorkAnswer, transfer: ArrayBuffer[]): void {
  port.postMessage(answer, transfer);
}

function otherTokenizer({ dir }: TokenizerKey, found: string, wanted: string): GradpoolError {
  const message = `the tokenizer in ${dir} is not the expected one (hash ${found.slice(0, 12)}…, not ${wanted.slice(0, 12)}…); restore its files, or start a new run`;
  return new GradpoolError("failed_precondition", message);
}

async function tokenizerOf(key: TokenizerKey): Promise<HfTokenizer> {
  const name = JSON.stringify(key);
  const known = tokenizers.get(name);
  const tokenizer = known ?? (await loadTokenizer(key.dir, key.padToken));
  tokenizers.delete(name);
  tokenizers.set(name, tokenizer);
  for (const [oldest, unused] of tokenizers) {
    if (tokenizers.size <= MAX_TOKENIZERS) break;
    tokenizers.delete(oldest);
    unused.free();
  }
  return tokenizer;
}

function resultOf(tokenizer: HfTokenizer, work: Work): ResultOf[Work["kind"]] {
  switch (work.kind) {
    case "describe":
      return { info: tokenizer.info, cutRule: tokenizer.cutRule };
    case "files":
      return tokenizer.files();
    case "decode":
      return tokenizer.decode(work.ids, { skipSpecialTokens: work.skipSpecialTokens });
    case "encode":
      return encode(tokenizer, work);
  }
}

function encode(tokenizer: HfTokenizer, work: EncodeWork): ResultOf["encode"] {
  const { texts, maxTokens, noSpecialTokens, continued, continues } = work;
  const encoded = texts.map((text, index) =>
    tokenizer.encode(text, {
      maxTokens,
      noSpecialTokens,
      continued: continued && index === 0,
      continues: continues && index === texts.length - 1,
    }),
  );
  const lengths = encoded.map(({ length }) => length);
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let start = 0;
  for (const part of encoded) {
    ids.set(part, start);
    start += part.length;
  }
  return { ids, lengths };
}
