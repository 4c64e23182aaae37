/** What passes between the service's main thread and its encoding threads. */
import type { ErrorCode } from "@gradpool/errors";
import type { EncodeOptions } from "@gradpool/tokenizers";

/** A tokenizer as an encoding thread loads it; equal keys are equal tokenizers. */
export interface TokenizerKey {
  dir: string;
  padToken: string;
  /** SHA-256 of all that decides its ids. */
  hash: string;
}

export interface EncodeJob {
  tokenizer: TokenizerKey;
  texts: string[];
  options: EncodeOptions;
}

export interface EncodedTexts {
  /** All ids, text after text. */
  ids: Int32Array<ArrayBuffer>;
  /** Ids of each text. */
  lengths: number[];
}

export type EncodeRequestMessage = { id: number; job: EncodeJob };
export type EncodeReplyMessage =
  { id: number; encoded: EncodedTexts } | { id: number; error: { code: ErrorCode; message: string } };
