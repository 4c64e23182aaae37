import type { Encoder } from "@gradpool/data";
import type { HfTokenizer } from "@gradpool/tokenizers";

/** A tokenizer of this process where data-stream has the tokenizer service: the same ids, by the same rules. */
export function encoderOf(tokenizer: HfTokenizer): Encoder {
  const { eosId, padId, chatTemplate, truncationSide } = tokenizer.info;
  return {
    ...{ eosId, padId, chatTemplate, truncationSide },
    encode: (texts, maxTokens, _signal, { specialTokens }) =>
      Promise.resolve(texts.map((text) => tokenizer.encode(text, { maxTokens, noSpecialTokens: !specialTokens }))),
  };
}
