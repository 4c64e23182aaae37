import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Dataset, describeDataset, microBatches, microBatchesPerEpoch } from "../src/index.js";
import { ByteEncoder, collect, jsonl, neverAborted, RECIPE, textsOf, withFolder } from "./helpers.js";

const numbered = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`);

/** Runs `use` with a mixture of rows a0 … and b0 …. */
const withMixture = (weights: number[], counts: [number, number], use: (dataset: Dataset) => Promise<void>) =>
  withFolder(
    { "a.jsonl": jsonl(numbered("a", counts[0])), "b.jsonl": jsonl(numbered("b", counts[1])) },
    async (folder) =>
      use(await Dataset.open([join(folder, "a.jsonl"), join(folder, "b.jsonl")], neverAborted, { weights })),
  );

const streamOf = (dataset: Dataset, recipe = {}, options = {}) =>
  collect(
    microBatches(dataset, { ...RECIPE, batchSize: 3, ...recipe }, new ByteEncoder(), {
      epochs: 2,
      signal: neverAborted,
      ...options,
    }),
  );

describe("a mixture of sources", () => {
  it("draws rows by weight, each source in its order, until one is exhausted", async () => {
    await withMixture([3, 1], [4000, 1000], async (dataset) => {
      const texts = textsOf(await streamOf(dataset, {}, { epochs: 1 }));
      const of = (letter: string) => texts.filter((text) => text.startsWith(letter));
      assert.deepEqual(of("a"), numbered("a", 4000).slice(0, of("a").length));
      assert.deepEqual(of("b"), numbered("b", 1000).slice(0, of("b").length));
      assert.ok(of("a").length === 4000 || of("b").length === 1000);
      const share = of("a").length / texts.length;
      // Five standard deviations of a share of 0.75 in 3,500 draws.
      assert.ok(Math.abs(share - 0.75) < 0.037, `${share}`);
    });
  });

  it("depends on the seed, and every epoch has the rows that are counted", async () => {
    await withMixture([1, 1], [40, 40], async (dataset) => {
      const recipe = { ...RECIPE, batchSize: 3 };
      const orders = await Promise.all([1, 2, 1].map(async (seed) => textsOf(await streamOf(dataset, { seed }))));
      assert.deepEqual(orders[0], orders[2]);
      assert.notDeepEqual(orders[0], orders[1]);
      const [size] = (await collect(describeDataset(dataset, recipe, undefined, neverAborted))).slice(-1);
      const all = await streamOf(dataset);
      assert.equal(all.length, 2 * microBatchesPerEpoch(size!, recipe));
    });
  });

  for (const recipe of [{}, { shuffleBuffer: 7 }, { packing: true, maxLength: 5 }]) {
    it(`resumes after any micro-batch, ${JSON.stringify(recipe)}`, async () => {
      await withMixture([2, 1], [30, 20], async (dataset) => {
        const all = await streamOf(dataset, recipe);
        assert.ok(all.some(({ cursorAfter: { otherSources } }) => otherSources[0]!.byteOffset > 0));
        for (const [index, { cursorAfter: cursor }] of all.entries()) {
          assert.deepEqual(await streamOf(dataset, recipe, { cursor }), all.slice(index + 1));
        }
      });
    });
  }

  it("goes on behind any block of whole rows that are packed together", async () => {
    await withMixture([2, 1], [2_000, 1_000], async (dataset) => {
      const recipe = { packing: true, packingStrategy: "bfd", maxLength: 200, batchSize: 5 };
      const all = await streamOf(dataset, recipe);
      const groups = new Set(all.map(({ cursorAfter: { otherSources } }) => otherSources[0]!.byteOffset));
      assert.ok(groups.size > 2);
      for (let index = 0; index < all.length; index += 7) {
        const cursor = all[index]!.cursorAfter;
        assert.deepEqual(await streamOf(dataset, recipe, { cursor }), all.slice(index + 1));
      }
    });
  });

  it("refuses weights that do not fit", async () => {
    const open = (weights: number[]) => Dataset.open(["synthetic", "synthetic"], neverAborted, { weights });
    await assert.rejects(open([1]), { code: "invalid_argument", message: /1 weights for 2 sources/ });
    await assert.rejects(open([1, 0]), { code: "invalid_argument", message: /holds 0/ });
    await assert.rejects(open([1, NaN]), { code: "invalid_argument", message: /holds NaN/ });
  });

  it("is another data set with other weights", async () => {
    const hashOf = async (weights?: number[]) =>
      (await Dataset.open(["synthetic", "synthetic"], neverAborted, { weights })).hash;
    const hashes = [await hashOf(), await hashOf([1, 1]), await hashOf([1, 2])];
    assert.equal(new Set(hashes).size, 3);
  });
});
