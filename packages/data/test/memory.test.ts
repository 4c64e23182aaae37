import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Dataset, describeDataset, microBatches } from "../src/index.js";
import { ByteEncoder, neverAborted, RECIPE, withFolder } from "./helpers.js";

const FILE_BYTES = 320 * 1024 * 1024;
/** A fourth of what keeping the last two thirds of the file would take. */
const GROWTH_BYTES = 50 * 1024 * 1024;

/** A JSON Lines file of rows of 2 KiB; returns how many. */
async function writeLargeFile(path: string): Promise<number> {
  const row = Buffer.from(`${JSON.stringify({ content: "x".repeat(2048 - 15) })}\n`);
  const piece = Buffer.concat(Array.from({ length: 4096 }, () => row));
  const file = await open(path, "w");
  let rows = 0;
  for (let bytes = 0; bytes < FILE_BYTES; bytes += piece.length) {
    await file.write(piece);
    rows += 4096;
  }
  await file.close();
  return rows;
}

/** Forgets its texts. */
class ForgetfulEncoder extends ByteEncoder {
  override async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
    const ids = await super.encode(texts, maxTokens);
    this.texts.length = 0;
    return ids;
  }
}

/**
 * How much larger the process gets in the last two thirds than it was in the first: by then its heap has
 * the size that the garbage collector likes, and only what is kept of the file would add to it.
 */
async function growthDuring(values: AsyncIterable<unknown>): Promise<number> {
  const sizes: number[] = [];
  for await (const _ of values) sizes.push(process.memoryUsage.rss());
  const third = Math.floor(sizes.length / 3);
  assert.ok(third > 300, `${sizes.length} values`);
  const peakOf = (part: number[]) => part.reduce((peak, size) => Math.max(peak, size), 0);
  return peakOf(sizes.slice(third)) - peakOf(sizes.slice(0, third));
}

describe("a file of 320 MB", () => {
  it("is counted and streamed in constant memory", async () => {
    await withFolder({}, async (folder) => {
      const path = join(folder, "large.jsonl");
      const rows = await writeLargeFile(path);
      const dataset = await Dataset.open([path], neverAborted);
      const counting = describeDataset(dataset, RECIPE, undefined, neverAborted);
      assert.ok((await growthDuring(counting)) < GROWTH_BYTES);

      const recipe = { ...RECIPE, batchSize: 64, shuffleBuffer: 1000 };
      const options = { epochs: 1, signal: neverAborted };
      let streamed = 0;
      async function* counted() {
        for await (const microBatch of microBatches(dataset, recipe, new ForgetfulEncoder(), options)) {
          streamed += microBatch.rows;
          yield microBatch;
        }
      }
      const growth = await growthDuring(counted());
      assert.ok(growth < GROWTH_BYTES, `${growth} bytes more`);
      assert.equal(streamed, rows);
    });
  });
});
