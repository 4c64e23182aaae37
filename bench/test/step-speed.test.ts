/**
 * The short form of `make bench`: a float32 step must not become slower. What it is measured against is a bare product by the same runtime,
 * in turn in the same process and by processor time, so that neither the machine nor other work on it decides.
 */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { test } from "node:test";
import { gpt2TwoLayersFolder } from "../src/gpt2-small.js";
import { median } from "../src/rounds.js";
import { stepAgainstProduct } from "../src/step-against-product.js";

/**
 * On two cores of an Intel Xeon with AVX-512, in three runs with little beside them, medians were 0.71 to 0.74, single rounds 0.67 to 0.79.
 */
const LEAST_SHARE = 0.6;

test("a float32 step keeps its share of the bare product's rate", { timeout: 600_000 }, async (context) => {
  const folder = await gpt2TwoLayersFolder();
  context.after(() => rm(folder, { recursive: true }));
  const { cpu } = await stepAgainstProduct(folder, { threads: 1, rounds: 9 });
  const share = median(cpu);
  context.diagnostic(`share ${share.toFixed(3)}: ${cpu.map((one) => one.toFixed(2)).join(" ")}`);
  assert.ok(share >= LEAST_SHARE, `${share.toFixed(3)} of the bare product's rate, not ${LEAST_SHARE}`);
});
