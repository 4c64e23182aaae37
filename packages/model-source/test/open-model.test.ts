/** What users bring instead of a model gets one line that says what to do. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { ErrorCode } from "@gradpool/errors";
import { meanRow, openModel } from "@gradpool/model-source";
import { readSafetensors, toFloat32, writeSafetensors } from "@gradpool/safetensors";
import { GOLDEN_MODEL, refuses as refusesModel } from "./support.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "gradpool-model-"));
  await cp(GOLDEN_MODEL, dir, { recursive: true });
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const refuses = (code: ErrorCode, message: RegExp, modelId = dir) => refusesModel(modelId, code, message);

async function editConfig(changes: Record<string, unknown>): Promise<void> {
  const config = JSON.parse(await readFile(join(dir, "config.json"), "utf8")) as object;
  await writeFile(join(dir, "config.json"), JSON.stringify({ ...config, ...changes }));
}

async function editWeights(edit: (tensors: ReturnType<typeof readSafetensors>["tensors"]) => void): Promise<void> {
  const { tensors } = readSafetensors(await readFile(join(dir, "model.safetensors")));
  edit(tensors);
  await writeFile(join(dir, "model.safetensors"), writeSafetensors(tensors));
}

test("a good model opens", async () => {
  const { model, modelHash } = await openModel(dir);
  assert.equal(model.description.vocabSize, 512);
  assert.equal(model.description.maxPositions, 128);
  assert.equal(model.description.parameters, 512 * 64 + 128 * 64 + 2 * 64 + 2 * (12 * 64 * 64 + 13 * 64));
  assert.match(modelHash, /^[0-9a-f]{64}$/);
});

test("a config.json that is nested without end, wherever", async () => {
  for (const field of ["model_type", "n_embd", "activation_function", "unknown"]) {
    await editConfig({ [field]: "HERE" });
    const config = await readFile(join(dir, "config.json"), "utf8");
    await writeFile(join(dir, "config.json"), config.replace('"HERE"', "[".repeat(200_000) + "]".repeat(200_000)));
    await refuses("data_loss", /config\.json is not valid JSON; download the model again/);
    await cp(GOLDEN_MODEL, dir, { recursive: true });
  }
});

test("no such folder", () => refuses("not_found", /does not exist; give a folder/, join(dir, "nowhere")));
test("a file instead of a folder", () => refuses("not_found", /is a file/, join(dir, "config.json")));
test("no config.json", async () => {
  await unlink(join(dir, "config.json"));
  await refuses("not_found", /has no config\.json/);
});
test("no weights", async () => {
  await unlink(join(dir, "model.safetensors"));
  await refuses("not_found", /has no weights/);
});
test("config.json is not JSON", async () => {
  await writeFile(join(dir, "config.json"), "{ vocab");
  await refuses("data_loss", /not valid JSON/);
});
test("an unsupported architecture is named, with those supported", async () => {
  await editConfig({ model_type: "bert" });
  await refuses("failed_precondition", /"bert" is not supported; supported: gpt2, llama/);
});
test("the model's own code is refused, unless the architecture is a known one", async () => {
  const own = { auto_map: { AutoModelForCausalLM: "modeling.Custom" } };
  await editConfig({ model_type: "custom", ...own });
  await refuses("failed_precondition", /auto_map/);
  await editConfig({ model_type: "gpt2", ...own });
  const { notes } = await openModel(dir);
  assert.match(
    notes.join(),
    /own code \(auto_map in config\.json\) is never run: the model is computed as a plain gpt2/,
  );
});
for (const [field, value] of [
  ["n_head", 7],
  ["n_layer", -1],
  ["n_layer", 1e9],
  ["n_embd", 2 ** 52],
  ["vocab_size", 1e300],
  ["activation_function", "mish"],
  ["layer_norm_epsilon", "x"],
  ["add_cross_attention", true],
] as const) {
  // prettier-ignore
  test(`config.json with ${field} ${String(value)}`, async () => {
    await editConfig({ [field]: value });
    await refuses("failed_precondition", new RegExp(field));
  });
}
test("weights of another shape than config.json says", async () => {
  await editConfig({ vocab_size: 513 });
  await refuses("data_loss", /wte\.weight is \[512, 64\] instead of \[513, 64\]/);
});
test("a missing tensor", async () => {
  await editWeights((tensors) => tensors.delete("transformer.h.1.mlp.c_fc.weight"));
  await refuses("data_loss", /transformer\.h\.1\.mlp\.c_fc\.weight is missing/);
});
test("the weights of a model within another", async () => {
  await editWeights((tensors) => {
    for (const [name, tensor] of [...tensors]) {
      tensors.delete(name);
      tensors.set(`module.${name}`, tensor);
    }
  });
  await refuses(
    "failed_precondition",
    /wte\.weight is missing: the weights name it "module\.transformer\.wte\.weight"/,
  );
});
test("an adapter beside the model is reported", async () => {
  await writeFile(join(dir, "adapter_config.json"), "{}");
  const { notes } = await openModel(dir);
  assert.match(notes.join(), /the adapter in the model's folder \(adapter_config\.json\) is not applied/);
});
test("an untied head that is not there", async () => {
  await editConfig({ tie_word_embeddings: false });
  await refuses("data_loss", /lm_head\.weight is missing/);
});
test("a float64 tensor", async () => {
  await editWeights((tensors) =>
    tensors.set("transformer.ln_f.bias", { dtype: "F64", shape: [64], data: new Uint8Array(512) }),
  );
  await refuses("failed_precondition", /ln_f\.bias is stored as F64/);
});
test("truncated weights, wherever they end", async () => {
  const { length } = await readFile(join(dir, "model.safetensors"));
  for (const size of [length - 1, length >> 1, 2000, 9, 8, 7, 0]) {
    await truncate(join(dir, "model.safetensors"), size);
    await refuses("data_loss", /damaged/);
  }
});
test("a header that claims more than there is", async () => {
  const bytes = await readFile(join(dir, "model.safetensors"));
  for (const claim of [99_999_999n, 2n ** 63n]) {
    bytes.writeBigUInt64LE(claim);
    await writeFile(join(dir, "model.safetensors"), bytes);
    await refuses("data_loss", /claims/);
  }
});

test("the mean row is the mean of all rows", async () => {
  const source = await openModel(dir);
  const mean = await meanRow(source, source.model.tokenTables.embedding);
  const table = readSafetensors(await readFile(join(dir, "model.safetensors"))).tensors.get("transformer.wte.weight");
  assert.ok(table);
  const values = toFloat32(table);
  for (let column = 0; column < 64; column++) {
    let sum = 0;
    for (let row = 0; row < 512; row++) sum += values[row * 64 + column]!;
    assert.equal(mean[column], Math.fround(sum / 512));
  }
});
