import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkedRecipe, defaultRecipe } from "@gradpool/recipe";
import { Tokenizer } from "tokenizers";
import {
  Dataset,
  microBatches,
  type DataRecipe,
  type EncodeOptions,
  type Encoder,
  type MicroBatch,
  type StreamOptions,
} from "../src/index.js";

export const EOS = 1000;
export const PAD = 1001;

/** Ids are the text's UTF-8 bytes. Remembers the texts it was given. */
export class ByteEncoder implements Encoder {
  readonly eosId = EOS;
  readonly padId = PAD;
  readonly texts: string[] = [];

  async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
    this.texts.push(...texts);
    const limit = maxTokens === 0 ? Infinity : maxTokens;
    return texts.map((text) => Int32Array.from(Buffer.from(text).subarray(0, limit)));
  }
}

export const RECIPE: DataRecipe = { ...checkedRecipe({ ...defaultRecipe(), maxLength: 8, seed: 7 }), maxRows: 0 };

const TOKENIZERS = fileURLToPath(new URL("../../../tokenizers/test/fixtures/", import.meta.url));

/** The tokenizers library with a folder of fixtures, and a chat template. */
export class HfEncoder implements Encoder {
  readonly eosId = EOS;
  readonly padId = 0;
  readonly chatTemplate: { template: string; specialTokens: Record<string, string> };
  readonly #tokenizer: Tokenizer;

  constructor(tokenizer: string, template: string, specialTokens: Record<string, string>) {
    this.chatTemplate = { template, specialTokens };
    this.#tokenizer = Tokenizer.fromFile(join(TOKENIZERS, tokenizer, "tokenizer.json"));
  }

  async encode(texts: readonly string[], maxTokens: number, _signal: AbortSignal, options: EncodeOptions) {
    const encodings = await this.#tokenizer.encodeBatch([...texts], { addSpecialTokens: options.specialTokens });
    const limit = maxTokens === 0 ? Infinity : maxTokens;
    return encodings.map((encoding) => Int32Array.from(encoding.getIds().slice(0, limit)));
  }
}

export const neverAborted = new AbortController().signal;

/** Runs `use` with a folder of the given files, and removes it. */
export async function withFolder<T>(
  files: Record<string, string | Uint8Array>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "gradpool-data-"));
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export function jsonl(texts: readonly string[]): string {
  return texts.map((content) => `${JSON.stringify({ content })}\n`).join("");
}

export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

/** All micro-batches of sources. */
export async function streamOf(
  sources: string[],
  recipe: Partial<DataRecipe> = {},
  options: Partial<StreamOptions> = {},
  encoder: Encoder = new ByteEncoder(),
): Promise<MicroBatch[]> {
  const dataset = await Dataset.open(sources, neverAborted);
  const all = { epochs: 1, signal: neverAborted, ...options };
  return collect(microBatches(dataset, { ...RECIPE, ...recipe }, encoder, all));
}

/** The rows of a micro-batch without their padding. */
export function rowsOf({ ids, lengths, rowLength }: MicroBatch): number[][] {
  return lengths.map((length, row) => Array.from(ids.subarray(row * rowLength, row * rowLength + length)));
}

/** The texts of micro-batches whose rows were not cut, by ByteEncoder. */
export function textsOf(microBatches: MicroBatch[]): string[] {
  return microBatches.flatMap(rowsOf).map((ids) => Buffer.from(ids.filter((id) => id !== EOS)).toString("utf8"));
}
