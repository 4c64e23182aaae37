/** What the service asks its worker threads for, and what they answer. */
import type { ErrorCode } from "@gradpool/errors";
import type { CutRule, TokenizerInfo } from "@gradpool/tokenizers";

/** A tokenizer as its files are now: other files, another key. */
export interface TokenizerKey {
  /** Absolute folder. */
  dir: string;
  padToken: string;
  /** Sizes and times of its files. */
  signature: string;
}

export type Work =
  | { kind: "describe" }
  | { kind: "files" }
  | { kind: "decode"; ids: Int32Array; skipSpecialTokens: boolean }
  | EncodeWork;

export interface EncodeWork {
  kind: "encode";
  texts: string[];
  maxTokens: number;
  /** Leave out the tokenizer's own ids before and behind each text. */
  noSpecialTokens: boolean;
  /** The first text goes on with one that came before. */
  continued: boolean;
  /** The last text goes on. */
  continues: boolean;
}

export interface ResultOf {
  describe: { info: TokenizerInfo; cutRule: CutRule };
  files: Map<string, Uint8Array>;
  decode: string;
  /** All ids, text after text, and the number of ids of each. */
  encode: { ids: Int32Array<ArrayBuffer>; lengths: number[] };
}

export interface WorkMessage {
  id: number;
  key: TokenizerKey;
  /** Refuse a tokenizer with another hash; empty: any. */
  hash: string;
  work: Work;
}

export type WorkAnswer =
  /** `loaded`: the thread had to load the tokenizer first. */
  | { id: number; loaded: boolean; result: ResultOf[keyof ResultOf] }
  | { id: number; error: { code: ErrorCode; message: string } };
