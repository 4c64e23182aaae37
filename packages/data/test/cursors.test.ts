/**
 * A stream opened with the cursor of any micro-batch gives exactly the micro-batches after it, whatever
 * the files, the recipe and the place; and no cut of the same rows into files or batches changes them.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Dataset, microBatches, type DataRecipe } from "../src/index.js";
import { ByteEncoder, jsonl, neverAborted, RECIPE, rowsOf, streamOf, textsOf, withFolder } from "./helpers.js";

const recipes = fc.record({
  maxLength: fc.integer({ min: 1, max: 12 }),
  batchSize: fc.integer({ min: 1, max: 5 }),
  appendEos: fc.boolean(),
  packing: fc.boolean(),
  packingStrategy: fc.constantFrom("wrapped", "bfd"),
  shuffleBuffer: fc.constantFrom(0, 1, 2, 3, 7, 50),
  seed: fc.nat(),
  maxRows: fc.constantFrom(0, 0, 1, 4, 9),
});

const texts = fc.array(fc.string({ unit: "grapheme", maxLength: 20 }), { minLength: 0, maxLength: 9 });

/** A file of any kind with some rows. */
const files = fc.oneof(
  texts.map((rows) => ({ kind: ".jsonl", content: jsonl(rows) })),
  texts.map((rows) => ({ kind: ".jsonl", content: `\u{feff}\r\n${jsonl(rows).replaceAll("\n", "\r\n\n")}` })),
  fc
    .tuple(texts, fc.constantFrom("\n", "\r\n", "\r", "\n\n"))
    .map(([rows, end]) => ({ kind: ".txt", content: rows.join(end) })),
  fc.string({ maxLength: 40 }).map((content) => ({ kind: ".py", content })),
);

/** Sources of a folder with these files, before and after them a row. */
function foldersOf(given: { kind: string; content: string }[]): Record<string, string> {
  const [first, last] = ["first", "last"].map((text) => ({ kind: ".jsonl", content: jsonl([text]) }));
  const all = [first!, ...given, last!];
  return Object.fromEntries(all.map(({ kind, content }, index) => [`${100 + index}${kind}`, content]));
}

describe("cursors", () => {
  it("resume exactly after any micro-batch", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(files, { maxLength: 4 }),
        recipes,
        fc.integer({ min: 1, max: 3 }),
        (given, recipe, epochs) =>
          withFolder(foldersOf(given), async (folder) => {
            const all = await streamOf([folder], recipe, { epochs });
            for (const [index, { cursorAfter }] of all.entries()) {
              const cursor = JSON.parse(JSON.stringify(cursorAfter)) as typeof cursorAfter;
              assert.deepEqual(await streamOf([folder], recipe, { epochs, cursor }), all.slice(index + 1));
            }
          }),
      ),
      { numRuns: 60 },
    );
  });

  it("need not read what is before", async () => {
    const rows = Array.from({ length: 400 }, (_, i) => `row ${i}`);
    await withFolder({ "d.jsonl": jsonl(rows) }, async (folder) => {
      const source = [join(folder, "d.jsonl")];
      const firstRowBehind = async (recipe: Partial<DataRecipe>, microBatch: number) => {
        const all = await streamOf(source, recipe);
        const encoder = new ByteEncoder();
        await streamOf(source, recipe, { cursor: all[microBatch]!.cursorAfter }, encoder);
        return { encoded: encoder.texts.length, first: encoder.texts[0] };
      };
      assert.deepEqual(await firstRowBehind({ batchSize: 10 }, 29), { encoded: 100, first: "row 300" });
      assert.equal((await firstRowBehind({ batchSize: 10, shuffleBuffer: 30 }, 30)).encoded, 90);
      // 1,800 tokens are delivered: 100 rows (690 tokens), 138 rows of 8 tokens, and 6 tokens of row 238.
      const packed = { batchSize: 1, packing: true, maxLength: 9 };
      assert.deepEqual(await firstRowBehind(packed, 199), { encoded: 162, first: "row 238" });
    });
  });

  it("stay small when a row spreads over many blocks", async () => {
    await withFolder({ "d.txt": `${"x".repeat(100_000)}\nend\n` }, async (folder) => {
      const recipe = { packing: true, maxLength: 64, batchSize: 7 };
      const all = await streamOf([folder], recipe);
      const sizes = all.map(({ cursorAfter }) => JSON.stringify(cursorAfter).length);
      assert.ok(Math.max(...sizes) < 250);
      const cursor = all[100]!.cursorAfter;
      assert.equal(cursor.rowTokens, 101 * 7 * 64);
      assert.deepEqual(await streamOf([folder], recipe, { cursor }), all.slice(101));
    });
  });

  it("go on within a shuffle block whose texts do not fit into memory", async () => {
    // 70 MB of padding that is not part of the texts counts towards the block's bytes.
    const padding = "x".repeat(3_500_000);
    const rows = Array.from({ length: 24 }, (_, i) => `${JSON.stringify({ padding, content: `row ${i}` })}\n`).join("");
    await withFolder({ "a.jsonl": rows, "b.txt": "one\rtwo\nthree\n", "c.py": "code" }, async (folder) => {
      const recipe = { shuffleBuffer: 100, maxLength: 32, batchSize: 4 };
      const all = await streamOf([folder], recipe);
      const expected = [...Array.from({ length: 24 }, (_, i) => `row ${i}`), "one", "two", "three", "code"];
      assert.deepEqual(textsOf(all).toSorted(), expected.toSorted());
      const cursor = all[3]!.cursorAfter;
      assert.deepEqual(await streamOf([folder], recipe, { cursor }), all.slice(4));
    });
  });

  it("at the end of the last epoch leave nothing; more epochs go on", async () => {
    const last = (await streamOf(["synthetic"], {}, { epochs: 2 })).at(-1)!;
    const { cursorAfter: cursor } = last;
    assert.equal(cursor.epoch, 2);
    assert.deepEqual(await streamOf(["synthetic"], {}, { epochs: 2, cursor }), []);
    const more = await streamOf(["synthetic"], {}, { epochs: 3, cursor });
    assert.deepEqual(
      more.map(({ index, epoch }) => [index, epoch]),
      [[2, 2]],
    );
  });
});

