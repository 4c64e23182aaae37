import assert from "node:assert/strict";
import { appendFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Dataset, microBatches } from "../src/index.js";
import {
  ByteEncoder,
  collect,
  EOS,
  jsonl,
  neverAborted,
  PAD,
  RECIPE,
  rowsOf,
  streamOf,
  textsOf,
  withFolder,
} from "./helpers.js";

const withTexts = <T>(texts: string[], use: (source: string) => Promise<T>) =>
  withFolder({ "d.jsonl": jsonl(texts) }, (folder) => use(join(folder, "d.jsonl")));

const letters = (count: number) => Array.from({ length: count }, (_, i) => String.fromCharCode(97 + i));

describe("micro-batches", () => {
  it("append eos, cut, pad to the longest row and count targets", async () => {
    await withTexts(["ab", "abcdefghij", "", "abcdefg", "x"], async (source) => {
      const all = await streamOf([source], {}, { epochs: 2 });
      const [a, b, c, d, e, f, g] = Buffer.from("abcdefg");
      assert.deepEqual(
        all.slice(0, 3).map(({ ids, cursorAfter: _, ...rest }) => ({ ...rest, ids: Array.from(ids) })),
        [
          {
            index: 0,
            epoch: 0,
            lastOfEpoch: false,
            rows: 2,
            rowLength: 8,
            lengths: [3, 8],
            targetTokens: 9,
            targetMask: new Uint8Array(),
            documentLengths: [],
            ...{ rowsCut: 1, rowsWithoutEos: 1, rowsWithoutTarget: 0 },
            ids: [a, b, EOS, PAD, PAD, PAD, PAD, PAD, a, b, c, d, e, f, g, 104],
          },
          {
            index: 1,
            epoch: 0,
            lastOfEpoch: false,
            rows: 2,
            rowLength: 8,
            lengths: [1, 8],
            targetTokens: 7,
            targetMask: new Uint8Array(),
            documentLengths: [],
            ...{ rowsCut: 0, rowsWithoutEos: 0, rowsWithoutTarget: 1 },
            ids: [EOS, PAD, PAD, PAD, PAD, PAD, PAD, PAD, a, b, c, d, e, f, g, EOS],
          },
          {
            index: 2,
            epoch: 0,
            lastOfEpoch: true,
            rows: 1,
            rowLength: 2,
            lengths: [2],
            targetTokens: 1,
            targetMask: new Uint8Array(),
            documentLengths: [],
            ...{ rowsCut: 0, rowsWithoutEos: 0, rowsWithoutTarget: 0 },
            ids: [120, EOS],
          },
        ],
      );
      const again = all.slice(3);
      assert.deepEqual(
        again.map(({ index, epoch, lastOfEpoch }) => [index, epoch, lastOfEpoch]),
        [
          [3, 1, false],
          [4, 1, false],
          [5, 1, true],
        ],
      );
      assert.deepEqual(again.map(rowsOf), all.slice(0, 3).map(rowsOf));
    });
  });

  it("marks the last micro-batch of an epoch also when it is full", async () => {
    await withTexts(letters(4), async (source) => {
      const all = await streamOf([source], {}, { epochs: 2 });
      assert.deepEqual(
        all.map(({ lastOfEpoch }) => lastOfEpoch),
        [false, true, false, true],
      );
    });
  });

  it("leave eos out when configured to; a micro-batch of empty rows alone is one pad wide", async () => {
    await withTexts(["ab", "", "", ""], async (source) => {
      const all = await streamOf([source], { appendEos: false });
      assert.deepEqual(all.map(rowsOf), [
        [[97, 98], []],
        [[], []],
      ]);
      assert.deepEqual(
        all.map(({ rowLength, targetTokens }) => [rowLength, targetTokens]),
        [
          [2, 1],
          [1, 0],
        ],
      );
      assert.deepEqual(Array.from(all[1]!.ids), [PAD, PAD]);
    });
  });

  it("cross file borders, in the order of the sources", async () => {
    await withFolder({ "a.txt": "1\n2\n3\n", "b.jsonl": jsonl(["4"]), "c.py": "5" }, async (folder) => {
      const all = await streamOf(["c.py", "a.txt", "b.jsonl"].map((name) => join(folder, name)));
      assert.deepEqual(textsOf(all), ["5", "1", "2", "3", "4"]);
      assert.deepEqual(
        all.map(({ rows }) => rows),
        [2, 2, 1],
      );
    });
  });

  it("use at most max_rows rows of each epoch", async () => {
    await withTexts(letters(10), async (source) => {
      const all = await streamOf([source], { maxRows: 3 }, { epochs: 2 });
      assert.deepEqual(textsOf(all), ["a", "b", "c", "a", "b", "c"]);
      const shuffled = textsOf(await streamOf([source], { maxRows: 5, shuffleBuffer: 4 }));
      assert.deepEqual(shuffled.toSorted(), letters(5));
      assert.equal(textsOf(await streamOf([source], { maxRows: 99 })).length, 10);
    });
  });

  it("use the first max_samples rows of each epoch, whatever their order then and whether they are packed", async () => {
    await withTexts(letters(10), async (source) => {
      const samples = { maxSamples: 5 };
      const all = await streamOf([source], samples, { epochs: 2 });
      assert.deepEqual(textsOf(all), [...letters(5), ...letters(5)]);
      const shuffled = await streamOf([source], { ...samples, shuffleBuffer: 8 });
      assert.deepEqual(textsOf(shuffled).toSorted(), letters(5));
      const packed = await streamOf([source], { ...samples, packing: true });
      assert.deepEqual(textsOf(packed).join(""), letters(5).join(""));
      assert.equal(textsOf(await streamOf([source], { ...samples, maxRows: 3 })).length, 3);
      assert.equal(textsOf(await streamOf([source], { maxSamples: 99 })).length, 10);
    });
  });
});

