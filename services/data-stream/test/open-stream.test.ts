import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EOS, PAD } from "./byte-tokenizer.js";
import { collect, numbered, onStage, rowsOf, SPEC, streamOf, textsOf } from "./helpers.js";

describe("OpenStream", () => {
  it("cuts rows at the tokenizer's truncation_side", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      const spec = await dataset(["abcdef"], { maxLength: 4 });
      assert.deepEqual((await streamOf(client, { dataset: spec })).flatMap(rowsOf), [[97, 98, 99, 100]]);
      tokenizer.truncationSide = "left";
      assert.deepEqual((await streamOf(client, { dataset: spec })).flatMap(rowsOf), [[100, 101, 102, EOS]]);
    }));

  it("streams micro-batches in order, with ids as bytes", () =>
    onStage(async ({ client, dataset }) => {
      const all = await streamOf(client, { dataset: await dataset(["ab", "ü", ""], { batchSize: 2 }), epochs: 2 });
      assert.deepEqual(all.map(rowsOf), [
        [
          [97, 98, EOS],
          [0xc3, 0xbc, EOS],
        ],
        [[EOS]],
        [
          [97, 98, EOS],
          [0xc3, 0xbc, EOS],
        ],
        [[EOS]],
      ]);
      assert.deepEqual(
        all.map(({ index, epoch, lastOfEpoch, rows, rowLength, targetTokens }) => [
          index,
          epoch,
          lastOfEpoch,
          rows,
          rowLength,
          targetTokens,
        ]),
        [
          [0, 0, false, 2, 3, 4],
          [1, 0, true, 1, 1, 0],
          [2, 1, false, 2, 3, 4],
          [3, 1, true, 1, 1, 0],
        ],
      );
      const [padded] = await streamOf(client, { dataset: await dataset(["ab", ""]) });
      assert.deepEqual(Array.from(new Int32Array(new Uint8Array(padded!.ids).buffer)), [97, 98, EOS, EOS, PAD, PAD]);
    }));

  it("resumes after any cursor", () =>
    onStage(async ({ client, dataset }) => {
      const spec = await dataset(numbered(30), { shuffleBuffer: 7, packing: true, maxLength: 11, batchSize: 3 });
      const all = await streamOf(client, { dataset: spec, epochs: 2 });
      for (const [index, { cursorAfter }] of all.entries()) {
        const rest = await streamOf(client, { dataset: spec, epochs: 2, cursor: cursorAfter });
        assert.deepEqual(rest, all.slice(index + 1));
      }
    }));

  it("passes on what is wrong with the data", () =>
    onStage(async ({ client, dataset, folder }) => {
      const bad = await dataset(["fine"]);
      await appendFile(bad.sources[0]!, '{"text":1}\n');
      const line = { code: "invalid_argument", message: /d\.jsonl:2: no column "content"; the row has "text"/ };
      await assert.rejects(streamOf(client, { dataset: bad }), line);
      const missing = { ...SPEC, sources: [join(folder, "missing")] };
      await assert.rejects(streamOf(client, { dataset: missing }), { code: "not_found", message: /missing/ });
      const empty = await dataset([]);
      await assert.rejects(streamOf(client, { dataset: empty }), { code: "failed_precondition", message: /no rows/ });
      await assert.rejects(streamOf(client, {}), { code: "invalid_argument", message: /dataset is missing/ });
      const nameless = { ...SPEC, tokenizer: undefined };
      await assert.rejects(streamOf(client, { dataset: nameless }), { code: "invalid_argument" });
      const unknown = { ...SPEC, tokenizer: { modelId: "x", padToken: "", tokenizerHash: "" } };
      await assert.rejects(streamOf(client, { dataset: unknown }), { code: "not_found", message: /no such tokenizer/ });
    }));

  it("prepares no more than gRPC's window and its own bound while the client is slow", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      // 240 rows of 100,000 tokens are 96 MB on their way to the client.
      const rowTokens = 100_000;
      const spec = await dataset(numbered(240, "x".repeat(rowTokens)), { maxLength: rowTokens, batchSize: 1 });
      const window = (16 * 1024 * 1024) / (4 * rowTokens);
      // Prepared micro-batches, text on its way to the tokenizer, and messages that gRPC holds at both ends.
      const ahead = 8 + (1024 * 1024) / rowTokens + 2 + 40;
      let taken = 0;
      for await (const { microBatch } of client.openStream({ dataset: spec, epochs: 1, cursor: undefined })) {
        taken += microBatch!.rows;
        assert.ok(tokenizer.texts.length <= taken + window + ahead, `${tokenizer.texts.length} after ${taken}`);
      }
      assert.equal(taken, 240);
    }));

  it("ends its work when the client leaves", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      let asked = (_: AbortSignal) => {};
      const waiting = new Promise<AbortSignal>((resolve) => (asked = resolve));
      tokenizer.beforeAnswer = async ({ signal }) => {
        asked(signal);
        await once(signal, "abort");
      };
      const leaving = new AbortController();
      const call = client.openStream(
        { dataset: await dataset(numbered(10)), epochs: 1, cursor: undefined },
        { signal: leaving.signal },
      );
      const result = assert.rejects(collect(call), { code: "cancelled" });
      const signal = await waiting;
      leaving.abort();
      await result;
      if (!signal.aborted) await once(signal, "abort");
    }));

  it("tells its clients that it is shutting down", () =>
    onStage(async ({ client, dataset, dataStream, tokenizer }) => {
      let asked = () => {};
      const waiting = new Promise<void>((resolve) => (asked = resolve));
      tokenizer.beforeAnswer = async ({ signal }) => {
        asked();
        await once(signal, "abort");
      };
      const call = streamOf(client, { dataset: await dataset(numbered(10)) });
      const result = assert.rejects(call, { code: "unavailable", message: /shutting down/ });
      await waiting;
      await dataStream[Symbol.asyncDispose]();
      await result;
    }));
});

