/** What a model must hold is what its forward pass asks for. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { toModelProto } from "@gradpool/graph";
import { buildLossGraph, openFamily, type WeightEntry, type WeightsHeader } from "@gradpool/models";
import { parseHeader } from "@gradpool/safetensors";

/** A tied head, untied ones, biases on some projections, normalized heads, and each family. */
const MODELS = ["gpt2-plain", "gpt2-odd", "qwen2-bias", "qwen3-norm", "pythia"];

function read(name: string): { config: Record<string, unknown>; tensors: Map<string, WeightEntry> } {
  const model = new URL(`../../../../integration-tests/fixtures/golden/${name}/model/`, import.meta.url);
  const weights = readFileSync(new URL("model.safetensors", model));
  const { tensors } = parseHeader(weights, weights.byteLength);
  return {
    config: JSON.parse(readFileSync(new URL("config.json", model), "utf8")) as Record<string, unknown>,
    tensors: new Map([...tensors].map(([tensor, entry]) => [tensor, { ...entry, file: "f" }])),
  };
}

const withoutPrefix = (tensor: string) => tensor.replace(/^(transformer|model|gpt_neox)\./, "");

for (const name of MODELS) {
  describe(name, () => {
    const { config, tensors } = read(name);
    const open = (header: WeightsHeader["tensors"]) => openFamily(config, { tensors: header });

    test("its parameters are those of the file", () => {
      const sizes = [...tensors.values()].map(({ shape }) => shape.reduce((product, size) => product * size, 1));
      assert.equal(
        open(tensors).description.parameters,
        sizes.reduce((sum, size) => sum + size, 0),
      );
    });

    test("each tensor is needed, in its shape", () => {
      for (const [tensor, entry] of tensors) {
        const less = new Map(tensors);
        less.delete(tensor);
        const asExpected = (problem: string) => ({ code: "data_loss", message: new RegExp(`${tensor} is ${problem}`) });
        assert.throws(() => open(less), asExpected("missing"));
        const [first = 1, ...others] = entry.shape;
        const reshaped = new Map(tensors).set(tensor, { ...entry, shape: [first + 1, ...others] });
        assert.throws(() => open(reshaped), asExpected(`\\[${[first + 1, ...others].join(", ")}\\] instead`));
      }
    });

    test("each module has a weight of its size", () => {
      const { modules, fanInFanOut } = open(tensors).description;
      const matrices = [...tensors.values()].filter(({ shape }) => shape.length === 2).length;
      const tables = new Set(Object.values(open(tensors).tokenTables));
      const positions = [...tensors.keys()].filter((tensor) => tensor.endsWith("wpe.weight")).length;
      assert.equal(modules.length, matrices - tables.size - positions);
      for (const { name: module, inFeatures, outFeatures } of modules) {
        const shape = fanInFanOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
        const entry = tensors.get(`${module}.weight`) ?? tensors.get(withoutPrefix(`${module}.weight`));
        assert.deepEqual(entry?.shape, shape);
      }
    });

    test("names without the first part, as transformers saves a model that has no head, mean the same", () => {
      const renamed = new Map([...tensors].map(([tensor, entry]) => [withoutPrefix(tensor), entry]));
      const model = open(renamed);
      assert.deepEqual(model.description, open(tensors).description);
      assert.ok(renamed.has(model.tokenTables.embedding));
      const bytes = toModelProto(buildLossGraph({ model, header: { tensors: renamed }, targets: [] }));
      assert.ok(bytes.byteLength > 0);
    });
  });
}

test("dropouts are in the order of the forward pass, without those of probability 0", () => {
  const { config, tensors } = read("gpt2-plain");
  const sites = (changes: object) => openFamily({ ...config, ...changes }, { tensors }).dropouts;
  const some = sites({ embd_pdrop: 0.1, attn_pdrop: 0.2, resid_pdrop: 0 });
  const width = Number(config["n_embd"]);
  assert.deepEqual(some.slice(0, 2), [
    { name: "transformer.drop", probability: 0.1, shape: ["B*S", width] },
    { name: "transformer.h.0.attn.attn_dropout", probability: 0.2, shape: ["B", config["n_head"], "S", "S"] },
  ]);
  assert.equal(some.length, 1 + Number(config["n_layer"]));
  assert.deepEqual(sites({ embd_pdrop: 0, attn_pdrop: 0, resid_pdrop: 0 }), []);
});
