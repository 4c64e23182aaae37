import assert from "node:assert/strict";
import { Tokenizer } from "tokenizers";
import type { HfTokenizer } from "../src/index.js";

/** Texts per call of the other library. */
const BATCH = 16;

/** Gives the bytes of the texts. */
export async function assertSame(tokenizer: HfTokenizer, theirs: Tokenizer, texts: string[]): Promise<number> {
  let bytes = 0;
  for (let start = 0; start < texts.length; start += BATCH) {
    const batch = texts.slice(start, start + BATCH);
    const encodings = await theirs.encodeBatch(batch);
    for (const [i, text] of batch.entries()) {
      const ids = tokenizer.encode(text);
      const expected = Int32Array.from(encodings[i]?.getIds() ?? []);
      if (!Buffer.from(ids.buffer).equals(Buffer.from(expected.buffer))) {
        const at = ids.findIndex((id, j) => id !== expected[j]);
        const near = (all: Int32Array) => tokenizer.decode(all.subarray(Math.max(0, at - 3), at + 4));
        assert.fail(`id ${at} of text ${start + i} differs: ${JSON.stringify([near(ids), near(expected)])}`);
      }
      bytes += Buffer.byteLength(text);
    }
  }
  return bytes;
}

/** The same tokenizer in Hugging Face's library. */
export function theirs(tokenizer: HfTokenizer): Tokenizer {
  return Tokenizer.fromString(Buffer.from(tokenizer.files().get("tokenizer.json") ?? "").toString());
}
