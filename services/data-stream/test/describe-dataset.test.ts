import assert from "node:assert/strict";
import { appendFile, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { collect, numbered, onStage, SPEC, streamOf } from "./helpers.js";

describe("DescribeDataset", () => {
  it("counts without the tokenizer service unless packing needs it", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      const spec = await dataset(numbered(10));
      await tokenizer.stop();
      const [last] = (await collect(client.describeDataset({ dataset: spec }))).slice(-1);
      assert.equal(last?.complete, true);
      assert.equal(last.rows, 10);
      assert.equal(last.microBatchesPerEpoch, 3);
      assert.equal(last.bytesRead, last.bytesTotal);
      assert.match(last.datasetHash, /^[0-9a-f]{64}$/);

      await tokenizer.listen();
      const packed = { ...spec, packing: true, maxLength: 9, batchSize: 2 };
      const [blocks] = (await collect(client.describeDataset({ dataset: packed }))).slice(-1);
      const all = await streamOf(client, { dataset: packed });
      assert.equal(blocks?.microBatchesPerEpoch, all.length);
      assert.equal(blocks.datasetHash, all[0]?.cursorAfter?.datasetHash);
    }));

  it("reports progress, a few times a second", () =>
    onStage(async ({ client, dataset }) => {
      const spec = await dataset(numbered(100_000, "x".repeat(300)));
      const begin = performance.now();
      const all = await collect(client.describeDataset({ dataset: spec }));
      const seconds = (performance.now() - begin) / 1000;
      assert.ok(all.length <= 2 + 4 * seconds, `${all.length} reports in ${seconds} s`);
      for (const [index, { complete, bytesRead, bytesTotal, rows }] of all.entries()) {
        assert.equal(complete, index === all.length - 1);
        assert.ok(bytesRead <= bytesTotal && rows <= 100_000);
      }
      assert.equal(all.at(-1)?.rows, 100_000);
    }));

  it("does not read data again that it has counted, until it changes", () =>
    onStage(async ({ client, dataset, folder }) => {
      const spec = await dataset(numbered(10));
      const [path] = spec.sources;
      const describeAll = async (more: Partial<typeof SPEC> = {}) =>
        (await collect(client.describeDataset({ dataset: { ...spec, ...more } }))).at(-1)!;
      // A time that every file system keeps, and the same size: to the service nothing has changed.
      await utimes(path!, 1, 1);
      const counted = await describeAll();
      await writeFile(path!, "x".repeat(counted.bytesTotal));
      await utimes(path!, 1, 1);
      assert.deepEqual(await describeAll(), counted);
      assert.equal((await describeAll({ batchSize: 5 })).microBatchesPerEpoch, 2);
      await assert.rejects(describeAll({ textColumn: "other" }), { code: "invalid_argument" });
      for (const name of await readdir(join(folder, "counts"))) await writeFile(join(folder, "counts", name), "{");
      await assert.rejects(describeAll(), { code: "invalid_argument" });
    }));

  it("looks at the first rows when asked to, whether it counts or has counted", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      const spec = await dataset(["x".repeat(70), "abc", ""]);
      const check = async (more: Partial<typeof SPEC> = {}) =>
        (await collect(client.describeDataset({ dataset: { ...spec, ...more }, checkRows: true }))).at(-1)!;
      const found = { rows: 3, rowsCut: 1, rowsWithoutEos: 1, rowsWithoutTarget: 1, stepsWithoutTarget: 0 };
      for (const maxRows of [0, 0, 3, 5]) {
        const { complete, files, checked } = await check({ maxRows });
        assert.deepEqual([complete, files, checked], [true, 1, found]);
      }
      for (const _ of [1, 2]) assert.equal((await check({ maxRows: 2 })).checked?.rows, 2);
      tokenizer.truncationSide = "left";
      assert.deepEqual((await check()).checked, { ...found, rowsWithoutEos: 0 });
      assert.equal((await collect(client.describeDataset({ dataset: spec }))).at(-1)!.checked, undefined);
    }));

  it("passes on what is wrong with the data", () =>
    onStage(async ({ client, dataset }) => {
      const describeAll = (spec: typeof SPEC) => collect(client.describeDataset({ dataset: spec }));
      const bad = await dataset(["fine"]);
      await appendFile(bad.sources[0]!, "nonsense\n");
      await assert.rejects(describeAll(bad), { code: "invalid_argument", message: /d\.jsonl:2: not JSON/ });
      await assert.rejects(describeAll(await dataset([])), { code: "failed_precondition" });
      await assert.rejects(describeAll({ ...SPEC, batchSize: 0 }), { code: "invalid_argument", message: /batch_size/ });
    }));
});
