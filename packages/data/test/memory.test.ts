/** Files that are much larger than what reading them may take, in every way of reading. */
import assert from "node:assert/strict";
import { createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createGzip } from "node:zlib";
import { fileWriter, ParquetWriter } from "hyparquet-writer";
import { Dataset, describeDataset, microBatches } from "../src/index.js";
import { ByteEncoder, neverAborted, RECIPE, withFolder } from "./helpers.js";

const IS_LONG = process.env["GRADPOOL_TEST_LONG"] === "1";
const FILE_BYTES = (IS_LONG ? 320 : 96) * 1024 * 1024;
/** Much less than keeping the last two thirds of the file would take. */
const GROWTH_BYTES = 10 * 1024 * 1024;
/** Values between two measurements: each collects all garbage, which takes some milliseconds. */
const MEASURED_EVERY = IS_LONG ? 25 : 7;
const ROW_BYTES = 2048;
const PIECE_ROWS = 4096;
const PIECES = FILE_BYTES / ROW_BYTES / PIECE_ROWS;

/** Text that compresses about four times, as source code does. */
const text = Array.from({ length: ROW_BYTES - 15 }, (_, i) =>
  "etaoin shrdlu\t".charAt((i * i * 7 + (i >> 3)) % 14),
).join("");

/** JSON Lines of rows of 2 KiB, 8 MiB at a time. */
function* pieces(): Generator<Buffer> {
  const row = JSON.stringify({ content: text.replaceAll("\t", " ") });
  const piece = Buffer.from(`${row}\n`.repeat(PIECE_ROWS));
  for (let index = 0; index < PIECES; index++) yield piece;
}

/** Writes a file; returns its rows. */
const writers: Record<string, (path: string) => Promise<number>> = {
  async ".jsonl"(path) {
    await pipeline(Readable.from(pieces()), createWriteStream(path));
    return PIECES * PIECE_ROWS;
  },
  async ".json.gz"(path) {
    await pipeline(Readable.from(pieces()), createGzip({ level: 1 }), createWriteStream(path));
    return PIECES * PIECE_ROWS;
  },
  async ".csv"(path) {
    const row = Buffer.from(`"${text.replaceAll("\t", "\n")}"\n`.repeat(PIECE_ROWS));
    const file = await open(path, "w");
    await file.write("content\n");
    for (let index = 0; index < PIECES; index++) await file.write(row);
    await file.close();
    return PIECES * PIECE_ROWS;
  },
  async ".parquet"(path) {
    const writer = new ParquetWriter({
      writer: fileWriter(path),
      schema: [
        { name: "root", num_children: 1 },
        { name: "content", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
      ],
    });
    const groupRows = 2048;
    const rows = PIECES * PIECE_ROWS;
    for (let first = 0; first < rows; first += groupRows) {
      // Every row has a number, so that no dictionary holds them all.
      const data = Array.from({ length: groupRows }, (_, index) => `${first + index}${text}`);
      await writer.write({ columnData: [{ name: "content", data }], rowGroupSize: groupRows });
    }
    await writer.finish();
    return rows;
  },
};

/** Forgets its texts. */
class ForgetfulEncoder extends ByteEncoder {
  override async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
    const ids = await super.encode(texts, maxTokens);
    this.texts.length = 0;
    return ids;
  }
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes that something refers to, in the heap and outside. How much garbage there is besides is the engine's choice. */
function liveBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** How much more is alive at most in the last two thirds than was in the first. */
async function growthDuring(values: AsyncIterable<unknown>): Promise<number> {
  const sizes: number[] = [];
  let count = 0;
  for await (const _ of values) if (count++ % MEASURED_EVERY === 0) sizes.push(liveBytes());
  const third = Math.floor(sizes.length / 3);
  assert.ok(third > 3, `${count} values`);
  return Math.max(...sizes.slice(third)) - Math.max(...sizes.slice(0, third));
}

describe("a file of hundreds of megabytes", () => {
  for (const [extension, write] of Object.entries(writers)) {
    it(`as ${extension} is counted and streamed in constant memory`, async () => {
      await withFolder({}, async (folder) => {
        const path = join(folder, `large${extension}`);
        const rows = await write(path);
        const dataset = await Dataset.open([path], neverAborted);
        const counting = await growthDuring(describeDataset(dataset, RECIPE, undefined, neverAborted));
        assert.ok(counting < GROWTH_BYTES, `${counting} bytes more when counting`);

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
        assert.ok(growth < GROWTH_BYTES, `${growth} bytes more when streaming`);
        assert.equal(streamed, rows);
      });
    });
  }
});
