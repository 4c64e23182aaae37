/** GPT-NeoX's config.json, as files of different ages write it. The reference runs check what it computes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { toModelProto } from "@gradpool/graph";
import { buildLogitsGraph, openFamily, type WeightsHeader } from "@gradpool/models";
import { parseHeader } from "@gradpool/safetensors";

const model = new URL("../../../../integration-tests/fixtures/golden/pythia/model/", import.meta.url);
const config = JSON.parse(readFileSync(new URL("config.json", model), "utf8")) as Record<string, unknown>;
const weights = readFileSync(new URL("model.safetensors", model));
const header: WeightsHeader = {
  tensors: new Map(
    [...parseHeader(weights, weights.byteLength).tensors].map(([name, entry]) => [name, { ...entry, file: "f" }]),
  ),
};

const graphOf = (changes: Record<string, unknown>) =>
  toModelProto(buildLogitsGraph({ model: openFamily({ ...config, ...changes }, header), header, targets: [] }));

test("rotary_pct and rotary_emb_base of old files mean what rope_parameters mean", () => {
  const old = { rope_parameters: undefined, rotary_pct: 0.25, rotary_emb_base: 10_000 };
  assert.deepEqual(graphOf(old), graphOf({}));
  assert.notDeepEqual(graphOf({ ...old, rotary_emb_base: 20_000 }), graphOf({}));
  assert.notDeepEqual(graphOf({ ...old, rotary_pct: 0.5 }), graphOf({}));
  assert.deepEqual(graphOf({ rope_parameters: undefined }), graphOf({}));
});

test("the head is the embedding only where the two are tied", () => {
  assert.equal(openFamily(config, header).tokenTables.head, "embed_out.weight");
  const tied = { ...config, tie_word_embeddings: true };
  assert.equal(openFamily(tied, header).tokenTables.head, "embed_out.weight", "what the file holds beats config.json");
  const tensors = new Map(header.tensors);
  tensors.delete("embed_out.weight");
  assert.equal(openFamily(tied, { tensors }).tokenTables.head, "gpt_neox.embed_in.weight");
});

for (const [field, changes] of [
  ["num_attention_heads 5", { num_attention_heads: 5 }],
  ["rotary_pct rotates 9", { rope_parameters: { partial_rotary_factor: 0.6 } }],
  ["rotary_pct rotates 0", { rope_parameters: { partial_rotary_factor: 0.01 } }],
  ["rotary_pct", { rope_parameters: { partial_rotary_factor: "half" } }],
  ["rope_type", { rope_parameters: { rope_type: "ntk", partial_rotary_factor: 0.25 } }],
  ["hidden_act", { hidden_act: "tanh" }],
] as const) {
  test(`config.json is refused, naming ${field}`, () => {
    assert.throws(() => openFamily({ ...config, ...changes }, header), {
      code: "failed_precondition",
      message: new RegExp(field),
    });
  });
}
