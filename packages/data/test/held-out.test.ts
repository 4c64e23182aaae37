/** eval_fraction: rows are held out by their content. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { checkRows, countKey, Dataset, describeDataset, microBatches, type DataRecipe } from "../src/index.js";
import { ByteEncoder, collect, jsonl, neverAborted, RECIPE, streamOf, textsOf, withFolder } from "./helpers.js";

const ROWS = Array.from({ length: 1_000 }, (_, i) => `r${i}`);
const TRAINED = { evalFraction: 0.1 };
const HELD_OUT = { evalFraction: 0.1, heldOut: true };

const withRows = <T>(use: (source: string, folder: string) => Promise<T>) =>
  withFolder({ "d.jsonl": jsonl(ROWS) }, (folder) => use(join(folder, "d.jsonl"), folder));

describe("rows that are held out", () => {
  it("leave the training data, and together are all rows, in their order", () =>
    withRows(async (source) => {
      const [trained, heldOut] = [
        textsOf(await streamOf([source], TRAINED)),
        textsOf(await streamOf([source], HELD_OUT)),
      ];
      // Three standard deviations of a share of 0.1 of 1,000 rows.
      assert.ok(Math.abs(heldOut.length - 100) < 29, `${heldOut.length}`);
      const isHeldOut = new Set(heldOut);
      assert.deepEqual(
        trained,
        ROWS.filter((row) => !isHeldOut.has(row)),
      );
      assert.deepEqual(
        heldOut,
        ROWS.filter((row) => isHeldOut.has(row)),
      );
      // By SHA-256 of the content: the same on any machine, in any version.
      assert.deepEqual(heldOut.slice(0, 3), ["r11", "r57", "r62"]);
    }));

  it("are the same in any order, in other files and kinds, shuffled, mixed and packed", () =>
    withRows(async (source) => {
      const heldOut = textsOf(await streamOf([source], HELD_OUT)).toSorted();
      const trained = textsOf(await streamOf([source], TRAINED)).toSorted();
      const csv = ["content", ...ROWS.slice(400)].join("\r\n");
      const files = { "b.csv": csv, "a.txt": ROWS.slice(0, 400).toReversed().join("\n") };
      await withFolder(files, async (folder) => {
        const paths = ["b.csv", "a.txt"].map((name) => join(folder, name));
        for (const sources of [paths, paths.toReversed()]) {
          assert.deepEqual(textsOf(await streamOf(sources, HELD_OUT)).toSorted(), heldOut);
          const shuffled = { ...TRAINED, shuffleBuffer: 300, seed: 9 };
          assert.deepEqual(textsOf(await streamOf(sources, shuffled)).toSorted(), trained);
        }
      });
      const packed = await streamOf([source], { ...HELD_OUT, packing: true, packingStrategy: "bfd", maxLength: 5 });
      assert.deepEqual(textsOf(packed).toSorted(), heldOut);
    }));

  it("are not drawn where sources are mixed, and counts and cursors know them", () =>
    withRows(async (source) => {
      const other = jsonl(ROWS.map((row) => `other ${row}`));
      await withFolder({ "other.jsonl": other }, async (folder) => {
        for (const weights of [undefined, [1, 2]]) {
          const dataset = await Dataset.open([source, join(folder, "other.jsonl")], neverAborted, { weights });
          for (const part of [TRAINED, HELD_OUT]) {
            const recipe: DataRecipe = { ...RECIPE, ...part, batchSize: 1 };
            const encoder = new ByteEncoder();
            const all = await collect(microBatches(dataset, recipe, encoder, { epochs: 1, signal: neverAborted }));
            const last = (await collect(describeDataset(dataset, recipe, undefined, neverAborted))).at(-1)!;
            assert.equal(last.rows, all.length);
            const { cursorAfter: cursor } = all[7]!;
            const rest = await collect(
              microBatches(dataset, recipe, encoder, { epochs: 1, signal: neverAborted, cursor }),
            );
            assert.deepEqual(rest, all.slice(8));
            assert.equal(
              (await checkRows(dataset, recipe, encoder, last.end, neverAborted)).rows,
              Math.min(400, all.length),
            );
          }
        }
      });
    }));

  it("are on one side with their equals, and max_samples counts the others", () =>
    withFolder({ "d.jsonl": jsonl([...ROWS, ...ROWS]) }, async (folder) => {
      const heldOut = textsOf(await streamOf([folder], HELD_OUT));
      assert.deepEqual(heldOut.slice(0, heldOut.length / 2), heldOut.slice(heldOut.length / 2));
      const trained = textsOf(await streamOf([folder], TRAINED));
      assert.deepEqual(textsOf(await streamOf([folder], { ...TRAINED, maxSamples: 50 })), trained.slice(0, 50));
    }));

  it("have counts of their own", () =>
    withRows(async (source) => {
      const dataset = await Dataset.open([source], neverAborted);
      const keys = [{}, TRAINED, HELD_OUT, { ...TRAINED, evalFraction: 0.2 }].map((part) =>
        countKey(dataset, { ...RECIPE, ...part }, ""),
      );
      assert.equal(new Set(keys).size, 4);
    }));

  it("are refused where there is none, or nothing else", () =>
    withFolder({ "d.jsonl": jsonl(["one", "two"]) }, async (folder) => {
      const stream = (part: Partial<DataRecipe>) => streamOf([folder], part);
      const none = {
        code: "failed_precondition",
        message: /^eval_fraction 1e-9 holds out none of .*; raise it, or give/,
      };
      await assert.rejects(stream({ evalFraction: 1e-9, heldOut: true }), none);
      const all = {
        code: "failed_precondition",
        message: /^eval_fraction 0.99999999 leaves no row to train on; lower it/,
      };
      await assert.rejects(stream({ evalFraction: 0.99999999 }), all);
    }));
});
