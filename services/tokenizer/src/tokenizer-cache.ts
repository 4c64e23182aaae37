import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { GradpoolError } from "@gradpool/errors";
import type { TokenizerRef } from "@gradpool/rpc";
import { loadTokenizer, SOURCE_FILES, type HfTokenizer } from "@gradpool/tokenizers";
import type { TokenizerKey } from "./encode-job.js";

/** Tokenizers kept at once for describing, decoding and their files; the least recently used is freed. */
const MAX_TOKENIZERS = 8;

export interface LoadedTokenizer {
  tokenizer: HfTokenizer;
  key: TokenizerKey;
}

interface Entry {
  /** Sizes and times of the files that it was read from. */
  stamp: string;
  loaded: Promise<HfTokenizer>;
}

/** Tokenizers by folder and pad token, read again when their files change. */
export class TokenizerCache {
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();

  /**
   * Errors: those of loadTokenizer; `failed_precondition` when `tokenizerHash` is another tokenizer's.
   */
  async get(ref: TokenizerRef | undefined): Promise<LoadedTokenizer> {
    if (!ref?.modelId) throw new GradpoolError("invalid_argument", "tokenizer.model_id is missing");
    const dir = resolve(ref.modelId);
    const tokenizer = await this.#load(dir, ref.padToken);
    const { hash } = tokenizer.info;
    if (ref.tokenizerHash && ref.tokenizerHash !== hash) {
      const message = `the tokenizer in ${ref.modelId} is not the one that was asked for; give every service the same files`;
      throw new GradpoolError("failed_precondition", message);
    }
    return { tokenizer, key: { dir, padToken: ref.padToken, hash } };
  }

  async #load(dir: string, padToken: string): Promise<HfTokenizer> {
    const stamp = await stampOf(dir);
    const name = JSON.stringify([dir, padToken]);
    const known = this.#entries.get(name);
    this.#entries.delete(name);
    const entry = known?.stamp === stamp ? known : { stamp, loaded: loadTokenizer(dir, padToken) };
    this.#entries.set(name, entry);
    for (const [oldest] of this.#entries) {
      if (this.#entries.size <= MAX_TOKENIZERS) break;
      // Not freed at once: a call may still use it. The garbage collector takes it.
      this.#entries.delete(oldest);
    }
    try {
      return await entry.loaded;
    } catch (error) {
      if (this.#entries.get(name) === entry) this.#entries.delete(name);
      throw error;
    }
  }
}

async function stampOf(dir: string): Promise<string> {
  const stats = await Promise.all(SOURCE_FILES.map((file) => stat(join(dir, file)).catch(() => undefined)));
  return stats.map((file) => (file ? `${file.size}:${file.mtimeMs}` : "-")).join(" ");
}
