/** A run's memory is estimated before anything of it is allocated. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { initAdapter } from "@gradpool/adapter";
import { adapterParameters, checkMemory } from "../src/runs/memory.js";
import { failure } from "./support.js";

/** The linear layers of GPT-2 XL. */
const GPT2_XL = Array.from({ length: 48 }, (_, layer) => [
  { name: `transformer.h.${layer}.attn.c_attn`, inFeatures: 1_600, outFeatures: 4_800 },
  { name: `transformer.h.${layer}.attn.c_proj`, inFeatures: 1_600, outFeatures: 1_600 },
  { name: `transformer.h.${layer}.mlp.c_fc`, inFeatures: 1_600, outFeatures: 6_400 },
  { name: `transformer.h.${layer}.mlp.c_proj`, inFeatures: 6_400, outFeatures: 1_600 },
]).flat();

test("the parameters that are counted are those of the adapter", () => {
  const targets = [
    { name: "a", inFeatures: 3, outFeatures: 5 },
    { name: "b", inFeatures: 7, outFeatures: 2, r: 4 },
  ];
  const tensors = initAdapter(targets, 2, 42, undefined);
  const there = [...tensors.values()].reduce((sum, { data }) => sum + data.length, 0);
  assert.equal(adapterParameters(targets, 2), there);
  assert.equal(adapterParameters([{ name: "a", inFeatures: 3, outFeatures: 5, useDora: true }], 2), 2 * 8 + 5);
});

test("a run that does not fit is refused with the numbers, and one that fits is not", () => {
  checkMemory(GPT2_XL, 8, 2e9);
  checkMemory(GPT2_XL, 64, 4e9);
  assert.throws(
    () => checkMemory(GPT2_XL, 1_024, 16e9),
    failure(
      "resource_exhausted",
      /^an adapter of rank 1024 on 192 modules has 1,258,291,200 parameters; training them takes about 40\.3 GB of the coordinator's memory, which has 16\.0 GB; lower lora_r, or adapt fewer modules$/,
    ),
  );
  // Of this process itself: no machine has what this takes.
  const large = Array.from({ length: 1_000 }, () => GPT2_XL).flat();
  assert.throws(() => checkMemory(large, 1_024), failure("resource_exhausted", /lower lora_r/));
});
