import { chunks, type Handlers, type TokenizerInfo, type TokenizerServiceService } from "@gradpool/rpc";
import type { HfTokenizer } from "@gradpool/tokenizers";
import { GradpoolError } from "@gradpool/errors";
import type { EncodePool } from "./encode-pool.js";
import { encodeStream } from "./encode-stream.js";
import type { TokenizerCache } from "./tokenizer-cache.js";

export function tokenizerHandlers(tokenizers: TokenizerCache, pool: EncodePool): Handlers<TokenizerServiceService> {
  return {
    async getTokenizer({ tokenizer: ref }) {
      const { tokenizer } = await tokenizers.get(ref);
      return { info: describe(tokenizer) };
    },
    encode: (requests) => encodeStream(requests, tokenizers, pool),
    async decode({ tokenizer: ref, ids, skipSpecialTokens }) {
      const { tokenizer } = await tokenizers.get(ref);
      if (ids.byteLength % 4 !== 0) {
        throw new GradpoolError("invalid_argument", "ids are int32, so their bytes come in fours");
      }
      // A copy: what the wire gave need not be aligned.
      return { text: tokenizer.decode(new Int32Array(Uint8Array.from(ids).buffer), { skipSpecialTokens }) };
    },
    async *getTokenizerFiles({ tokenizer: ref }) {
      const { tokenizer } = await tokenizers.get(ref);
      for (const [path, content] of tokenizer.files()) {
        for (const data of chunks(content)) yield { path, data };
      }
    },
  };
}

function describe({ info }: HfTokenizer): TokenizerInfo {
  const { hash, ...rest } = info;
  return { tokenizerHash: hash, ...rest };
}
