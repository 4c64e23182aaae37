/** Against torch.amp.GradScaler's rule (torch/amp/grad_scaler.py and _amp_update_scale_). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GROWTH_INTERVAL, LossScaler } from "../src/index.js";

test("the scale halves at each overflow, and doubles after enough good steps in a row", () => {
  const scaler = new LossScaler();
  assert.equal(scaler.state.scale, 65_536);
  scaler.update(false);
  scaler.update(false);
  assert.deepEqual(scaler.state, { scale: 16_384, goodSteps: 0 });
  for (let step = 1; step < GROWTH_INTERVAL; step++) scaler.update(true);
  assert.deepEqual(scaler.state, { scale: 16_384, goodSteps: GROWTH_INTERVAL - 1 });
  scaler.update(false);
  assert.deepEqual(scaler.state, { scale: 8_192, goodSteps: 0 });
  for (let step = 1; step <= GROWTH_INTERVAL; step++) scaler.update(true);
  assert.deepEqual(scaler.state, { scale: 16_384, goodSteps: 0 });
});

test("it resumes where it was saved, and stays within float32", () => {
  const saved = { scale: 2 ** 127, goodSteps: GROWTH_INTERVAL - 1 };
  const scaler = new LossScaler(saved);
  scaler.update(true);
  assert.deepEqual(scaler.state, { scale: 2 ** 127, goodSteps: 0 });
  assert.deepEqual(saved, { scale: 2 ** 127, goodSteps: GROWTH_INTERVAL - 1 });
});
