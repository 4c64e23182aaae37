/** Files in layouts that Python's libraries take: the rows that datasets 5.2, pandas and pyarrow 26 read from the same bytes. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parquetMetadata, parquetReadObjects, parquetSchema } from "hyparquet";
import { listRepairs } from "../src/readers/parquet-lists.js";
import { streamOf, textsOf, withFolder } from "./helpers.js";

const WIDE = { maxLength: 100_000, batchSize: 1 };

const layouts: [what: string, name: string, content: string, rows: string[]][] = [
  ["an array in .jsonl", "a.jsonl", '[{"content":"a"},\n{"content":"b"}]', ["a", "b"]],
  ["an array on one line of .jsonl", "a.jsonl", '\u{feff}[{"content":"a"},{"content":"b"}]\n', ["a", "b"]],
  [
    "an array over many lines of .jsonl",
    "a.jsonl",
    '[\n{"content":"a"},\n{"content":"b"}\n,\n{"content":"c"}\n]\n',
    ["a", "b", "c"],
  ],
  ["pretty-printed objects", "a.jsonl", '{\n "content":"a"\n}\n{\n "content":"b"\n}\n', ["a", "b"]],
  [
    "pretty-printed objects later on",
    "a.jsonl",
    '{"content":"a"}\n{\n "content":"b"\n}\n{"content":"c"}\n',
    ["a", "b", "c"],
  ],
  [
    "several objects a line",
    "a.jsonl",
    '{"content":"a"}{"content":"b"}\n{"content":"c"} {"content":"d"}\n',
    ["a", "b", "c", "d"],
  ],
  ["an array of texts", "a.json", '["a", "b\\"]",\n"c"]', ["a", 'b"]', "c"]],
  ["an array of texts in .jsonl", "a.jsonl", '["a","b"]', ["a", "b"]],
  [
    "numbers as Python writes them",
    "a.jsonl",
    '{"content":"a NaN","s":NaN}\n{"content":"b","s":-Infinity}\n{"s":Infinity,"content":"NaN\\\\"}\n',
    ["a NaN", "b", "NaN\\"],
  ],
  ["a column twice in an array: the last", "a.json", '[{"content":"a","content":"b"}]', ["b"]],
  ["quotes within a field", "a.csv", 'content,b\nsay "hi" now,1\n5" disk,2\n', ['say "hi" now', '5" disk']],
  ["text after a closing quote", "a.csv", 'content,b\n"abc"def,2\n"a"b"c,3\n', ["abcdef", 'ab"c']],
  ["doubled quotes", "a.csv", 'content,b\n"a ""q"" b",3\n"",4\n', ['a "q" b', ""]],
  ["rows without their last fields", "a.csv", "content,b,c\nshort\nx,1\n", ["short", "x"]],
  ["line feeds within quotes only", "a.csv", 'b,content\n1,"a\nb"\n2,x"y\n"3","z\n"\n', ["a\nb", 'x"y', "z\n"]],
  ["lines that end in CR", "a.csv", 'content,b\ra,1\r"b\rc",2\r\r\nd,3\n\re,4\r', ["a", "b\rc", "d", "e"]],
  ["CRs before a line feed", "a.csv", "b,content\r1,x\r\r\n2,y\r\r", ["x", "y"]],
  ["a quoted header after a byte order mark", "a.csv", '\u{feff}"content","b\nc"\na,1\n', ["a"]],
  ["quotes within a field of .tsv", "a.tsv", 'content\tb\na "q" b\t1\n"x\ty"\t2\n', ['a "q" b', "x\ty"]],
];

describe("a layout that Python reads", () => {
  for (const [what, name, content, rows] of layouts) {
    it(`${what}: ${name}`, async () => {
      await withFolder({ [name]: content }, async (folder) => {
        const recipe = { ...WIDE, textColumn: /^.*\["a/.test(content) ? "text" : "content" };
        const all = await streamOf([join(folder, name)], recipe);
        assert.deepEqual(textsOf(all), rows);
        for (const [index, { cursorAfter: cursor }] of all.entries()) {
          const rest = await streamOf([join(folder, name)], recipe, { cursor });
          assert.deepEqual(rest, all.slice(index + 1), `after row ${index}`);
        }
      });
    });
  }
});

describe("parquet with lists of two levels (fixtures/make_two_levels.sh)", () => {
  const file = fileURLToPath(new URL("../../test/fixtures/two-levels.parquet", import.meta.url));

  it("gives texts with their byte order marks", async () => {
    assert.deepEqual(textsOf(await streamOf([file], WIDE)), ["\ufeffbegins with a mark", "b"]);
  });

  it("is damaged when its footer has no schema", async () => {
    // Thrift's compact protocol: version 1, no schema elements, no rows, no row groups.
    const footer = Buffer.from("1502190c1600190c00", "hex");
    const length = Buffer.of(footer.length, 0, 0, 0);
    const bytes = Buffer.concat([Buffer.from("PAR1"), footer, length, Buffer.from("PAR1")]);
    await withFolder({ "a.parquet": bytes }, async (folder) => {
      await assert.rejects(streamOf([join(folder, "a.parquet")], WIDE), {
        code: "data_loss",
        message: /a\.parquet is damaged/,
      });
    });
  });

  it("gives the elements that pyarrow gives", async () => {
    const bytes = await readFile(file);
    const buffer = new Uint8Array(bytes).buffer;
    const rows = await parquetReadObjects({ file: buffer, columns: ["messages", "single"] });
    const repairs = listRepairs(parquetSchema(parquetMetadata(buffer)));
    const repaired = rows.map((row) => [...repairs].map(([name, repair]) => repair(row[name])));
    const chat = (user: string, assistant: string) => [
      { role: "user", content: user },
      { role: "assistant", content: assistant },
    ];
    // Plain reading of strings takes the byte order mark away.
    assert.deepEqual(repaired, [
      [chat("x", "y"), [{ content: "s" }]],
      [chat("z", "w"), []],
    ]);
  });
});