describe("any cut of the same rows", () => {
  it("into files gives the same micro-batches", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ maxLength: 10 }), { minLength: 1, maxLength: 20 }),
        recipes,
        fc.nat(),
        (rows, recipe, cut) => {
          const at = cut % (rows.length + 1);
          const files = {
            "a.jsonl": jsonl(["first", ...rows]),
            "b.jsonl": jsonl(["first", ...rows.slice(0, at)]),
            "c.jsonl": jsonl(rows.slice(at)),
          };
          return withFolder(files, async (folder) => {
            const [a, b, c] = ["a.jsonl", "b.jsonl", "c.jsonl"].map((name) => join(folder, name));
            const content = async (...sources: string[]) =>
              (await streamOf(sources, recipe, { epochs: 2 })).map(({ cursorAfter: _, ...microBatch }) => microBatch);
            assert.deepEqual(await content(b!, c!), await content(a!));
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  it("into micro-batches gives the same rows", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(files, { maxLength: 3 }),
        recipes,
        fc.integer({ min: 1, max: 9 }),
        (given, recipe, batchSize) =>
          withFolder(foldersOf(given), async (folder) => {
            const rows = async (size: number) =>
              (await streamOf([folder], { ...recipe, batchSize: size })).flatMap(rowsOf);
            assert.deepEqual(await rows(batchSize), await rows(recipe.batchSize));
          }),
      ),
      { numRuns: 40 },
    );
  });
});

async function openFilesUnder(folder: string): Promise<string[]> {
  const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
  return (await Promise.all(links)).filter((path) => path.startsWith(folder));
}

describe("a stream that is left early", () => {
  it("closes its files", { skip: !existsSync("/proc/self/fd") && "needs /proc" }, async () => {
    await withFolder({ "d.jsonl": jsonl(Array.from({ length: 50_000 }, (_, i) => `row ${i}`)) }, async (folder) => {
      const dataset = await Dataset.open([folder], neverAborted);
      for (const shuffleBuffer of [0, 100]) {
        const recipe = { ...RECIPE, shuffleBuffer };
        for await (const { index } of microBatches(dataset, recipe, new ByteEncoder(), {
          epochs: 1,
          signal: neverAborted,
        })) {
          if (index === 3) break;
        }
      }
      assert.deepEqual(await openFilesUnder(folder), []);
    });
  });
});
