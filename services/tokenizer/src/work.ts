/** Requests to the service's worker threads, and their responses. */
import type { PlainError } from "@gradpool/threads";
import type { CutRule, TokenizerInfo } from "@gradpool/tokenizers";

/** A tokenizer with its current files: other files have another key. */
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
  /** Leave out the special ids that the tokenizer adds before and after each text. */
  noSpecialTokens: boolean;
  /** The first text continues the previous one. */
  continued: boolean;
  /** The last text is unfinished. */
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
  /** Refuse a tokenizer with another hash; empty: accept any. */
  hash: string;
  work: Work;
}

export type WorkAnswer =
  /** `loaded`: the thread had to load the tokenizer first. */
  { id: number; loaded: boolean; result: ResultOf[keyof ResultOf] } | { id: number; error: PlainError };
