/** Products with the base in eight bits: every architecture's loss and gradients beside float32's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { adaptedModules, initAdapter } from "@gradpool/adapter";
import { cosine, Golden, GOLDEN_CASES } from "@gradpool/integration-tests";
import { openModel, weightNorms } from "@gradpool/model-source";
import { selectTargets, type BasePrecision } from "@gradpool/models";
import { TrainingSession } from "@gradpool/runtime";

const [rows, rowLength] = [2, 24];

for (const name of GOLDEN_CASES) {
  test(`${name}: int8-backward has the loss of float32, and both nearly its gradients`, async () => {
    const { lora, modelDir } = new Golden(name);
    const source = await openModel(modelDir);
    const { description } = source.model;
    const targets = adaptedModules(selectTargets(description, lora.targetModules), lora);
    const tensors = initAdapter(targets, lora.r, 3, lora.useDora ? await weightNorms(source, targets) : undefined);
    for (const [key, { data }] of tensors)
      if (key.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i) / 10));
    const ids = Int32Array.from(
      { length: rows * rowLength },
      (_, i) => (i * 37 + 11) % Math.min(500, description.vocabSize),
    );
    const run = async (basePrecision: BasePrecision) => {
      const options = { threads: 1, dropout: false, basePrecision };
      await using session = await TrainingSession.create({ source, targets, padRow: false }, options);
      return await session.run({ rows, rowLength, ids, lengths: [24, 17] }, { tensors, scaling: 2 });
    };
    const [exact, backward, both] = [await run("float32"), await run("int8-backward"), await run("int8")];
    assert.equal(backward.lossSum, exact.lossSum);
    assert.ok(Math.abs(both.lossSum / exact.lossSum - 1) < 5e-3, `${both.lossSum} instead of ${exact.lossSum}`);
    const [ofBackward, ofBoth] = [backward, both].map(({ gradients }) => cosine(gradients, exact.gradients));
    assert.ok(ofBackward! >= 0.998 && ofBackward! < 1, `int8-backward: ${ofBackward}`);
    assert.ok(ofBoth! >= 0.99 && ofBoth! < 1, `int8: ${ofBoth}`);
  });
}
