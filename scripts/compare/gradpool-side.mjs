#!/usr/bin/env node
/**
 * Answers compare-with-transformers.py: one line of JSON per question on standard input, one line of JSON per answer. Questions
 * go through the same functions as `gradpool eval`.
 */
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { GradpoolError } from "@gradpool/errors";
import { modelPlaces, openModel } from "@gradpool/model-source";
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
};

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "") continue;
  const question = JSON.parse(line);
  const answer = await KINDS[question.kind](question).catch((error) => ({
    error: `${error instanceof GradpoolError ? error.code : "CRASH"}: ${error.message}`,
  }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
