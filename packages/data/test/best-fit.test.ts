/** Packing of whole rows: blocks as TRL's pack_dataset makes them (fixtures/make_packed.py), and what counts in them. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { MAX_PACKED_TOKENS } from "../src/limits.js";
import { Dataset, describeDataset, type DataRecipe, type MicroBatch } from "../src/index.js";
import { ByteEncoder, collect, EOS, neverAborted, RECIPE, jsonl, rowsOf, streamOf, withFolder } from "./helpers.js";

interface Packed {
  cases: Record<string, { lengths: number[]; size: number; blocks: [row: number, tokens: number][][] }>;
}

const fixture = new URL("../../test/fixtures/packed.json", import.meta.url);
const { cases } = JSON.parse(await readFile(fixture, "utf8")) as Packed;

const BFD: Partial<DataRecipe> = { packing: true, packingStrategy: "bfd" };

/** A text "row:length" is that many tokens row·1000, row·1000 + 1, … */
class LengthEncoder extends ByteEncoder {
  override async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
    const limit = maxTokens === 0 ? Infinity : maxTokens;
    return texts.map((text) => {
      const [row, length] = text.split(":").map(Number) as [number, number];
      return Int32Array.from({ length: Math.min(length, limit) }, (_, i) => row * 1000 + i);
    });
  }
}

/** The documents of each row of micro-batches. */
function documentsOf({ lengths, documentLengths, ...batch }: MicroBatch): number[][][] {
  const left = documentLengths.values();
  return rowsOf({ lengths, documentLengths, ...batch }).map((row) => {
    const documents: number[][] = [];
    for (let start = 0; start < row.length;) {
      documents.push(row.slice(start, (start += left.next().value!)));
    }
    return documents;
  });
}

const withTexts = <T>(texts: readonly string[], use: (source: string) => Promise<T>) =>
  withFolder({ "d.jsonl": jsonl(texts) }, (folder) => use(join(folder, "d.jsonl")));

