import assert from "node:assert/strict";
import { test } from "node:test";
import { dropoutMask, dropoutMasks, type DropoutKey } from "@gradpool/runtime";

const KEY: DropoutKey = { probability: 0.05, seed: 7, step: 3, microBatch: 2 };
const SIZE = 1 << 20;

const sum = (values: Iterable<number>) => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};

/** Bound on a share estimated from `size` draws: five standard deviations. */
const fiveSigma = (p: number, size: number) => 5 * Math.sqrt((p * (1 - p)) / size);

for (const probability of [0.01, 0.05, 0.1, 0.3, 0.5, 0.9]) {
  test(`a share of ${probability} is dropped`, () => {
    const mask = dropoutMask("layer", SIZE, { ...KEY, probability });
    assert.ok(Math.abs(1 - sum(mask) / SIZE - probability) < fiveSigma(probability, SIZE));
    assert.ok(mask.every((flag) => flag === 0 || flag === 1));
  });
}

test("neighbours, columns and lanes are independent", () => {
  const mask = dropoutMask("layer", SIZE, { ...KEY, probability: 0.3 });
  for (const lag of [1, 2, 31, 32, 33, 768, 3072]) {
    let both = 0;
    for (let i = 0; i + lag < SIZE; i++) both += (1 - mask[i]!) * (1 - mask[i + lag]!);
    assert.ok(Math.abs(both / (SIZE - lag) - 0.09) < fiveSigma(0.09, SIZE - lag), `lag ${lag}`);
  }
  for (let lane = 0; lane < 32; lane++) {
    let dropped = 0;
    for (let i = lane; i < SIZE; i += 32) dropped += 1 - mask[i]!;
    assert.ok(Math.abs(dropped / (SIZE / 32) - 0.3) < fiveSigma(0.3, SIZE / 32), `lane ${lane}`);
  }
});

test("a mask follows from seed, step, micro-batch and module, and from each of them", () => {
  const mask = dropoutMask("layer", SIZE, KEY);
  assert.deepEqual(dropoutMask("layer", SIZE, { ...KEY }), mask);
  assert.deepEqual(dropoutMask("layer", 1000, KEY), mask.subarray(0, 1000), "longer rows extend it");
  const others: [string, DropoutKey][] = [
    ["layer", { ...KEY, seed: 8 }],
    ["layer", { ...KEY, step: 4 }],
    ["layer", { ...KEY, microBatch: 3 }],
    ["layer2", KEY],
  ];
  for (const [module, key] of others) {
    const other = dropoutMask(module, SIZE, key);
    let both = 0;
    for (let i = 0; i < SIZE; i++) both += (1 - mask[i]!) * (1 - other[i]!);
    assert.ok(
      Math.abs(both / SIZE - 0.0025) < fiveSigma(0.0025, SIZE),
      `independent of ${module} ${JSON.stringify(key)}`,
    );
  }
});

test("each module gets a mask of its own width", () => {
  const masks = dropoutMasks([{ name: "a", inFeatures: 3, outFeatures: 1 }, { name: "b", inFeatures: 5, outFeatures: 1 }], 7, KEY); // prettier-ignore
  assert.deepEqual([...masks].map(([name, { length }]) => [name, length]), [["a", 21], ["b", 35]]); // prettier-ignore
});
