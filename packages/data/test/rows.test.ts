import assert from "node:assert/strict";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MAX_ROW_BYTES, READ_BYTES } from "../src/index.js";
import { jsonl, streamOf, textsOf, withFolder } from "./helpers.js";

const WIDE = { maxLength: 100_000 };

/** The texts of one file. */
const read = (name: string, content: string | Uint8Array, recipe = {}) =>
  withFolder({ [name]: content }, async (folder) =>
    textsOf(await streamOf([join(folder, name)], { ...WIDE, ...recipe })),
  );

describe("rows of .jsonl files", () => {
  it("takes the text column, skips blank lines and a byte order mark, keeps \\r\\n inside values", async () => {
    const content = '\u{feff}{"content":"a\\r\\nb","id":1}\r\n\r\n  \n{"id":2,"content":""}\n{"content":"ü🚀\\u00e9"}';
    assert.deepEqual(await read("d.jsonl", content), ["a\r\nb", "", "ü🚀é"]);
    assert.deepEqual(await read("d.ndjson", '{"text":"x"}', { textColumn: "text" }), ["x"]);
  });

  const refused: [name: string, line: string, message: RegExp][] = [
    ["what is not JSON", "oops", /d\.jsonl:3: not JSON/],
    ["JSON without an end", "{oops", /d\.jsonl:3: the JSON that begins here is truncated/],
    ["an array", "[1]", /d\.jsonl:3: the line holds an array/],
    ["null", "null", /d\.jsonl:3: the line holds null/],
    ["no such column", '{"text":"x","id":1}', /d\.jsonl:3: no column "content"; the row has "text", "id"/],
    ["an inherited name", '{"id":1}', /d\.jsonl:3: no column "content"/],
    ["no columns", "{}", /d\.jsonl:3: .*the row has no columns/],
    ["a number", '{"content":5}', /d\.jsonl:3: column "content" holds a number/],
    ["a null", '{"content":null}', /d\.jsonl:3: column "content" holds null/],
    ["a list", '{"content":["x"]}', /d\.jsonl:3: column "content" holds an array/],
  ];
  for (const [name, line, message] of refused) {
    it(`refuses ${name}, naming file and line`, async () => {
      const content = `${jsonl(["fine"])}\n${line}\n${jsonl(["fine"])}`;
      await assert.rejects(read("d.jsonl", content), { code: "invalid_argument", message });
    });
  }

  it("does not take what every object inherits for a column", async () => {
    await assert.rejects(read("d.jsonl", '{"a":1}', { textColumn: "toString" }), /no column "toString"/);
    assert.deepEqual(await read("d.jsonl", '{"__proto__":"x"}', { textColumn: "__proto__" }), ["x"]);
  });

  it("reads lines across read boundaries", async () => {
    const sizes = [2, READ_BYTES - 20, READ_BYTES, 3 * READ_BYTES, 6, READ_BYTES - 14];
    const texts = sizes.map((size) => "é".repeat(size / 2));
    const found = await read("d.jsonl", jsonl(texts), { maxLength: 900_000, batchSize: 1 });
    assert.deepEqual(
      found.map((text) => Buffer.byteLength(text)),
      sizes,
    );
    assert.ok(found.join() === texts.join());
  });
});

describe("rows of .txt files", () => {
  it("makes a row of each line that is not blank, whatever ends it", async () => {
    const content = "\u{feff} one \r\n\r\n\t\ntwo\rthree\r\rfour\n\u{feff}five\r\n";
    assert.deepEqual(await read("d.txt", content), [" one ", "two", "three", "four", "\u{feff}five"]);
    assert.deepEqual(await read("d.txt", "no line end"), ["no line end"]);
  });
});

describe("rows that are too large", () => {
  const tooLarge = { code: "invalid_argument", message: /longer than 64 MiB/ };
  for (const name of ["d.jsonl", "d.txt", "d.py"]) {
    it(`refuses one in ${name} without reading all of it`, async () => {
      await withFolder({}, async (folder) => {
        const path = join(folder, name);
        await writeFile(path, `${"x".repeat(10_000)}`);
        await truncate(path, 4 * MAX_ROW_BYTES);
        await assert.rejects(streamOf([path]), tooLarge);
      });
    });
  }
});

describe("a data set without rows", () => {
  it("is refused", async () => {
    const empty = { code: "failed_precondition", message: /no rows/ };
    await assert.rejects(read("d.jsonl", "\n \n"), empty);
    await assert.rejects(read("d.txt", ""), empty);
    await assert.rejects(read("d.py", "\u{feff}\n"), empty);
  });
});