describe("packing by best fit", () => {
  for (const [name, { lengths, size, blocks }] of Object.entries(cases)) {
    it(`makes TRL's blocks, in its order: ${name}`, () =>
      withTexts(
        lengths.map((length, row) => `${row}:${length}`),
        async (source) => {
          const recipe = { ...BFD, maxLength: size, appendEos: false, batchSize: 7 };
          const batches = await streamOf([source], recipe, {}, new LengthEncoder());
          const found = batches
            .flatMap(documentsOf)
            .map((documents) => documents.map((ids) => [ids[0]! / 1000, ids.length]));
          assert.deepEqual(found, blocks);
          assert.equal(
            batches.reduce((sum, { rowsCut }) => sum + rowsCut, 0),
            lengths.filter((length) => length > size).length,
          );
        },
      ));
  }

  it("ends each row, cuts it from the right, and trains on all of a document but its first token", () =>
    withTexts(["ab", "c", "", "defghijk", "lm"], async (source) => {
      const batches = await streamOf([source], { ...BFD, maxLength: 6, batchSize: 2 });
      const text = (ids: number[]) => ids.map((id) => (id === EOS ? "$" : String.fromCharCode(id))).join("");
      assert.deepEqual(
        batches.flatMap(documentsOf).map((documents) => documents.map(text)),
        [["defghi"], ["ab$", "lm$"], ["c$", "$"]],
      );
      const [first, last] = batches as [MicroBatch, MicroBatch];
      assert.deepEqual([...first.targetMask], [0, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1]);
      assert.deepEqual([...last.targetMask], [0, 1, 0]);
      const counts = ({ rows, targetTokens, rowsCut, rowsWithoutEos, rowsWithoutTarget }: MicroBatch) => [
        ...[rows, targetTokens, rowsCut, rowsWithoutEos, rowsWithoutTarget],
      ];
      assert.deepEqual(counts(first), [2, 9, 1, 1, 0]);
      assert.deepEqual(counts(last), [1, 1, 0, 0, 1]);
    }));

  it("refuses rows that are all empty", () =>
    withTexts(["", ""], async (source) => {
      const empty = { ...BFD, appendEos: false };
      const expected = { code: "failed_precondition", message: /all empty; give others, or set --append_eos$/ };
      await assert.rejects(streamOf([source], empty), expected);
      const dataset = await Dataset.open([source], neverAborted);
      const counted = describeDataset(dataset, { ...RECIPE, ...empty }, new ByteEncoder(), neverAborted);
      await assert.rejects(collect(counted), expected);
    }));

  it("counts completions alone, document by document", () =>
    withFolder({ "d.jsonl": `{"p":"ab","c":"cd"}\n{"p":"e","c":"f"}\n{"p":"ghijklm","c":"n"}\n` }, async (folder) => {
      const columns = { promptColumn: "p", completionColumn: "c" };
      const [batch] = await streamOf([folder], { ...BFD, ...columns, maxLength: 8, batchSize: 9 });
      assert.deepEqual(batch!.documentLengths, [8, 5, 3]);
      assert.deepEqual([...batch!.targetMask], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1]);
      assert.equal(batch!.rowsWithoutTarget, 0);
      assert.equal(batch!.rowsWithoutEos, 1);
    }));

  it("makes the same blocks in every epoch, and shuffles these", () =>
    withTexts(
      Array.from({ length: 2_500 }, (_, row) => `${row}:${(row * 37) % 23}`),
      async (source) => {
        const order = async (recipe: Partial<DataRecipe>, epochs = 1) => {
          const all = await streamOf(
            [source],
            { ...BFD, maxLength: 30, batchSize: 1, appendEos: false, ...recipe },
            { epochs },
            new LengthEncoder(),
          );
          return all.flatMap(documentsOf).map((documents) => JSON.stringify(documents.map(([id]) => id)));
        };
        const plain = await order({});
        const shuffled = await order({ shuffleBuffer: 1_500 }, 2);
        const [one, two] = [shuffled.slice(0, plain.length), shuffled.slice(plain.length)];
        for (const epoch of [one, two]) {
          assert.deepEqual(epoch.toSorted(), plain.toSorted());
          assert.notDeepEqual(epoch, plain);
          // 1,500 rows are two groups of 1,000; the rest is shuffled by itself.
          const isRest = epoch.map((ids) => (JSON.parse(ids) as number[])[0]! >= 2_000_000);
          assert.deepEqual(
            isRest,
            isRest.toSorted((a, b) => Number(a) - Number(b)),
          );
        }
        assert.notDeepEqual(one, two);
        assert.notDeepEqual(await order({ shuffleBuffer: 1_500, seed: 8 }), one);
        assert.deepEqual(await order({ shuffleBuffer: 1_500 }), one);
        assert.deepEqual(await order({ shuffleBuffer: 1 }), plain);
      },
    ));

  it("packs rows that are very long in smaller groups, and keeps blocks that do not fit into memory", () =>
    withTexts(
      Array.from({ length: 30 }, (_, row) => `${row}:${row % 2 === 0 ? 999_000 : 500}`),
      async (source) => {
        const recipe = { ...BFD, maxLength: 999_500, appendEos: false, batchSize: 1 };
        const stream = (options: object, changes = {}) =>
          streamOf([source], { ...recipe, ...changes }, options, new LengthEncoder());
        const all = await stream({});
        const groupRows = 2 * Math.ceil(MAX_PACKED_TOKENS / 999_000) - 1;
        assert.deepEqual(
          [...new Set(all.map(({ cursorAfter }) => cursorAfter.rows))].toSorted((a, b) => a - b),
          [0, groupRows],
        );
        const firstIds = (batches: MicroBatch[]) =>
          batches.map(({ ids, documentLengths }) => [ids[0], ...documentLengths]);
        const shuffled = await stream({}, { shuffleBuffer: 100 });
        assert.notDeepEqual(firstIds(shuffled), firstIds(all));
        assert.deepEqual(firstIds(shuffled).toSorted(), firstIds(all).toSorted());
        const cursor = shuffled[11]!.cursorAfter;
        assert.deepEqual(firstIds(await stream({ cursor }, { shuffleBuffer: 100 })), firstIds(shuffled.slice(12)));
      },
    ));
});
