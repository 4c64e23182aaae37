/**
 * Chats with tools, and whole rows packed together, through all services, as TRL's SFTTrainer trains on them (fixtures/trl,
 * made by make_trl.py there): ids and labels row by row, and the losses of every step.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gradpool, Stack, STACK_KEY, TOLERANCE, Workspace } from "@gradpool/integration-tests";
import { defaultRecipe } from "@gradpool/recipe";
import { createClient, DataStreamServiceService, withKey, type MicroBatch, type Recipe } from "@gradpool/rpc";

interface Expected {
  recipe: Record<string, number | string> & { epochs: number };
  lora: { r: number; lora_alpha: number; target_modules: string[] };
  cases: Record<string, Case>;
}

interface Case {
  max_length: number;
  rows: { input_ids: number[]; labels: number[]; seq_lengths?: number[] }[];
  steps: { step: number; loss: number; learning_rate: number }[];
}

const FIXTURE = fileURLToPath(new URL("../../fixtures/trl/", import.meta.url));
const expected = JSON.parse(readFileSync(`${FIXTURE}expected.json`, "utf8")) as Expected;

/** The model, the rows and the flags of a case. */
const CASES: Record<string, { model: string; rows: string; recipe: Partial<Recipe> }> = {
  qwen3: { model: "qwen3", rows: "chats.jsonl", recipe: { messagesColumn: "messages" } },
  llama: { model: "llama", rows: "chats.jsonl", recipe: { messagesColumn: "messages" } },
  packed: { model: "llama", rows: "texts.jsonl", recipe: { packing: true, packingStrategy: "bfd" } },
};

/** Ids, labels (−100 where a token does not count) and documents of each row. */
function rowsOf(batch: MicroBatch) {
  const ids = new Int32Array(new Uint8Array(batch.ids).buffer);
  const documents = batch.documentLengths.values();
  return batch.lengths.map((length, row) => {
    const start = row * batch.rowLength;
    const input = Array.from(ids.subarray(start, start + length));
    const counts = (at: number) => at > 0 && (batch.targetMask.length === 0 || batch.targetMask[start + at] === 1);
    const lengths: number[] = [];
    for (let sum = 0; batch.documentLengths.length > 0 && sum < length; sum += lengths.at(-1)!) {
      lengths.push(documents.next().value!);
    }
    return { ids: input, labels: input.map((id, at) => (counts(at) ? id : -100)), documents: lengths };
  });
}

/** The same as TRL has it. */
function rowsOfTrl({ rows }: Case) {
  return rows.map(({ input_ids: ids, labels, seq_lengths: documents = [] }) => {
    // Shifted by one, a row's first label is never used; nor is a packed document's.
    const firsts = new Set([0, ...documents.map((_, i) => documents.slice(0, i).reduce((a, b) => a + b, 0))]);
    return { ids, labels: labels.map((label, at) => (firsts.has(at) ? -100 : label)), documents };
  });
}

describe("rows and losses as TRL's", () => {
  let stack: Stack;
  before(async () => {
    stack = await Stack.start({ trainers: 0 });
  });
  after(() => stack[Symbol.asyncDispose]());

  for (const [name, { model, rows, recipe }] of Object.entries(CASES)) {
    const wanted = expected.cases[name]!;

    test(`${name}: ids and labels, row by row`, async () => {
      const client = createClient(DataStreamServiceService, stack.dataStreamAddress, [withKey(() => STACK_KEY)]);
      const dataset = {
        sources: [`${FIXTURE}${rows}`],
        tokenizer: { modelId: `${FIXTURE}${model}`, padToken: "", tokenizerHash: "" },
        recipe: { ...defaultRecipe(), ...recipe, maxLength: wanted.max_length, batchSize: 2 },
        ...{ textColumn: "", maxLength: 0, batchSize: 0, appendEos: false, packing: false, shuffleBuffer: 0, seed: 0 },
        ...{ maxRows: 0, promptColumn: "", completionColumn: "", messagesColumn: "", sourceWeights: [] },
        ...{ config: "", split: "", heldOut: false },
      };
      const found: ReturnType<typeof rowsOf> = [];
      for await (const { microBatch } of client.openStream({ dataset, epochs: 1, cursor: undefined })) {
        found.push(...rowsOf(microBatch!));
      }
      client.close();
      assert.deepEqual(found, rowsOfTrl(wanted));
    });

    test(`${name}: gradpool train has TRL's losses`, async () => {
      await using workspace = await Workspace.create();
      const flags = {
        model_id: `${FIXTURE}${model}`,
        dataset: `${FIXTURE}${rows}`,
        init_adapter: `${FIXTURE}${model}/init_adapter`,
        output_dir: workspace.path("out"),
        max_length: wanted.max_length,
        ...expected.recipe,
        lora_r: expected.lora.r,
        lora_alpha: expected.lora.lora_alpha,
        lora_dropout: 0,
        target_modules: expected.lora.target_modules.join(","),
        ...(recipe.packing ? { packing: "bfd" } : { messages_column: "messages" }),
      };
      const argv = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
      const { code, stderr } = await gradpool(["train", ...argv], workspace.path("home"));
      assert.equal(code, 0, stderr);
      const { steps, row_counts: counts } = JSON.parse(
        await readFile(workspace.path("out", "metrics.json"), "utf8"),
      ) as {
        steps: { step: number; loss: number; learning_rate: number; tokens: number }[];
        row_counts: Record<string, number>;
      };
      assert.equal(steps.length, wanted.steps.length);
      for (const [i, { step, loss, learning_rate: rate }] of wanted.steps.entries()) {
        assert.equal(steps[i]!.step, step);
        assert.ok(Math.abs(steps[i]!.learning_rate - rate) <= 1e-15, `step ${step}: ${steps[i]!.learning_rate}`);
        assert.ok(
          Math.abs(steps[i]!.loss / loss - 1) <= TOLERANCE.loss,
          `step ${step}: ${steps[i]!.loss}, not ${loss}`,
        );
      }
      const cut = wanted.rows.filter(
        ({ input_ids: ids }) => ids.length === wanted.max_length && !recipe.packing,
      ).length;
      const read = readFileSync(`${FIXTURE}${rows}`, "utf8").trim().split("\n").length;
      const { epochs } = expected.recipe;
      assert.deepEqual(counts, {
        ...{ rows: epochs * read, rows_cut: epochs * cut, rows_without_eos: 0, rows_without_target: 0 },
        steps_without_target: 0,
      });
      const targets = rowsOfTrl(wanted).flatMap(({ labels }) => labels.filter((label) => label !== -100));
      const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
      assert.equal(tokens, epochs * targets.length);
    });
  }
});
