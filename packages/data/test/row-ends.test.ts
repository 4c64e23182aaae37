/** How rows end: by the end-of-sequence token, once, or by a cut, which is counted. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ByteEncoder, EOS, jsonl, rowsOf, streamOf, withFolder } from "./helpers.js";

const withTexts = <T>(texts: string[], use: (source: string) => Promise<T>) =>
  withFolder({ "d.jsonl": jsonl(texts) }, (folder) => use(join(folder, "d.jsonl")));

describe("rows", () => {
  it("take a text that ends in eos as it is, packed or not", async () => {
    class Ended extends ByteEncoder {
      override async encode(texts: readonly string[], maxTokens: number): Promise<Int32Array[]> {
        return (await super.encode(texts, maxTokens)).map((ids) => ids.map((id) => (id === 36 ? EOS : id)));
      }
    }
    await withTexts(["ab$", "cd", "$"], async (source) => {
      const rows = (await streamOf([source], {}, {}, new Ended())).flatMap(rowsOf);
      assert.deepEqual(rows, [[97, 98, EOS], [99, 100, EOS], [EOS]]);
      const packed = (await streamOf([source], { packing: true, maxLength: 4 }, {}, new Ended())).flatMap(rowsOf);
      assert.deepEqual(packed.flat(), [97, 98, EOS, 99, 100, EOS, EOS]);
    });
  });

  it("cut rows at the tokenizer's truncation_side, and count what that costs", async () => {
    const encoder = new ByteEncoder();
    const counts = async (truncationSide: "left" | "right", recipe = {}) => {
      const all = await withTexts(["abcdefgh", "abcdefg", "ab"], (source) =>
        streamOf([source], { maxLength: 8, batchSize: 3, ...recipe }, {}, Object.assign(encoder, { truncationSide })),
      );
      const { rowsCut, rowsWithoutEos, rowsWithoutTarget } = all[0]!;
      return [...rowsOf(all[0]!).map((ids) => [ids[0], ids.at(-1)]), [rowsCut, rowsWithoutEos, rowsWithoutTarget]];
    };
    assert.deepEqual(await counts("right"), [
      [97, 104],
      [97, EOS],
      [97, EOS],
      [1, 1, 0],
    ]);
    assert.deepEqual(await counts("left"), [
      [98, EOS],
      [97, EOS],
      [97, EOS],
      [1, 0, 0],
    ]);
    assert.deepEqual(await counts("right", { appendEos: false }), [
      [97, 104],
      [97, 103],
      [97, 98],
      [0, 0, 0],
    ]);
  });
});
