#!/usr/bin/env node
/**
 * Answers compare-with-transformers.py: one line of JSON per question on standard input, one line of JSON per answer. Questions
 * go through the same functions as `gradpool eval`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dataset, localFile } from "@gradpool/data";
import { GradpoolError } from "@gradpool/errors";
import { datasetResolver, hubSettings } from "@gradpool/hub";
import { FakeHub } from "@gradpool/integration-tests";
import { modelPlaces } from "@gradpool/hub";
import { openModel } from "@gradpool/model-source";
import { LossSession } from "@gradpool/runtime";
import { loadTokenizer } from "@gradpool/tokenizers";

const places = modelPlaces({ ...process.env, GRADPOOL_HOME: process.env.COMPARE_HOME ?? `${tmpdir()}/compare-home` });

const KINDS = {
  async tokenizer({ path, texts }) {
    const tokenizer = await loadTokenizer(path, "");
    const ids = texts.map((text) => [...tokenizer.encode(text)]);
    tokenizer.free();
    return { ids, notes: tokenizer.info.notes };
  },
  async model({ path, batch }) {
    const source = await openModel(path, places);
    const session = await LossSession.create({ source, targets: [], padRow: false }, { threads: 1 });
    const rowLength = Math.max(...batch.map((row) => row.length));
    const { maxPositions } = source.model.description;
    if (rowLength > maxPositions)
      return { error: `max_length ${rowLength} is beyond the model's ${maxPositions} positions` };
    const ids = new Int32Array(batch.length * rowLength);
    for (const [i, row] of batch.entries()) ids.set(row, i * rowLength);
    const lengths = batch.map((row) => row.length);
    const { lossSum, targetTokens } = await session.run({ rows: batch.length, rowLength, ids, lengths });
    await session[Symbol.asyncDispose]();
    return { loss: lossSum / targetTokens, notes: source.notes };
  },
  async data({ path, columns, selection }) {
    const signal = new AbortController().signal;
    const { sources, elsewhere, done } = selection ? await onHub(path, selection) : { sources: [path], done() {} };
    try {
      const dataset = await Dataset.open(sources, signal, elsewhere && { elsewhere });
      const rows = [];
      const all = { from: dataset.start, before: 0, count: Infinity, seed: 0 };
      for await (const some of dataset.rows(all, { columns, signal })) {
        rows.push(...some.map(({ content }) => ("text" in content ? content.text : content.messages)));
      }
      return { rows };
    } finally {
      await done();
    }
  },
};

/** The folder as a data set on a hub. */
async function onHub(path, selection) {
  const hub = await FakeHub.start();
  const id = `org/${path.replace(/^.*\//, "").replace(/\W+$/, "")}`;
  await hub.create("dataset", id).commit(path);
  const cacheDir = await mkdtemp(join(tmpdir(), "compare-hub-"));
  const settings = hubSettings({ HF_ENDPOINT: hub.endpoint, HF_HOME: cacheDir });
  const done = async () => {
    await hub[Symbol.asyncDispose]();
    await rm(cacheDir, { recursive: true });
  };
  return { sources: [id], elsewhere: datasetResolver(settings, selection, localFile), done };
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "") continue;
  const question = JSON.parse(line);
  const answer = await KINDS[question.kind](question).catch((error) => ({
    error: `${error instanceof GradpoolError ? error.code : "CRASH"}: ${error.message}`,
  }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
