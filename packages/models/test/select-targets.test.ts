import assert from "node:assert/strict";
import { test } from "node:test";
import { namedTargets, selectTargets, type ModelDescription } from "@gradpool/models";

const names = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"];
const description: ModelDescription = {
  modelType: "gpt2",
  ownTargets: ["c_attn", "c_proj"],
  modules: Array.from({ length: 11 }, (_, layer) =>
    names.map((name) => ({ name: `transformer.h.${layer}.${name}`, inFeatures: 4, outFeatures: 4 })),
  ).flat(),
  vocabSize: 10,
  maxPositions: 10,
  parameters: 100,
  parametersPerToken: 4,
  fanInFanOut: true,
};
const select = (...patterns: string[]) => selectTargets(description, patterns).map(({ name }) => name);

test("auto is the model's own choice; what else a recipe names stays", () => {
  assert.deepEqual(namedTargets(description, ["auto"]), ["c_attn", "c_proj"]);
  assert.deepEqual(namedTargets(description, ["auto", "c_fc"]), ["auto", "c_fc"]);
  assert.deepEqual(namedTargets(description, ["all-linear"]), ["all-linear"]);
});

test("a pattern is a name or its last parts", () => {
  assert.equal(select("c_proj").length, 22);
  assert.equal(select("mlp.c_proj").length, 11);
  assert.deepEqual(select("transformer.h.3.mlp.c_fc"), ["transformer.h.3.mlp.c_fc"]);
});
test("overlapping patterns select a module once, sorted by name", () => {
  const selected = select("c_proj", "mlp.c_proj", "c_attn");
  assert.equal(new Set(selected).size, selected.length);
  assert.deepEqual(selected, [...selected].sort());
});
test("part of a word does not match, and the modules are listed", () => {
  assert.throws(
    () => select("proj"),
    /no module matches proj; this model has attn\.c_attn, attn\.c_proj, mlp\.c_fc, mlp\.c_proj/,
  );
  assert.throws(() => select("c_attn", "q_proj"), /q_proj/);
});

test("a single regular expression must match whole names", () => {
  assert.deepEqual(select(String.raw`.*\.h\.(1|10)\.attn\.c_(attn|proj)`), [
    "transformer.h.1.attn.c_attn",
    "transformer.h.1.attn.c_proj",
    "transformer.h.10.attn.c_attn",
    "transformer.h.10.attn.c_proj",
  ]);
  assert.throws(() => select("c_(attn|proj)"), /no module matches c_\(attn\|proj\)/);
  assert.throws(() => select("c_attn", ".*c_fc"), /no module matches \.\*c_fc/);
  assert.throws(() => select("(c_attn"), /not a valid regular expression: it lacks a \)/);
});

test("all-linear selects every module", () => {
  assert.deepEqual(select("all-linear"), description.modules.map(({ name }) => name).sort()); // prettier-ignore
});
