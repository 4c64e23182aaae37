/** The numbers, with the real runtime and a real model. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loraShapes } from "@gradpool/adapter";
import { LoraRecipe, Recipe } from "@gradpool/rpc";
import { readSafetensors, toFloat32 } from "@gradpool/safetensors";
import { TestGateway } from "./gateway.js";
import { adapterFile, startTrainer, targets, taskOf } from "./helpers.js";

describe("a trainer's numbers", () => {
  it("gives finite gradients of all LoRA tensors, and the same bits for the same task and any thread count", async () => {
    const results = new Map<string, Uint8Array>();
    for (const threads of [1, 2]) {
      await using gateway = await TestGateway.start();
      gateway.adapters.set("run/0", adapterFile(8, 1));
      await using trainer = await startTrainer(gateway.address, { threads });
      assert.match(trainer.address, /:\d+$/);
      for (const loraDropout of [0, 0.1]) {
        for (const attempt of ["first", "second"]) {
          await gateway.until(() => gateway.room > 0);
          const taskId = `${loraDropout} ${attempt} ${threads}`;
          gateway.sendTask(taskOf(taskId, { rows: 4, rowLength: 64, loraDropout }));
          const { header, gradients } = await gateway.resultOf(taskId);
          assert.equal(header.targetTokens, 63 + 62 + 61 + 60);
          assert.ok(header.lossSum > header.targetTokens && header.lossSum < 20 * header.targetTokens);
          results.set(taskId, Buffer.concat([new Uint8Array(Float64Array.of(header.lossSum).buffer), gradients]));
          const { tensors } = readSafetensors(gradients);
          assert.equal(tensors.size, 2 * targets.length);
          for (const [name, shape] of loraShapes(targets, 8)) {
            const tensor = tensors.get(name);
            assert.deepEqual(tensor?.shape, shape);
            const values = toFloat32(tensor);
            assert.ok(values.every(Number.isFinite) && values.some((value) => value !== 0), name);
          }
        }
      }
    }
    for (const dropout of [0, 0.1]) {
      const ofDropout = [...results].filter(([taskId]) => taskId.startsWith(`${dropout} `)).map(([, bytes]) => bytes);
      assert.equal(ofDropout.length, 4);
      for (const bytes of ofDropout) assert.deepEqual(bytes, ofDropout[0]);
    }
    assert.notDeepEqual(results.get("0 first 1"), results.get("0.1 first 1"));
  });

  it("reads a task's recipe like the single fields of an older coordinator", async () => {
    await using gateway = await TestGateway.start();
    gateway.adapters.set("run/0", adapterFile(4, 1));
    await using trainer = await startTrainer(gateway.address);
    assert.ok(trainer.address);
    const former = { loraR: 4, loraDropout: 0.2, seed: 3, gradientCheckpointing: true };
    const lora = LoraRecipe.fromPartial({ r: 4, dropout: 0.2 });
    const recipe = Recipe.fromPartial({ seed: 3, gradientCheckpointing: true, dtype: "float32", lora });
    // Fields beside a recipe are ignored.
    const both = { recipe, loraR: 2, loraDropout: 0.9, seed: 8, useDora: true };
    const results: Uint8Array[] = [];
    for (const [taskId, changes] of Object.entries({ former, recipe: both })) {
      await gateway.until(() => gateway.room > 0);
      gateway.sendTask(taskOf(taskId, changes));
      results.push((await gateway.resultOf(taskId)).gradients);
    }
    assert.ok(results[0]!.byteLength > 0);
    assert.deepEqual(results[0], results[1]);
  });

  it("gives only the loss for an evaluation, without dropout: that of training without it, the same on any threads", async () => {
    const losses: number[] = [];
    for (const threads of [1, 2]) {
      await using gateway = await TestGateway.start();
      gateway.adapters.set("run/3", adapterFile(8, 1));
      await using trainer = await startTrainer(gateway.address, { threads });
      assert.ok(trainer.address);
      const size = { rows: 4, rowLength: 64, adapterVersion: 3, step: 3 };
      for (const [taskId, changes] of Object.entries({
        training: { loraDropout: 0 },
        evaluation: { loraDropout: 0.5, evaluate: true },
        again: { loraDropout: 0.5, evaluate: true, microBatch: 7, seed: 1 },
      })) {
        await gateway.until(() => gateway.room > 0);
        gateway.sendTask(taskOf(taskId, { ...size, ...changes }));
        const { header, gradients } = await gateway.resultOf(taskId);
        assert.equal(gradients.byteLength > 0, taskId === "training");
        assert.deepEqual([header.gradientBytes, header.targetTokens], [gradients.byteLength, 63 + 62 + 61 + 60]);
        losses.push(header.lossSum);
      }
    }
    // The training graph computes the same forwards.
    for (const loss of losses) assert.ok(Math.abs(loss - (losses[0] ?? NaN)) <= 1e-6 * loss, losses.join(" "));
    const [, first] = losses;
    for (const place of [1, 2, 4, 5]) assert.equal(losses[place], first);
  });
});
