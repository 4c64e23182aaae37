/** The reference runs through graph, optimizer and schedule alone, without any service. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, describe, test } from "node:test";
import { Tokenizer } from "tokenizers";
import { adaptedModules, loraScaling, ownScalings, readAdapter } from "@gradpool/adapter";
import {
  Golden,
  GOLDEN_CASES,
  relativeError,
  adapterError,
  magnitudeError,
  TEST_DEVICE,
  TOLERANCE,
  Workspace,
} from "@gradpool/integration-tests";
import { float16Weights, openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { AdamW, clipGradNorm, learningRate } from "@gradpool/optim";
import { LogitsSession, TrainingSession, type Batch } from "@gradpool/runtime";
import { toFloat32 } from "@gradpool/safetensors";

const THREADS = 2;
const SCHEDULE = { numCycles: 1, power: 1, lrEnd: 0 };

for (const name of GOLDEN_CASES) {
  describe(name, () => {
    const golden = new Golden(name);
    let source: ModelSource;
    before(async () => {
      source = await openModel(golden.modelDir);
    });

    test("logits of the base equal the reference's", async () => {
      const expected = golden.tensors("logits.safetensors");
      const ids = Array.from(new BigInt64Array(Uint8Array.from(expected.get("ids")?.data ?? []).buffer), Number);
      await using session = await LogitsSession.create(
        { source, targets: [], padRow: false },
        { threads: THREADS, ...TEST_DEVICE },
      );
      const all = ids.map((_, position) => position);
      const logits = await session.run(ids, all);
      const reference = expected.get("logits");
      assert.ok(reference);
      assert.deepEqual(logits.shape, reference.shape.slice(1));
      assert.ok(relativeError(logits.data, toFloat32(reference)) <= TOLERANCE.logits);
    });

    test("every step and the final adapter equal the reference's", async (t) => {
      const { recipe, steps } = golden;
      const { lora } = golden;
      const targets = adaptedModules(selectTargets(source.model.description, lora.targetModules), lora);
      const keepHalves = recipe.dtype === "float16";
      await using workspace = await Workspace.create();
      const trained = keepHalves ? await float16Weights(source, workspace.path("cache")) : source;
      const base = { source: trained, targets, padRow: golden.addsPadToken, keepHalves };
      await using session = await TrainingSession.create(base, { threads: THREADS, ...TEST_DEVICE, dropout: false });
      const start = readFileSync(`${golden.dir}init_adapter/adapter_model.safetensors`);
      const tensors = readAdapter(start, targets, lora.r);
      const adapter = { tensors, scaling: loraScaling(lora), ownScalings: ownScalings(targets, lora) };
      const optimizer = new AdamW(tensors, {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weightDecay: recipe.weight_decay,
      });

      let lossError = 0;
      for (const [index, group] of groups(await batches(golden, source)).entries()) {
        const expected = steps[index];
        assert.ok(expected, `a step ${index + 1} that the reference has not`);
        const sums = new Map([...tensors].map(([key, { data }]) => [key, { data: new Float32Array(data.length) }]));
        let lossSum = 0;
        let targetTokens = 0;
        for (const batch of group) {
          const result = await session.run(batch, adapter);
          lossSum += result.lossSum;
          targetTokens += result.targetTokens;
          for (const [key, { data }] of result.gradients)
            sums.get(key)?.data.forEach((sum, i, all) => (all[i] = sum + data[i]!));
        }
        for (const { data } of sums.values()) data.forEach((sum, i) => (data[i] = sum / targetTokens));
        if (index === 0) {
          for (const [key, { data }] of golden.floats("step1_grads.safetensors")) {
            const error = relativeError(sums.get(key)?.data ?? new Float32Array(), data);
            assert.ok(error <= TOLERANCE.gradient, `${key}: ${error}`);
          }
        }
        const gradNorm = clipGradNorm(sums, recipe.max_grad_norm);
        const { learning_rate: rate, lr_scheduler: scheduler, warmup_steps: warmupSteps } = recipe;
        const lr = learningRate(scheduler, index, { ...SCHEDULE, base: rate, warmupSteps, totalSteps: steps.length });
        optimizer.step(sums, lr);
        const loss = lossSum / targetTokens;
        assert.equal(targetTokens, expected.tokens);
        lossError = Math.max(lossError, Math.abs(loss / expected.loss - 1));
        assert.ok(lossError <= TOLERANCE.loss, `step ${index + 1}: loss ${loss}`);
        assert.ok(Math.abs(gradNorm / expected.grad_norm - 1) <= 1e-5, `step ${index + 1}: grad_norm ${gradNorm}`);
        assert.ok(Math.abs(lr - expected.learning_rate) <= 1e-15, `step ${index + 1}: learning rate ${lr}`);
      }
      const final = golden.floats("final_adapter/adapter_model.safetensors");
      const error = adapterError(tensors, final);
      assert.ok(error <= TOLERANCE.adapter, `final adapter: ${error}`);
      const magnitudes = magnitudeError(tensors, final, golden.floats("init_adapter/adapter_model.safetensors"));
      assert.ok(magnitudes <= TOLERANCE.adapter, `final magnitudes: ${magnitudes}`);
      if (TEST_DEVICE.gpu) t.diagnostic(`${name}: losses within ${lossError}, adapter within ${error}`);
    });
  });

  /** Micro-batches of one epoch, as the recipe makes them, and how many make a step. */
  async function batches(
    golden: Golden,
    source: ModelSource,
  ): Promise<{ epochs: number; perStep: number; batches: Batch[] }> {
    const { recipe } = golden;
    const tokenizer = Tokenizer.fromFile(`${golden.modelDir}/tokenizer.json`);
    const eos = 0;
    const rows: number[][] = [];
    for (const text of golden.texts)
      rows.push([...(await tokenizer.encode(text)).getIds(), eos].slice(0, recipe.max_length));
    const pad = golden.addsPadToken ? source.model.description.vocabSize : eos;
    const list: Batch[] = [];
    for (let start = 0; start < rows.length; start += recipe.batch_size) {
      const group = rows.slice(start, start + recipe.batch_size);
      const lengths = group.map(({ length }) => length);
      const rowLength = Math.max(...lengths);
      const ids = new Int32Array(group.length * rowLength).fill(pad);
      group.forEach((row, i) => ids.set(row, i * rowLength));
      list.push({ rows: group.length, rowLength, ids, lengths });
    }
    return { epochs: recipe.epochs, perStep: recipe.gradient_accumulation, batches: list };
  }

  function groups({ epochs, perStep, batches }: { epochs: number; perStep: number; batches: Batch[] }): Batch[][] {
    const ofOneEpoch = Array.from({ length: Math.ceil(batches.length / perStep) }, (_, step) =>
      batches.slice(step * perStep, (step + 1) * perStep),
    );
    return Array.from({ length: epochs }, () => ofOneEpoch).flat();
  }
}
