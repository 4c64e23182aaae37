/** Which micro-batches of a step are joined, and what comes of their rows. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Cursor, MicroBatch } from "@gradpool/rpc";
import { MicroBatchJoiner } from "../src/runs/micro-batch-joiner.js";
import { countsOf } from "../src/runs/row-counts.js";
import type { StepPart } from "../src/runs/target-groups.js";

const bytesOf = (ids: number[]) => new Uint8Array(Int32Array.from(ids).buffer);
const idsOf = ({ ids }: MicroBatch) => [...new Int32Array(ids.slice().buffer)];

let next = 0;

/** Rows of these lengths, padded with 9: the first row's ids are 1, the second's 2, and so on. */
function part(lengths: number[], changes: Partial<MicroBatch> = {}, lastOfStep = false): StepPart {
  const rowLength = Math.max(...lengths);
  const row = (length: number, i: number) => [
    ...Array.from({ length }, () => i + 1),
    ...Array.from({ length: rowLength - length }, () => 9),
  ];
  const index = next++;
  const microBatch = MicroBatch.create({
    ...{ index, rows: lengths.length, rowLength, lengths, ids: bytesOf(lengths.flatMap(row)) },
    targetTokens: lengths.reduce((sum, length) => sum + Math.max(0, length - 1), 0),
    cursorAfter: Cursor.create({ microBatches: index + 1 }),
    ...changes,
  });
  return { microBatch, counts: countsOf(microBatch), lastOfStep };
}

/** What a step of these parts comes to. */
const joined = (passTokens: number, parts: StepPart[]): StepPart[] => {
  const joiner = new MicroBatchJoiner(passTokens);
  return parts.flatMap((one) => joiner.add(one));
};
const rowsOf = (parts: StepPart[]) => parts.map(({ microBatch: { rows, rowLength } }) => [rows, rowLength]);

describe("joining micro-batches", () => {
  it("pads rows to the longest, one micro-batch after another, and sums what is counted", () => {
    const [first, second] = [part([2, 1], { rowsCut: 1 }), part([3], { rowsCut: 1, lastOfEpoch: true }, true)];
    const [one, ...more] = joined(100, [first, second]);
    assert.deepEqual(more, []);
    assert.ok(one?.lastOfStep);
    assert.deepEqual(one.counts, { ...one.counts, rows: 3, rowsCut: 2 });
    const { microBatch } = one;
    assert.deepEqual([microBatch.rows, microBatch.rowLength, microBatch.lengths], [3, 3, [2, 1, 3]]);
    assert.deepEqual(idsOf(microBatch), [1, 1, 0, 2, 9, 0, 1, 1, 1]);
    assert.equal(microBatch.targetTokens, 3);
    assert.equal(microBatch.targetMask.length, 0);
    assert.deepEqual(microBatch.documentLengths, []);
    assert.equal(microBatch.index, first.microBatch.index);
    assert.equal(microBatch.lastOfEpoch, true);
    assert.deepEqual(microBatch.cursorAfter, second.microBatch.cursorAfter);
  });

  it("stops at the most tokens, padding included, and at the end of a step", () => {
    const of = (...lastOfStep: boolean[]) => lastOfStep.map((last) => part([8, 8], {}, last));
    assert.deepEqual(rowsOf(joined(48, of(false, false, false, false, true))), [
      [6, 8],
      [4, 8],
    ]);
    assert.deepEqual(rowsOf(joined(47, of(false, false, true))), [
      [4, 8],
      [2, 8],
    ]);
    assert.deepEqual(rowsOf(joined(1000, of(false, true, false, true))), [
      [4, 8],
      [4, 8],
    ]);
    assert.deepEqual(rowsOf(joined(31, of(false, true))), [
      [2, 8],
      [2, 8],
    ]);
  });

  it("leaves a large one alone, and all of them where none are to be joined", () => {
    const large = part([300, 300], {}, true);
    assert.equal(joined(512, [large])[0]?.microBatch, large.microBatch);
    const parts = [part([2]), part([2]), part([2], {}, true)];
    assert.deepEqual(joined(0, parts), parts);
  });

  it("does not join what would be padded more than a pass costs", () => {
    assert.deepEqual(rowsOf(joined(512, [part([74]), part([10], {}, true)])), [[2, 74]]);
    assert.deepEqual(rowsOf(joined(512, [part([75]), part([10], {}, true)])), [
      [1, 75],
      [1, 10],
    ]);
    assert.deepEqual(rowsOf(joined(512, [part([10, 10]), part([43], {}, true)])), [
      [2, 10],
      [1, 43],
    ]);
  });

  it("drops rows without a target where others have one", () => {
    const none = () => part([1]);
    const some = part([5, 4]);
    const end = part([1], {}, true);
    const [one, ...more] = joined(4, [none(), some, none(), end]);
    assert.deepEqual(more, []);
    assert.deepEqual(one?.microBatch, {
      ...some.microBatch,
      index: one?.microBatch.index,
      cursorAfter: end.microBatch.cursorAfter,
    });
    assert.equal(one.counts.rows, 5);
    assert.ok(one.lastOfStep);
    assert.deepEqual(rowsOf(joined(4, [none(), part([1], {}, true)])), [[1, 1]]);
  });

  it("joins target masks and documents with micro-batches that have none", () => {
    const masked = part([3, 2], { targetMask: Uint8Array.of(0, 0, 1, 0, 1, 0), targetTokens: 2 });
    const [{ microBatch } = assert.fail()] = joined(100, [masked, part([4, 0], {}, true)]);
    assert.deepEqual([...microBatch.targetMask], [0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0]);
    assert.equal(microBatch.targetTokens, 5);
    const [documents] = joined(100, [part([5, 2], { documentLengths: [3, 2, 2] }), part([4, 0], {}, true)]);
    assert.deepEqual(documents?.microBatch.documentLengths, [3, 2, 2, 4]);
  });
});
