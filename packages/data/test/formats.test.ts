/**
 * Every format gives the rows that Python's pandas, pyarrow and datasets read from the same files
 * (fixtures/make_fixtures.py), and a stream resumes after each of them.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Dataset, microBatches, type DataRecipe } from "../src/index.js";
import { ByteEncoder, collect, neverAborted, RECIPE, streamOf, textsOf, withFolder } from "./helpers.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));
const fixture = (name: string) => join(FIXTURES, name);

interface FixtureRow {
  content: string;
  prompt: string;
  answer: string;
}

const rows = JSON.parse(await readFile(fixture("rows.expected.json"), "utf8")) as FixtureRow[];

const LINES = ["rows.jsonl", "rows.jsonl.gz", "cut.jsonl.gz", "rows.jsonl.zst", "cut.jsonl.zst", "summed.jsonl.zst"];
const PARQUET = ["none", "snappy", "gzip", "zstd", "brotli", "lz4", "v2"].map((name) => `rows-${name}.parquet`);
const FILES = [...LINES, "rows.json", "rows.csv", "rows.tsv", ...PARQUET];

const WIDE = { maxLength: 100_000, batchSize: 1 };

describe("rows", () => {
  for (const name of FILES) {
    it(`of ${name} are those that Python reads`, async () => {
      const texts = (column: keyof FixtureRow) => rows.map((row) => row[column]);
      assert.deepEqual(textsOf(await streamOf([fixture(name)], WIDE)), texts("content"));
      const answers = await streamOf([fixture(name)], { ...WIDE, textColumn: "answer" });
      assert.deepEqual(textsOf(answers), texts("answer"));
      const joined = await streamOf([fixture(name)], { ...WIDE, promptColumn: "prompt", completionColumn: "answer" });
      assert.deepEqual(
        textsOf(joined),
        rows.map(({ prompt, answer }) => prompt + answer),
      );
    });
  }

  it("of text and source files come out of compressed ones too", async () => {
    const files = { "a.txt.gz": gzipSync("one\rtwo\nthree\n"), "b.py.gz": gzipSync("\u{feff}def f():\n  pass\n") };
    await withFolder(files, async (folder) => {
      const texts = textsOf(await streamOf([join(folder, "a.txt.gz"), join(folder, "b.py.gz")], WIDE));
      assert.deepEqual(texts, ["one", "two", "three", "def f():\n  pass\n"]);
      // A folder is searched for rows, and for source code that is not compressed.
      assert.deepEqual(textsOf(await streamOf([folder], WIDE)), ["one", "two", "three"]);
    });
  });
});

describe("a cursor at every row", () => {
  const recipes: [string, Partial<DataRecipe>][] = [
    ["in order", { ...WIDE }],
    ["shuffled", { ...WIDE, shuffleBuffer: 5 }],
    ["packed", { maxLength: 40, batchSize: 1, packing: true, shuffleBuffer: 4 }],
  ];
  for (const name of FILES) {
    for (const [order, recipe] of recipes) {
      it(`of ${name}, ${order}, resumes with exactly the rest`, async () => {
        const all = await streamOf([fixture(name)], recipe, { epochs: 2 });
        const step = order === "packed" ? 5 : 1;
        for (let index = 0; index < all.length; index += step) {
          const cursor = JSON.parse(JSON.stringify(all[index]!.cursorAfter)) as (typeof all)[0]["cursorAfter"];
          const rest = await streamOf([fixture(name)], recipe, { epochs: 2, cursor });
          assert.deepEqual(rest, all.slice(index + 1), `after micro-batch ${index}`);
        }
      });
    }
  }

  it("in text whose lines are in several gzip members", async () => {
    const members = ["one\rtw", "o\nth", "ree\rfour\r", "five\n"].map((part) => gzipSync(part));
    await withFolder({ "a.txt.gz": Buffer.concat(members) }, async (folder) => {
      const all = await streamOf([folder], WIDE);
      assert.deepEqual(textsOf(all), ["one", "two", "three", "four", "five"]);
      for (const [index, { cursorAfter: cursor }] of all.entries()) {
        assert.deepEqual(await streamOf([folder], WIDE, { cursor }), all.slice(index + 1));
      }
    });
  });

  it("reads a compressed file from its member on", async () => {
    const lines = (from: number) => Array.from({ length: 10 }, (_, i) => `row ${from + i}\n`).join("");
    const members = Array.from({ length: 30 }, (_, i) => gzipSync(lines(10 * i)));
    const bytes = Buffer.concat(members);
    const starts: number[] = [];
    const source = {
      name: "far.txt.gz",
      sizeBytes: bytes.length,
      version: "1",
      async *read({ start, end = bytes.length }: { start: number; end?: number }) {
        starts.push(start);
        yield bytes.subarray(start, end);
      },
    };
    const dataset = await Dataset.open(["far"], neverAborted, { elsewhere: async () => [source] });
    const recipe = { ...RECIPE, ...WIDE };
    const options = { epochs: 1, signal: neverAborted };
    const all = await collect(microBatches(dataset, recipe, new ByteEncoder(), options));
    const { cursorAfter: cursor } = all[254]!;
    starts.length = 0;
    assert.deepEqual(
      await collect(microBatches(dataset, recipe, new ByteEncoder(), { ...options, cursor })),
      all.slice(255),
    );
    assert.deepEqual(starts, [members.slice(0, 25).reduce((sum, member) => sum + member.length, 0)]);
  });
});