describe("packing", () => {
  it("fills blocks across rows and keeps the epoch's rest", async () => {
    await withTexts(["abcdef", "g", "hijklmnopqrs"], async (source) => {
      const all = await streamOf([source], { packing: true, maxLength: 5, maxRows: 0 });
      const text = [..."abcdef", EOS, "g", EOS, ..."hijklmnopqrs", EOS];
      const ids = text.map((token) => (typeof token === "string" ? token.charCodeAt(0) : token));
      assert.equal(ids.length, 22);
      const blocks = [0, 5, 10, 15, 20].map((start) => ids.slice(start, start + 5));
      assert.deepEqual(all.flatMap(rowsOf), blocks);
      assert.deepEqual(
        all.map(({ lastOfEpoch }) => lastOfEpoch),
        [false, false, true],
      );
      const withoutEos = await streamOf([source], { packing: true, maxLength: 5, appendEos: false });
      assert.deepEqual(withoutEos.flatMap(rowsOf), blocks);
    });
  });

  it("has no empty block when the rows fill the last one exactly", async () => {
    await withTexts(["abc", "defghij"], async (source) => {
      const all = await streamOf([source], { packing: true, maxLength: 4 }, { epochs: 2 });
      assert.deepEqual(
        all.map(({ rows, lastOfEpoch }) => [rows, lastOfEpoch]),
        [
          [2, false],
          [1, true],
          [2, false],
          [1, true],
        ],
      );
    });
  });

  it("counts max_rows before packing", async () => {
    await withTexts(letters(20), async (source) => {
      const all = await streamOf([source], { packing: true, maxLength: 4, maxRows: 3 });
      assert.deepEqual(all.flatMap(rowsOf), [
        [97, EOS, 98, EOS],
        [99, EOS],
      ]);
    });
  });
});

describe("shuffling", () => {
  const order = async (source: string, recipe: object, epochs = 1) =>
    textsOf(await streamOf([source], { batchSize: 3, shuffleBuffer: 8, ...recipe }, { epochs }));

  it("permutes blocks of shuffle_buffer rows, by seed and epoch", async () => {
    await withTexts(letters(20), async (source) => {
      const twice = await order(source, {}, 2);
      const [first, second] = [twice.slice(0, 20), twice.slice(20)];
      for (const epoch of [first, second]) {
        assert.deepEqual(epoch.slice(0, 8).toSorted(), letters(8));
        assert.deepEqual(epoch.slice(8, 16).toSorted(), letters(16).slice(8));
        assert.deepEqual(epoch.slice(16).toSorted(), letters(20).slice(16));
      }
      assert.notDeepEqual(first, second);
      assert.notDeepEqual(first, letters(20));
      assert.deepEqual(await order(source, {}, 2), twice);
      assert.notDeepEqual(await order(source, { seed: 8 }), first);
      assert.deepEqual(await order(source, { seed: 8, shuffleBuffer: 0 }), letters(20));
      assert.deepEqual((await order(source, { shuffleBuffer: 1000 })).toSorted(), letters(20));
    });
  });

  it("gives the rows of a block in another order than the block before", async () => {
    await withTexts([...letters(8), ...letters(8)], async (source) => {
      const all = await order(source, {});
      assert.notDeepEqual(all.slice(0, 8), all.slice(8));
    });
  });
});

