import assert from "node:assert/strict";
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  Dataset,
  countKey,
  describeDataset,
  microBatchesPerEpoch,
  type DataRecipe,
  type Encoder,
} from "../src/index.js";
import { ByteEncoder, collect, jsonl, neverAborted, RECIPE, streamOf, withFolder } from "./helpers.js";

async function sizesOf(sources: string[], recipe: Partial<DataRecipe>, encoder?: Encoder) {
  const dataset = await Dataset.open(sources, neverAborted);
  const sizes = await collect(describeDataset(dataset, { ...RECIPE, ...recipe }, encoder, neverAborted));
  return { dataset, sizes, total: sizes.at(-1)! };
}

describe("describing a data set", () => {
  it("counts what a stream gives", async () => {
    const texts = fc.array(fc.string({ maxLength: 12 }), { minLength: 1, maxLength: 30 });
    const recipes = fc.record({
      maxLength: fc.integer({ min: 1, max: 9 }),
      batchSize: fc.integer({ min: 1, max: 5 }),
      packing: fc.boolean(),
      packingStrategy: fc.constantFrom("wrapped", "bfd"),
      appendEos: fc.boolean(),
      shuffleBuffer: fc.constantFrom(0, 4),
      maxRows: fc.constantFrom(0, 1, 7),
    });
    await fc.assert(
      fc.asyncProperty(texts, recipes, (rows, recipe) =>
        withFolder({ "d.jsonl": jsonl(["first", ...rows]) }, async (folder) => {
          const { total } = await sizesOf([folder], recipe, recipe.packing ? new ByteEncoder() : undefined);
          assert.equal(
            microBatchesPerEpoch(total, { ...RECIPE, ...recipe }),
            (await streamOf([folder], recipe)).length,
          );
          assert.equal(total.rows, Math.min(1 + rows.length, recipe.maxRows || Infinity));
        }),
      ),
      { numRuns: 60 },
    );
  });

  it("has another key whenever the count may be another, and only then", async () => {
    await withFolder({ "a.jsonl": jsonl(["one", "two"]), "b.jsonl": jsonl(["three"]) }, async (folder) => {
      const keyOf = async (recipe: Partial<DataRecipe>, encoderKey = "", weights?: number[], sources = ["a", "b"]) => {
        const paths = sources.map((name) => `${folder}/${name}.jsonl`);
        return countKey(await Dataset.open(paths, neverAborted, { weights }), { ...RECIPE, ...recipe }, encoderKey);
      };
      const plain = await keyOf({});
      for (const same of [{ batchSize: 7 }, { maxLength: 9 }, { seed: 5 }, { shuffleBuffer: 3 }]) {
        assert.equal(await keyOf(same), plain);
      }
      const bfd = { packing: true, packingStrategy: "bfd" };
      const others = [
        await keyOf(bfd),
        await keyOf({ ...bfd, maxLength: 9 }),
        await keyOf({ ...bfd, appendEos: false }),
        await keyOf({ textColumn: "other" }),
        await keyOf({ maxRows: 1 }),
        await keyOf({}, "tokenizer"),
        await keyOf({}, "", undefined, ["b", "a"]),
        await keyOf({}, "", [1, 2]),
        await keyOf({ seed: 5 }, "", [1, 2]),
      ];
      assert.equal(new Set([plain, ...others]).size, 1 + others.length);
      await utimes(`${folder}/a.jsonl`, 1, 1);
      assert.notEqual(await keyOf({}), plain);
    });
  });

  it("reports progress in bytes that grows to the total", async () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => `row ${i} ${"x".repeat(60)}`);
    await withFolder({ "a.jsonl": jsonl(rows), "b.jsonl": jsonl(rows.slice(0, 5)) }, async (folder) => {
      for (const encoder of [undefined, new ByteEncoder()]) {
        const { sizes, dataset } = await sizesOf([folder], { packing: encoder !== undefined }, encoder);
        assert.ok(sizes.length > 3);
        for (const [index, { bytesRead }] of sizes.entries())
          assert.ok(index === 0 || bytesRead > sizes[index - 1]!.bytesRead);
        assert.equal(sizes.at(-1)!.bytesRead, dataset.bytesTotal);
      }
    });
  });

  it("checks every row", async () => {
    await withFolder({ "d.jsonl": `${jsonl(["a", "b", "c"])}{"text":1}\n` }, async (folder) => {
      const source = [join(folder, "d.jsonl")];
      await assert.rejects(sizesOf(source, {}), { code: "invalid_argument", message: /d\.jsonl:4/ });
      assert.equal((await sizesOf(source, { maxRows: 3 })).total.rows, 3);
    });
  });

  it("refuses a data set without rows", async () => {
    await withFolder({ "d.txt": "\n" }, async (folder) => {
      await assert.rejects(sizesOf([join(folder, "d.txt")], {}), { code: "failed_precondition", message: /no rows/ });
    });
  });
});
