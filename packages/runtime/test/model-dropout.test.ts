/** The model's own dropouts and gradient checkpointing: bits that depend on nothing but the inputs (I2). */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { initAdapter } from "@gradpool/adapter";
import { openModel, type ModelSource } from "@gradpool/model-source";
import { selectTargets, type LinearModule } from "@gradpool/models";
import { siteMasks, TrainingSession, type Adapter, type Batch } from "@gradpool/runtime";

const ROOT = new URL("../../../../", import.meta.url);
const GPT2 = fileURLToPath(new URL("models/tiny-coder", ROOT));
const LLAMA = fileURLToPath(new URL("integration-tests/fixtures/golden/llama-gqa/model", ROOT));
const NEOX = ["pythia", "neox-sequential"].map((name) =>
  fileURLToPath(new URL(`integration-tests/fixtures/golden/${name}/model`, ROOT)),
);
const KEY = { probability: 0.1, seed: 5, step: 9, microBatch: 1 };

interface Example {
  source: ModelSource;
  targets: LinearModule[];
  adapter: Adapter;
}

let dir: string;
const examples: Example[] = [];

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "gradpool-test-"));
  examples.push(await example(GPT2, { embd_pdrop: 0.1, attn_pdrop: 0.2, resid_pdrop: 0.3 }, ["c_attn", "c_proj"]));
  examples.push(await example(LLAMA, { attention_dropout: 0.2 }, ["q_proj", "v_proj", "down_proj"]));
  for (const model of NEOX) {
    const dropouts = { attention_dropout: 0.2, hidden_dropout: 0.1 };
    examples.push(await example(model, dropouts, ["query_key_value", "dense_4h_to_h"]));
  }
});

after(() => rm(dir, { recursive: true, force: true }));

/** A copy of the model with dropouts, and an adapter whose B is not zero. */
async function example(model: string, dropouts: object, patterns: string[]): Promise<Example> {
  const copy = join(dir, String(examples.length));
  await cp(model, copy, { recursive: true });
  const config = JSON.parse(await readFile(join(copy, "config.json"), "utf8")) as object;
  await writeFile(join(copy, "config.json"), JSON.stringify({ ...config, ...dropouts }));
  const source = await openModel(copy);
  const targets = selectTargets(source.model.description, patterns);
  const tensors = initAdapter(targets, 4, 1);
  for (const [name, { data }] of tensors)
    if (name.includes("lora_B")) data.forEach((_, i) => (data[i] = Math.sin(i) / 50));
  return { source, targets, adapter: { tensors, scaling: 4 } };
}

function batch(rows: number, rowLength: number): Batch {
  const ids = Int32Array.from({ length: rows * rowLength }, (_, i) => (i * 7919 + 13) % 300);
  return { rows, rowLength, ids, lengths: Array.from({ length: rows }, (_, row) => Math.max(2, rowLength - row)) };
}

interface Options {
  threads?: number;
  dropout?: boolean;
  modelDropout?: boolean;
  gradientCheckpointing?: boolean;
}

/** Loss and all gradients, as text that is equal only for equal bits. */
async function bitsOf({ source, targets, adapter }: Example, options: Options, key = KEY): Promise<string[]> {
  const settings = { threads: 1, dropout: false, ...options };
  await using session = await TrainingSession.create({ source, targets, padRow: false }, settings);
  const bits: string[] = [];
  for (const shape of [batch(3, 40), batch(1, 2), batch(5, 77)]) {
    const { lossSum, gradients } = await session.run(shape, adapter, key);
    assert.ok(Number.isFinite(lossSum));
    bits.push(String(lossSum));
    for (const [name, { data }] of gradients) bits.push(name + Buffer.from(data.buffer).toString("base64"));
  }
  return bits;
}

test("the model's own dropouts: any number of threads gives the same bits", async () => {
  for (const one of examples) {
    const bits = await bitsOf(one, { modelDropout: true });
    assert.deepEqual(await bitsOf(one, { modelDropout: true, threads: 3 }), bits);
  }
});

test("they change the loss, with every seed, step and micro-batch in another way", async () => {
  for (const one of examples) {
    const keys = [KEY, { ...KEY, seed: 6 }, { ...KEY, step: 8 }, { ...KEY, microBatch: 0 }];
    const losses = [(await bitsOf(one, {}))[0]];
    for (const key of keys) losses.push((await bitsOf(one, { modelDropout: true }, key))[0]);
    assert.equal(new Set(losses).size, losses.length, losses.join());
  }
});

test("masks have the shapes of their sites, the share that the config says, and differ from site to site", () => {
  for (const { source } of examples) {
    const { dropouts } = source.model;
    const symbols = { B: 8, S: 64 };
    const masks = siteMasks(dropouts, symbols, KEY);
    assert.deepEqual([...masks.keys()], dropouts.map(({ name }) => name)); // prettier-ignore
    assert.equal(new Set([...masks.values()].map((mask) => Buffer.from(mask).toString("base64"))).size, masks.size);
    for (const { name, probability, shape } of dropouts) {
      const mask = masks.get(name) ?? new Uint8Array();
      const sizes: Record<string, number> = { ...symbols, "B*S": 512 };
      assert.equal(
        mask.length,
        shape.reduce<number>((product, dim) => product * (sizes[dim] ?? Number(dim)), 1),
      );
      const dropped = 1 - mask.reduce((sum, flag) => sum + flag, 0) / mask.length;
      const sigma = Math.sqrt((probability * (1 - probability)) / mask.length);
      assert.ok(Math.abs(dropped - probability) < 5 * sigma, `${name}: ${dropped}`);
    }
  }
});

test("gradient checkpointing changes no bit of loss or gradients", async () => {
  for (const one of examples) {
    for (const [dropout, modelDropout] of [
      [false, false],
      [true, true],
    ] as const) {
      const kept = await bitsOf(one, { dropout, modelDropout, threads: 2 });
      const again = await bitsOf(one, { dropout, modelDropout, threads: 2, gradientCheckpointing: true });
      assert.deepEqual(again, kept);
    }
  }
});

test("without the model's own dropouts, its config's probabilities change nothing", async () => {
  const [gpt2] = examples;
  assert.ok(gpt2);
  const plain = { ...gpt2, source: await openModel(GPT2) };
  assert.deepEqual(plain.source.model.dropouts, []);
  assert.deepEqual(await bitsOf(gpt2, {}), await bitsOf(plain, {}));
});

test("an invalid probability is refused, naming the field", async () => {
  await assert.rejects(example(GPT2, { attn_pdrop: 1 }, ["c_attn"]), /attn_pdrop is 1, but gradpool supports/);
  await assert.rejects(example(LLAMA, { attention_dropout: "0.1" }, ["q_proj"]), /attention_dropout is "0.1"/);
});
