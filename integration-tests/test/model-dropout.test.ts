/**
 * The model's own dropouts together with LoRA's, where transformers and PEFT have them: loss and gradients of one
 * micro-batch against torch with the same masks (fixtures/dropout, made by make_dropout.py there).
 */
import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { adaptedModules, loraScaling, ownScalings, readAdapter } from "@gradpool/adapter";
import { Golden, relativeError, TEST_DEVICE, TOLERANCE, Workspace } from "@gradpool/integration-tests";
import { openModel } from "@gradpool/model-source";
import { selectTargets } from "@gradpool/models";
import { TrainingSession, type Batch } from "@gradpool/runtime";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";

const FIXTURES = fileURLToPath(new URL("../../fixtures/dropout/", import.meta.url));
/** As make_dropout.py has them. */
const KEY = { probability: 0.2, seed: 11, step: 4, microBatch: 2 };
const CASES = {
  "gpt2-codeparrot": { embd_pdrop: 0.15, attn_pdrop: 0.25, resid_pdrop: 0.1 },
  "llama-gqa": { attention_dropout: 0.25 },
  pythia: { attention_dropout: 0.25, hidden_dropout: 0.1 },
  "neox-sequential": { attention_dropout: 0.15, hidden_dropout: 0.2 },
  "gpt2-dora": { embd_pdrop: 0.1, attn_pdrop: 0.2, resid_pdrop: 0.15 },
  "llama-dora": { attention_dropout: 0.2 },
};

/** Ids below 500, or below the vocabulary of a smaller model. */
const batchFor = (vocabSize: number): Batch => ({
  rows: 3,
  rowLength: 15,
  ids: Int32Array.from({ length: 45 }, (_, i) => (i * 37 + 11) % Math.min(500, vocabSize)),
  lengths: [15, 10, 15],
});

for (const [name, dropouts] of Object.entries(CASES)) {
  test(`${name}: loss and gradients with all dropouts`, async () => {
    await using workspace = await Workspace.create();
    const golden = new Golden(name);
    const modelDir = workspace.path("model");
    await cp(golden.modelDir, modelDir, { recursive: true });
    const config = JSON.parse(await readFile(`${modelDir}/config.json`, "utf8")) as object;
    await writeFile(`${modelDir}/config.json`, JSON.stringify({ ...config, ...dropouts }));
    const source = await openModel(modelDir);
    const { lora } = golden;
    const targets = adaptedModules(selectTargets(source.model.description, lora.targetModules), lora);
    const file = await readFile(`${golden.dir}final_adapter/adapter_model.safetensors`);
    const adapter = {
      tensors: readAdapter(file, targets, lora.r),
      scaling: loraScaling(lora),
      ownScalings: ownScalings(targets, lora),
    };
    const { tensors } = readSafetensors(await readFile(`${FIXTURES}${name}.safetensors`));
    const expected = new Map([...tensors].map(([key, tensor]) => [key, toFloat32(tensor)]));
    const expectedLoss = expected.get("loss_sum")?.[0] ?? NaN;

    const batch = batchFor(source.model.description.vocabSize);
    for (const gradientCheckpointing of [false, true]) {
      const options = { threads: 2, ...TEST_DEVICE, dropout: true, modelDropout: true, gradientCheckpointing };
      await using session = await TrainingSession.create({ source, targets, padRow: false }, options);
      const { lossSum, gradients } = await session.run(batch, adapter, KEY);
      assert.ok(Math.abs(lossSum / expectedLoss - 1) <= TOLERANCE.loss, `loss ${lossSum} instead of ${expectedLoss}`);
      assert.equal(gradients.size, expected.size - 1);
      for (const [key, { data }] of gradients) {
        const error = relativeError(data, expected.get(key) ?? new Float32Array());
        assert.ok(error <= TOLERANCE.gradient, `${key}: ${error}`);
      }
    }
  });
}