describe("a stream that cannot go on", () => {
  const refused = (recipe: object, message: RegExp, options = {}) =>
    assert.rejects(streamOf(["synthetic"], recipe, options), { code: "invalid_argument", message });

  it("refuses to run for no epoch", async () => {
    await refused({}, /epochs is 0/, { epochs: 0 });
  });

  it("refuses a micro-batch that no message can hold", async () => {
    await withTexts(
      Array.from({ length: 12 }, () => "x".repeat(100_000)),
      async (source) => {
        const recipe = { maxLength: 200_000, batchSize: 12 };
        await assert.rejects(streamOf([source], recipe), { code: "invalid_argument", message: /lower batch_size/ });
      },
    );
  });

  it("notices a file that changes between epochs", async () => {
    await withTexts(letters(4), async (source) => {
      const dataset = await Dataset.open([source], neverAborted);
      const stream = microBatches(dataset, RECIPE, new ByteEncoder(), { epochs: 2, signal: neverAborted });
      await stream.next();
      await appendFile(source, jsonl(["new"]));
      await assert.rejects(collect(stream), { code: "failed_precondition", message: /d\.jsonl changed/ });
    });
  });

  it("notices a file that is cut short while it is read", async () => {
    await withTexts(
      Array.from({ length: 30_000 }, (_, i) => `row ${i} ${"x".repeat(100)}`),
      async (source) => {
        const dataset = await Dataset.open([source], neverAborted);
        const stream = microBatches(dataset, RECIPE, new ByteEncoder(), { epochs: 1, signal: neverAborted });
        await stream.next();
        await truncate(source, dataset.bytesTotal - 10);
        await assert.rejects(collect(stream), { code: "failed_precondition", message: /d\.jsonl changed/ });
      },
    );
  });

  it("notices a file that is gone", async () => {
    await withTexts(letters(4), async (source) => {
      const dataset = await Dataset.open([source], neverAborted);
      await rm(source);
      const stream = microBatches(dataset, RECIPE, new ByteEncoder(), { epochs: 1, signal: neverAborted });
      await assert.rejects(collect(stream), { code: "failed_precondition", message: /d\.jsonl changed/ });
    });
  });

  it("refuses the cursor of other data", async () => {
    await withTexts(letters(4), async (source) => {
      const [first] = await streamOf([source]);
      await appendFile(source, jsonl(["new"]));
      const options = { cursor: first!.cursorAfter };
      await assert.rejects(streamOf([source], {}, options), { code: "failed_precondition", message: /cursor/ });
    });
  });

  it("passes the encoder's failure on, after the rows before it", async () => {
    class Failing extends ByteEncoder {
      override async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
        if (texts.includes("bad")) throw new Error("encoder broke");
        return super.encode(texts, maxTokens);
      }
    }
    const texts = [...Array.from({ length: 3000 }, (_, i) => `row ${i}`), "bad", "after"];
    await withTexts(texts, async (source) => {
      const dataset = await Dataset.open([source], neverAborted);
      const stream = microBatches(dataset, RECIPE, new Failing(), { epochs: 1, signal: neverAborted });
      let rows = 0;
      await assert.rejects(async () => {
        for await (const microBatch of stream) rows += microBatch.rows;
      }, /encoder broke/);
      assert.ok(rows >= 1000, `${rows} rows before the failure`);
    });
  });

  it("stops when aborted", async () => {
    await withTexts(letters(26), async (source) => {
      const dataset = await Dataset.open([source], neverAborted);
      const controller = new AbortController();
      const stream = microBatches(dataset, RECIPE, new ByteEncoder(), { epochs: 1_000_000, signal: controller.signal });
      await stream.next();
      controller.abort();
      await assert.rejects(collect(stream), { name: "AbortError" });
    });
  });
});
