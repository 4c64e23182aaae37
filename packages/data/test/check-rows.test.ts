/** Rows that cannot be used are named by file and place, and the first of each file are looked at before training. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parquetWriteBuffer } from "hyparquet-writer";
import {
  checkRows,
  Dataset,
  describeDataset,
  microBatches,
  type DataRecipe,
  type DatasetOptions,
} from "../src/index.js";
import { MAX_CHECKED_FILE_ROWS } from "../src/limits.js";
import { ByteEncoder, collect, HfEncoder, jsonl, neverAborted, RECIPE, streamOf, withFolder } from "./helpers.js";

/** Renders roles and contents; a role that it does not know is refused, as by many models' own. */
class ChatEncoder extends ByteEncoder {
  readonly chatTemplate = {
    template:
      "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no ' + m.role) }}{% endif %}" +
      "<{{ m.role }}>{% generation %}{{ m.content if m.role == 'assistant' }}{% endgeneration %}{% endfor %}",
    specialTokens: {},
  };
}

const CHATS = { messagesColumn: "messages", maxLength: 40, batchSize: 1 };
const chat = (role: string, content = "answer") => ({
  messages: [
    { role: "user", content: "q" },
    { role, content },
  ],
});
const GOOD = chat("assistant");
const BAD = chat("judge");
const lines = (rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const REFUSED = /the chat template refuses the messages \(no judge/;

interface Masked {
  tokenizer: string;
  template: string;
  specialTokens: Record<string, string>;
  messages: object[];
  ids: number[];
  mask: number[];
}

async function check(
  sources: string[],
  recipe: Partial<DataRecipe>,
  { encoder = new ChatEncoder(), ...options }: DatasetOptions & { encoder?: ByteEncoder } = {},
) {
  const dataset = await Dataset.open(sources, neverAborted, options);
  const whole = { ...RECIPE, ...recipe };
  const [last] = (
    await collect(describeDataset(dataset, whole, whole.packing ? encoder : undefined, neverAborted))
  ).slice(-1);
  return checkRows(dataset, whole, encoder, last?.end, neverAborted);
}

describe("a row that cannot be rendered", () => {
  const files = {
    "a.jsonl": lines([GOOD, GOOD, BAD]),
    "blank.jsonl": `${lines([GOOD])}\n\n${lines([BAD])}`,
    "a.json": JSON.stringify([GOOD, BAD], undefined, 1),
    "a.parquet": new Uint8Array(
      parquetWriteBuffer({
        columnData: [{ name: "messages", data: [GOOD, GOOD, BAD].map(({ messages }) => messages), type: "JSON" }],
      }),
    ),
  };
  const places = { "a.jsonl": ":3", "blank.jsonl": ":4", "a.json": ":14", "a.parquet": ": row 3" };

  for (const [name, place] of Object.entries(places)) {
    it(`is named by its place in ${name}, shuffled or not`, () =>
      withFolder({ [name]: files[name as keyof typeof files] }, async (folder) => {
        const source = join(folder, name);
        const message = new RegExp(`^${source}${place}: ${REFUSED.source}`);
        for (const shuffleBuffer of [0, 16]) {
          const stream = streamOf([source], { ...CHATS, shuffleBuffer }, {}, new ChatEncoder());
          await assert.rejects(stream, { code: "invalid_argument", message });
        }
        await assert.rejects(check([source], CHATS), { code: "invalid_argument", message });
      }));
  }

  it("fails after the rows before it, which are delivered", () =>
    withFolder({ "a.jsonl": lines([GOOD, GOOD, GOOD, BAD, GOOD]) }, async (folder) => {
      for (const [batchSize, whole] of [
        // Whether a micro-batch is the epoch's last shows by the row after it.
        [1, 2],
        [2, 1],
      ] as const) {
        const dataset = await Dataset.open([folder], neverAborted);
        const recipe = { ...RECIPE, ...CHATS, batchSize };
        const stream = microBatches(dataset, recipe, new ChatEncoder(), { epochs: 1, signal: neverAborted });
        for (let i = 0; i < whole; i++) assert.equal((await stream.next()).done, false);
        await assert.rejects(stream.next(), { message: /a\.jsonl:4: the chat template/ });
      }
    }));

  it("is found before training if it is among the first of its file, and used", async () => {
    const many = Array.from({ length: MAX_CHECKED_FILE_ROWS }, () => GOOD);
    const texts = { "a.jsonl": lines(many), "b.jsonl": lines([GOOD, BAD]), "late.jsonl": lines([...many, BAD]) };
    await withFolder(texts, async (folder) => {
      const [a, b, late] = ["a", "b", "late"].map((name) => join(folder, `${name}.jsonl`)) as [string, string, string];
      await assert.rejects(check([a, b], CHATS), { message: /b\.jsonl:2: the chat template/ });
      await assert.rejects(check([b, a], { ...CHATS, maxRows: 2 }), { message: /b\.jsonl:2: the chat template/ });
      await assert.rejects(check([a, b], CHATS, { weights: [1, 9] }), { message: /b\.jsonl:2: the chat template/ });
      assert.equal((await check([late], CHATS)).rows, MAX_CHECKED_FILE_ROWS);
      // What is not used is not looked at.
      assert.equal((await check([a, b], { ...CHATS, maxSamples: many.length + 1 })).rows, many.length + 1);
      assert.equal((await check([b, a], { ...CHATS, maxRows: 1 })).rows, 1);
      assert.equal((await check([a, b], { ...CHATS, maxRows: 3 })).rows, 3);
    });
  });
});

describe("the look at the first rows", () => {
  it("counts those that are cut, lose their end or have no target", () =>
    withFolder({ "a.jsonl": jsonl(["abcdefgh", "abc", "", "a"]) }, async (folder) => {
      const encoder = new ByteEncoder();
      const counts = async (recipe: Partial<DataRecipe>) => Object.values(await check([folder], recipe, { encoder }));
      assert.deepEqual(await counts({ maxLength: 8 }), [4, 1, 1, 1]);
      assert.deepEqual(await counts({ maxLength: 7, appendEos: false }), [4, 1, 0, 2]);
      assert.deepEqual(await counts({ maxLength: 7, packing: true }), [4, 0, 0, 0]);
      Object.assign(encoder, { truncationSide: "left" });
      assert.deepEqual(await counts({ maxLength: 8 }), [4, 1, 0, 1]);
    }));

  it("counts chats whose answers are cut off, or that have none", () =>
    withFolder({ "a.jsonl": lines([GOOD, chat("user"), chat("assistant", "")]) }, async (folder) => {
      const counts = async (recipe: object) => Object.values(await check([folder], { ...CHATS, ...recipe }));
      assert.deepEqual(await counts({}), [3, 0, 0, 2]);
      assert.deepEqual(await counts({ maxLength: 17 }), [3, 1, 0, 3]);
      assert.deepEqual(await counts({ packing: true }), [3, 0, 0, 2]);
    }));

  it("counts what transformers' masks leave within max_length (fixtures/make_chats.py)", async () => {
    const file = new URL("../../test/fixtures/chats.json", import.meta.url);
    const cases = JSON.parse(await readFile(file, "utf8")) as Masked[];
    for (const { tokenizer, template, specialTokens, messages, ids, mask } of cases) {
      for (const maxLength of [2, 8, 16, 24, 1000]) {
        for (const truncationSide of ["right", "left"] as const) {
          const kept = truncationSide === "right" ? mask.slice(0, maxLength) : mask.slice(-maxLength);
          const expected = [1, Number(ids.length > maxLength), 0, Number(!kept.includes(1, 1))];
          const encoder = Object.assign(new HfEncoder(tokenizer, template, specialTokens), { truncationSide });
          await withFolder({ "a.jsonl": lines([{ messages }]) }, async (folder) => {
            const dataset = await Dataset.open([folder], neverAborted);
            const found = await checkRows(
              dataset,
              { ...RECIPE, ...CHATS, maxLength },
              encoder,
              undefined,
              neverAborted,
            );
            assert.deepEqual(Object.values(found), expected, `${tokenizer}, ${maxLength} from the ${truncationSide}`);
          });
        }
      }
    }
  });

  it("shares its rows among many files, and counts what training then counts", async () => {
    const file = jsonl(Array.from({ length: 500 }, (_, i) => "x".repeat(i % 12)));
    const files = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}.jsonl`, file]));
    await withFolder(files, async (folder) => {
      assert.equal((await check([folder], {}, { encoder: new ByteEncoder() })).rows, 2_000);
      await writeFile(join(folder, "0.jsonl"), jsonl(["abcdefgh", "", "ab"]));
      const sources = [join(folder, "0.jsonl")];
      const found = await check(sources, {}, { encoder: new ByteEncoder() });
      const trained = await streamOf(sources, { batchSize: 1 });
      const sum = (key: "rows" | "rowsCut" | "rowsWithoutEos" | "rowsWithoutTarget") =>
        trained.reduce((all, microBatch) => all + microBatch[key], 0);
      for (const key of Object.keys(found) as (keyof typeof found)[]) assert.equal(found[key], sum(key), key);
    });
  });
});
