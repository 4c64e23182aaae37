/**
 * The reference runs of integration-tests/fixtures/golden: groups of gradient_accumulation micro-batches
 * hold as many target tokens as the steps of the reference, with Hugging Face's own tokenizer.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Tokenizer } from "tokenizers";
import { Dataset, describeDataset, microBatchesPerEpoch, type Encoder, type MicroBatch } from "../src/index.js";
import { collect, neverAborted, RECIPE, rowsOf, streamOf } from "./helpers.js";

const GOLDEN = fileURLToPath(new URL("../../../../integration-tests/fixtures/golden/", import.meta.url));

interface GoldenRecipe {
  epochs: number;
  batch_size: number;
  gradient_accumulation: number;
  max_length: number;
  text_column: string;
  append_eos: boolean;
}

const readJson = async <T>(path: string) => JSON.parse(await readFile(path, "utf8")) as T;

class HfEncoder implements Encoder {
  readonly eosId: number;
  readonly padId: number;
  readonly #tokenizer: Tokenizer;

  constructor(path: string) {
    this.#tokenizer = Tokenizer.fromFile(path);
    this.eosId = this.#tokenizer.tokenToId("<|endoftext|>")!;
    this.padId = this.eosId;
  }

  async encode(texts: readonly string[]): Promise<Int32Array[]> {
    const encodings = await this.#tokenizer.encodeBatch([...texts]);
    return encodings.map((encoding) => Int32Array.from(encoding.getIds()));
  }
}

/** Target tokens of each step: groups of micro-batches that end with the epoch. */
function stepsOf(all: MicroBatch[], gradientAccumulation: number): { epoch: number; tokens: number }[] {
  const steps: { epoch: number; tokens: number }[] = [];
  let group: MicroBatch[] = [];
  for (const microBatch of all) {
    group.push(microBatch);
    if (group.length < gradientAccumulation && !microBatch.lastOfEpoch) continue;
    steps.push({ epoch: microBatch.epoch, tokens: group.reduce((sum, { targetTokens }) => sum + targetTokens, 0) });
    group = [];
  }
  return steps;
}

describe("reference runs", () => {
  const cases = readdirSync(GOLDEN, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.ok(cases.length >= 2);
  for (const { name } of cases) {
    it(`${name}: the same tokens in every step`, async () => {
      const golden = await readJson<GoldenRecipe>(join(GOLDEN, name, "recipe.json"));
      const reference = await readJson<{ epoch: number; tokens: number }[]>(join(GOLDEN, name, "reference.json"));
      const data = join(GOLDEN, name, "data.jsonl");
      const encoder = new HfEncoder(join(GOLDEN, name, "model/tokenizer.json"));
      const recipe = {
        ...RECIPE,
        textColumn: golden.text_column,
        maxLength: golden.max_length,
        batchSize: golden.batch_size,
        appendEos: golden.append_eos,
      };
      const all = await streamOf([data], recipe, { epochs: golden.epochs }, encoder);
      const steps = stepsOf(all, golden.gradient_accumulation);
      assert.deepEqual(
        steps,
        reference.map(({ epoch, tokens }) => ({ epoch, tokens })),
      );

      // Row for row what make_golden.py's `rows` are.
      const lines = (await readFile(data, "utf8")).trimEnd().split("\n");
      const texts = lines.map((line) => (JSON.parse(line) as { content: string }).content);
      const rows = (await encoder.encode(texts)).map((ids) => [...ids, encoder.eosId].slice(0, golden.max_length));
      assert.deepEqual(all.slice(0, all.length / golden.epochs).flatMap(rowsOf), rows);

      const dataset = await Dataset.open([data], neverAborted);
      const [total] = (await collect(describeDataset(dataset, recipe, undefined, neverAborted))).slice(-1);
      assert.equal(microBatchesPerEpoch(total!, recipe), all.length / golden.epochs);
      assert.equal(total?.rows, texts.length);
    });
  }
});
