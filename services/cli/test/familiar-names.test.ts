import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { RECIPE_FIELDS } from "@gradpool/recipe";
import { addRunFlags } from "../src/run-flags.js";
import { familiarAdvice, familiarName } from "../src/settings/familiar-names.js";

const known = new Set(addRunFlags(new Command()).options.map((option) => option.name()));

test("a familiar name of a field is not a flag itself, and belongs to one field alone", () => {
  const names = RECIPE_FIELDS.flatMap(({ familiar = [] }) => familiar);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(
    names.filter((name) => known.has(name) || familiarAdvice(name)),
    [],
  );
  for (const { name, familiar = [] } of RECIPE_FIELDS) {
    for (const other of familiar) assert.equal(familiarName(other), name);
  }
});

test("advice is for names that are not flags, and names flags that exist", () => {
  // What TrainingArguments, LoraConfig and SFTConfig have most of, in scripts on the hub.
  const asked = ["logging_steps", "logging-dir", "optim", "bf16", "fp16", "save_strategy", "eval_strategy"];
  for (const name of [...asked, "evaluation_strategy", "task_type", "trust_remote_code", "deepspeed", "push_to_hub"]) {
    const advice = familiarAdvice(name) ?? assert.fail(name);
    assert.ok(!known.has(name) && !familiarName(name), name);
    for (const [flag] of advice.matchAll(/\b[a-z]+(?:_[a-z0-9]+)+\b/g)) assert.ok(known.has(flag), `${name}: ${flag}`);
  }
});
