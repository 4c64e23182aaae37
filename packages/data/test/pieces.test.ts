/** Where a source's pieces end has no effect on the rows: of each format, in pieces of 1 byte, 7 bytes and 64 KiB. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Dataset, microBatches } from "../src/index.js";
import { ByteEncoder, collect, jsonl, neverAborted, RECIPE, textsOf } from "./helpers.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));
const PIECE_BYTES = [1, 7, 64 * 1024];

async function textsInPieces(name: string, bytes: Buffer, pieceBytes: number): Promise<string[]> {
  const source = {
    name,
    sizeBytes: bytes.length,
    version: "1",
    async *read({ start, end = bytes.length }: { start: number; end?: number }) {
      for (let at = start; at < end; at += pieceBytes) yield bytes.subarray(at, Math.min(end, at + pieceBytes));
    },
  };
  const dataset = await Dataset.open(["pieces"], neverAborted, { elsewhere: async () => [source] });
  const recipe = { ...RECIPE, maxLength: 1_000_000, batchSize: 1 };
  return textsOf(await collect(microBatches(dataset, recipe, new ByteEncoder(), { epochs: 1, signal: neverAborted })));
}

const contents = JSON.parse(await readFile(join(FIXTURES, "rows.expected.json"), "utf8")) as { content: string }[];
const expected = contents.map(({ content }) => content);

describe("rows do not depend on pieces", () => {
  const lines = ["rows.jsonl", "rows.jsonl.gz", "cut.jsonl.gz", "rows.jsonl.zst", "cut.jsonl.zst"];
  for (const name of [...lines, "rows.json", "rows.csv", "rows.tsv", "rows-none.parquet", "rows-zstd.parquet"]) {
    for (const pieceBytes of PIECE_BYTES) {
      it(`${name} in pieces of ${pieceBytes}`, async () => {
        assert.deepEqual(await textsInPieces(name, await readFile(join(FIXTURES, name)), pieceBytes), expected);
      });
    }
  }

  /** Text that hardly compresses, so that members are larger than pieces. */
  const row = (index: number) => createHash("sha512").update(String(index)).digest("hex").repeat(8);
  const rows = Array.from({ length: 550 }, (_, index) => row(index));
  for (const pieceBytes of [7, 4096, 64 * 1024, 256 * 1024]) {
    it(`gzip of members larger than a piece of ${pieceBytes}`, async () => {
      const members = [rows.slice(0, 150), rows.slice(150, 151), rows.slice(151)].map((part) => gzipSync(jsonl(part)));
      assert.deepEqual(await textsInPieces("many.jsonl.gz", Buffer.concat(members), pieceBytes), rows);
    });
  }

  it("gzip whose members end where a piece ends", async () => {
    const members = [rows.slice(0, 200), rows.slice(200)].map((part) => gzipSync(jsonl(part)));
    for (const missing of [0, 1, 4, 8, 9]) {
      const pieceBytes = members[0]!.length - missing;
      assert.deepEqual(await textsInPieces("edge.jsonl.gz", Buffer.concat(members), pieceBytes), rows);
    }
  });
});