describe("the tokenizer service", () => {
  it("gets texts in messages of 512 KiB at most, and long ones in pieces", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      // Pieces must not cut the two halves of 🚀 apart.
      const texts = ["a", `x${"🚀é".repeat(300_000)}`, "b", "y".repeat(600_000), ...numbered(2000, "z".repeat(1000))];
      const spec = await dataset(texts, { packing: true, maxLength: 50_000, batchSize: 1 });
      const ids = (await streamOf(client, { dataset: spec })).flatMap(rowsOf).flat();
      const expected = texts.flatMap((text) => [...Buffer.from(text), EOS]);
      assert.equal(ids.length, expected.length);
      assert.ok(ids.every((id, index) => id === expected[index]));
      assert.ok(Math.max(...tokenizer.requestBytes) <= 512 * 1024);
      assert.ok(tokenizer.requestBytes.length > texts.join("").length / (512 * 1024));
    }));

  it("is not sent the rest of a text whose first max_length tokens are in", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      const texts = ["x".repeat(20_000_000), "y".repeat(3_000_000), "end"];
      const all = await streamOf(client, { dataset: await dataset(texts, { batchSize: 3 }) });
      assert.deepEqual(textsOf(all), ["x".repeat(64), "y".repeat(64), "end"]);
      const sent = tokenizer.requestBytes.reduce((sum, bytes) => sum + bytes, 0);
      assert.ok(sent < 4_000_000, `${sent} bytes`);
    }));

  it("may stop and return without a row lost or repeated", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      const texts = numbered(20_000, "some text that takes its place");
      const spec = await dataset(texts, { shuffleBuffer: 100 });
      const expected = textsOf(await streamOf(client, { dataset: spec }));
      let answers = 0;
      let restarted: Promise<void> | undefined;
      tokenizer.beforeAnswer = async () => {
        if (++answers === 3) restarted = tokenizer.stop().then(() => tokenizer.listen());
      };
      assert.deepEqual(textsOf(await streamOf(client, { dataset: spec })), expected);
      await restarted;
      assert.ok(answers > 3);
      assert.deepEqual(expected.toSorted(), texts.toSorted());
    }));

  it("is refused when it comes back with other ids", () =>
    onStage(async ({ client, dataset, tokenizer }) => {
      tokenizer.beforeAnswer = async () => {
        tokenizer.hash = "other";
      };
      const spec = await dataset(numbered(20_000, "some text that takes its place"));
      await assert.rejects(streamOf(client, { dataset: spec }), { code: "failed_precondition" });
    }));
});

describe("columns, chats and mixtures", () => {
  const lines = (rows: object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

  it("carry a mask of the targets that count, and a mixture's cursor", async () => {
    await onStage(async ({ client, folder }) => {
      const sources = ["a.jsonl", "b.jsonl"].map((name) => join(folder, name));
      for (const [index, path] of sources.entries()) {
        const rows = Array.from({ length: 20 }, (_, row) => ({ p: `${index}`, c: `${row}` }));
        await writeFile(path, lines(rows));
      }
      const columns = { promptColumn: "p", completionColumn: "c", batchSize: 1 };
      const spec = { ...SPEC, ...columns, sources, sourceWeights: [2, 1] };
      const all = await streamOf(client, { dataset: spec });
      assert.ok(all.length > 10 && all.length < 40);
      for (const [index, { targetMask, targetTokens, lengths, cursorAfter }] of all.entries()) {
        // The prompt is a row's first token, which is no target: all that are targets count.
        assert.equal(targetMask.length, 0);
        assert.equal(targetTokens, lengths[0]! - 1);
        assert.deepEqual(await streamOf(client, { dataset: spec, cursor: cursorAfter }), all.slice(index + 1));
      }
      const [swapped] = await streamOf(client, { dataset: { ...spec, promptColumn: "c", completionColumn: "p" } });
      const { targetMask, targetTokens, rowLength } = swapped!;
      assert.equal(targetMask.length > 0 ? targetMask.length : rowLength, rowLength);
      assert.equal(targetTokens, 2);
    });
  });

  it("go through the tokenizer's chat template, without its own tokens around", async () => {
    await onStage(async ({ client, folder, tokenizer }) => {
      const path = join(folder, "chat.jsonl");
      const messages = ["hi", "yes"].map((content, index) => ({ role: index === 0 ? "user" : "assistant", content }));
      await writeFile(path, lines([{ messages }]));
      const dataset = { ...SPEC, sources: [path], messagesColumn: "messages" };
      await assert.rejects(streamOf(client, { dataset }), { code: "failed_precondition", message: /no chat template/ });
      const template =
        "{% for m in messages %}{{ bos_token }}{{ m.role[0] }}:{{ m.content }}{% endfor %}" +
        "{% if add_generation_prompt %}{{ bos_token }}a:{% endif %}";
      tokenizer.chatTemplate = { template, specialTokens: { bos_token: "^" } };
      const [microBatch] = await streamOf(client, { dataset });
      assert.equal(Buffer.from(rowsOf(microBatch!)[0]!).toString(), "^u:hi^a:yes");
      assert.deepEqual([...microBatch!.targetMask], [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
      assert.equal(microBatch!.targetTokens, 3);
      assert.ok(tokenizer.noSpecialTokens);
    });
  });
});
