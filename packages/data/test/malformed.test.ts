/** Files that are damaged, hostile or not what they say: typed errors, naming file and line, in bounded memory. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { GradpoolError } from "@gradpool/errors";
import fc from "fast-check";
import { MAX_JSON_DEPTH } from "../src/index.js";
import { jsonl, streamOf, textsOf, withFolder } from "./helpers.js";

const FIXTURES = fileURLToPath(new URL("../../test/fixtures/", import.meta.url));
const WIDE = { maxLength: 100_000, batchSize: 1 };

const read = (name: string, content: string | Uint8Array) =>
  withFolder({ [name]: content }, async (folder) => textsOf(await streamOf([join(folder, name)], WIDE)));

const refusals: [name: string, content: string | Buffer, message: RegExp][] = [
  ["a.csv", "content,id\nx,1,2\n", /a\.csv:2: the row has 3 fields, but the header 2/],
  ["a.csv", "id,content\nx\n", /a\.csv:2: column "content" holds null/],
  ["a.csv", 'content\nfine\n"open\nstill', /a\.csv:3: a quote is never closed/],
  ["a.csv", "content,id\rx,1\r\ny,2\rz,1,2\r", /a\.csv:4: the row has 3 fields/],
  ["a.csv", "content,content\nx,y\n", /a\.csv:1: two columns are named "content"/],
  ["a.csv", "text,id\n\nx,y\n", /a\.csv:3: no column "content"; the row has "text", "id"/],
  ["a.csv", `content\n${",".repeat(20_000)}\n`, /a\.csv:2: the row has more than 16384 fields/],
  ["a.json", "[1]", /a\.json:1: not JSON; the file must have one object per line, or an array/],
  ["a.json", '[{"content":"x"}\n{"content":"y"}]', /a\.json:2: not JSON/],
  ["a.json", '[{"content":"x"},\n]', /a\.json:2: not JSON/],
  ["a.json", '[{"content":"x"}] x', /a\.json:1: not JSON/],
  ["a.json", '[\n{"content":"x"},\n{"content', /a\.json:3: the JSON that begins here is truncated/],
  ["a.json", '[{"content":"x"}', /the JSON that begins here is truncated/],
  ["a.json", `[{"content":${"[".repeat(MAX_JSON_DEPTH)}`, /a\.json:1: the row is nested more than 128 deep/],
  ["a.jsonl", '{"content":"x"}\n{"content":"y","content":"z"}', /a\.jsonl:2: two columns have the same name/],
  ["a.jsonl", Buffer.from('{"content":"x"}\n{"content":"caf\xe9"}\n', "latin1"), /a\.jsonl:2: byte 0xe9 is not UTF-8/],
  ["a.csv", Buffer.from("content\ncaf\xe9\n", "latin1"), /a\.csv:2: byte 0xe9 is not UTF-8/],
  ["a.csv", Buffer.from([0xef]), /a\.csv:1: byte 0xef is not UTF-8/],
  ["a.txt", Buffer.from([0x78, 0xef, 0xbf]), /a\.txt:1: byte 0xef is not UTF-8/],
  ["a.txt", Buffer.from("x\ncaf\xe9\n", "latin1"), /a\.txt:2: byte 0xe9 is not UTF-8/],
  ["a.py", Buffer.from("# caf\xe9\n", "latin1"), /a\.py: byte 0xe9 is not UTF-8/],
  ["a.jsonl", `{"content":${"[".repeat(MAX_JSON_DEPTH)}`, /a\.jsonl:1: the row is nested more than 128 deep/],
];

describe("rows that cannot be read", () => {
  for (const [name, content, message] of refusals) {
    it(`are refused by line: ${String(content).slice(0, 30).replaceAll("\n", "\\n")}`, async () => {
      await assert.rejects(read(name, content), { code: "invalid_argument", message });
    });
  }

  it("that are JSON of any layout are read", async () => {
    assert.deepEqual(await read("a.json", '\u{feff} [ {"content":"[{\\"]\\\\"} ,\n{\n "content" : "y" } ] \n'), [
      '[{"]\\',
      "y",
    ]);
    assert.deepEqual(await read("a.json", '{"content":"x"}\n{"content":\n"y"}{"content":"z"}'), ["x", "y", "z"]);
    assert.deepEqual(await read("a.csv", 'id,content\r\n1,"a""b\r\nc,"\r\n\r\n2,\r\n3,d'), ['a"b\r\nc,', "", "d"]);
  });
});

describe("damaged compressed files", () => {
  const text = jsonl(Array.from({ length: 50 }, (_, i) => `row ${i} ${"x".repeat(i)}`));
  const gzip = gzipSync(text);
  const damaged = (message: RegExp) => ({ code: "data_loss", message });

  it("are distinguished from truncated ones", async () => {
    await assert.rejects(read("a.jsonl.gz", gzip.subarray(0, -9)), damaged(/a\.jsonl\.gz is damaged: .*is truncated/));
    await assert.rejects(read("a.jsonl.gz", gzip.subarray(0, 6)), damaged(/is truncated/));
    await assert.rejects(read("a.jsonl.gz", Buffer.from(text)), damaged(/does not begin with gzip/));
    await assert.rejects(read("a.jsonl.gz", Buffer.concat([gzip, Buffer.from("rest")])), damaged(/other data follows/));
    const wrongSum = Buffer.from(gzip);
    wrongSum[wrongSum.length - 8]! ^= 1;
    await assert.rejects(read("a.jsonl.gz", wrongSum), damaged(/checksum/));
    const zstd = await readFile(join(FIXTURES, "rows.jsonl.zst"));
    await assert.rejects(read("a.jsonl.zst", zstd.subarray(0, -3)), damaged(/is truncated/));
    await assert.rejects(read("a.jsonl.zst", Buffer.from(text)), damaged(/does not begin with zstd/));
    // A frame ends with the sum of its content.
    const summed = await readFile(join(FIXTURES, "summed.jsonl.zst"));
    const sumFrom = summed.indexOf(Buffer.of(0x28, 0xb5, 0x2f, 0xfd), 4) - 4;
    for (const at of [sumFrom, sumFrom + 3, summed.length - 1]) {
      const changed = Buffer.from(summed);
      changed[at]! ^= 1;
      await assert.rejects(read("a.jsonl.zst", changed), damaged(/content does not match its checksum/));
    }
  });

  it("may have zeros after them", async () => {
    assert.equal((await read("a.jsonl.gz", Buffer.concat([gzip, Buffer.alloc(2000)]))).length, 50);
  });

  it("are stopped when they give without end", async () => {
    const line = Buffer.from(`${" ".repeat(1023)}\n`.repeat(1024));
    const bomb = gzipSync(Buffer.concat(Array.from({ length: 100 }, () => line)));
    assert.ok(bomb.length < 1_000_000);
    const stopped = { code: "invalid_argument", message: /more than 200 times its size/ };
    await assert.rejects(read("a.txt.gz", bomb), stopped);
    // 100,000 zstd blocks of four bytes that each stand for 128 KiB of spaces.
    const block = Buffer.from([...littleEndian3((131_072 << 3) | 2), 0x20]);
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x38]);
    const blocks = Buffer.concat([header, ...Array.from({ length: 100_000 }, () => block)]);
    const before = process.memoryUsage.rss();
    await assert.rejects(read("a.py.zst", blocks), { code: "invalid_argument" });
    assert.ok(process.memoryUsage.rss() - before < 512 * 1024 * 1024);
  });

  it("are refused with a zstd window that takes too much memory", async () => {
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0]);
    await assert.rejects(read("a.txt.zst", header), {
      code: "invalid_argument",
      message: /window of 1073741824 bytes/,
    });
  });
});

function littleEndian3(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255];
}

describe("damaged bytes", () => {
  const inputs = [
    "rows.jsonl.gz",
    "rows.jsonl.zst",
    "summed.jsonl.zst",
    "rows.csv",
    "rows.json",
    "rows-snappy.parquet",
    "rows-zstd.parquet",
    "rows-v2.parquet",
    "rows-gzip.parquet",
  ];
  for (const input of inputs) {
    it(`in ${input} give rows or a typed error`, { timeout: 120_000 }, async () => {
      const whole = await readFile(join(FIXTURES, input));
      const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
      await withFolder({}, async (folder) => {
        const path = join(folder, input);
        await fc.assert(
          fc.asyncProperty(changes, fc.option(fc.nat(whole.length)), async (bytes, cut) => {
            const changed = Buffer.from(whole);
            for (const [at, byte] of bytes) changed[at] = byte;
            await writeFile(path, changed.subarray(0, cut ?? whole.length));
            await streamOf([path], WIDE).catch((error: unknown) => {
              assert.ok(error instanceof GradpoolError && error.code !== "internal", String((error as Error)?.stack));
            });
          }),
          { numRuns: 150 },
        );
      });
    });
  }

  it("of any kind fail in no other way", async () => {
    const names = ["a.csv", "a.json", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.txt.gz"];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.uint8Array({ maxLength: 200 }), async (name, bytes) => {
        await read(name, bytes).catch((error: unknown) => {
          assert.ok(error instanceof GradpoolError && error.code !== "internal", String((error as Error)?.stack));
        });
      }),
      { numRuns: 200 },
    );
  });
});
