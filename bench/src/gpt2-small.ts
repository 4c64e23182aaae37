/** The bench's model: GPT-2 small shapes with a vocabulary of 32,768 and random weights; the numbers' speed does not depend on their values. */
import { createWriteStream, existsSync } from "node:fs";
import { copyFile, link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

const [WIDTH, LAYERS, HEADS, POSITIONS, VOCABULARY] = [768, 12, 12, 1024, 32_768];

const CONFIG = {
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  n_embd: WIDTH,
  n_layer: LAYERS,
  n_head: HEADS,
  n_positions: POSITIONS,
  vocab_size: VOCABULARY,
  bos_token_id: 0,
  eos_token_id: 0,
  attn_pdrop: 0,
  embd_pdrop: 0,
  resid_pdrop: 0,
};

/** Makes the model once, in the system's folder for temporary files, and gives its folder. */
export async function gpt2SmallFolder(): Promise<string> {
  const dir = join(tmpdir(), "gradpool-bench-gpt2-small");
  const weights = join(dir, "model.safetensors");
  if (existsSync(weights)) return dir;
  await mkdir(dir, { recursive: true });
  // Any tokenizer whose ids the embedding has will do.
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(fileURLToPath(new URL(`../../../models/tiny-coder/${file}`, import.meta.url)), join(dir, file));
  }
  await writeFile(join(dir, "config.json"), JSON.stringify(CONFIG, undefined, 2));
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const [name, shape] of tensors()) {
    const bytes = 4 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [offset, (offset += bytes)] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const partial = `${weights}.${process.pid}`;
  await pipeline(Readable.from([length, json]), createWriteStream(partial));
  await pipeline(Readable.from(values()), createWriteStream(partial, { flags: "a" }));
  await rename(partial, weights);
  return dir;
}

/** The same model with GPT-2's own dropouts at 0.1, as the original has them. */
export async function gpt2SmallWithDropout(): Promise<string> {
  const plain = await gpt2SmallFolder();
  const dir = `${plain}-dropout`;
  await mkdir(dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) await copyFile(join(plain, file), join(dir, file));
  await rm(join(dir, "model.safetensors"), { force: true });
  await link(join(plain, "model.safetensors"), join(dir, "model.safetensors"));
  const config = { ...CONFIG, attn_pdrop: 0.1, embd_pdrop: 0.1, resid_pdrop: 0.1 };
  await writeFile(join(dir, "config.json"), JSON.stringify(config, undefined, 2));
  return dir;
}

function tensors(): [string, number[]][] {
  const block = (layer: number): [string, number[]][] => [
    [`h.${layer}.ln_1.weight`, [WIDTH]],
    [`h.${layer}.ln_1.bias`, [WIDTH]],
    [`h.${layer}.attn.c_attn.weight`, [WIDTH, 3 * WIDTH]],
    [`h.${layer}.attn.c_attn.bias`, [3 * WIDTH]],
    [`h.${layer}.attn.c_proj.weight`, [WIDTH, WIDTH]],
    [`h.${layer}.attn.c_proj.bias`, [WIDTH]],
    [`h.${layer}.ln_2.weight`, [WIDTH]],
    [`h.${layer}.ln_2.bias`, [WIDTH]],
    [`h.${layer}.mlp.c_fc.weight`, [WIDTH, 4 * WIDTH]],
    [`h.${layer}.mlp.c_fc.bias`, [4 * WIDTH]],
    [`h.${layer}.mlp.c_proj.weight`, [4 * WIDTH, WIDTH]],
    [`h.${layer}.mlp.c_proj.bias`, [WIDTH]],
  ];
  return [
    ["wte.weight", [VOCABULARY, WIDTH]],
    ["wpe.weight", [POSITIONS, WIDTH]],
    ...Array.from({ length: LAYERS }, (_, layer) => block(layer)).flat(),
    ["ln_f.weight", [WIDTH]],
    ["ln_f.bias", [WIDTH]],
  ].map(([name, shape]) => [`transformer.${name as string}`, shape as number[]]);
}

/** Weights of all tensors in order: norms 1 and 0, the rest small and reproducible. */
function* values(): Generator<Uint8Array> {
  let state = 1;
  for (const [name, shape] of tensors()) {
    const size = shape.reduce((product, length) => product * length, 1);
    const data = new Float32Array(size);
    for (let i = 0; i < size; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      data[i] = /ln_.*weight/.test(name) ? 1 : (state / 2 ** 31) * 0.035;
    }
    yield new Uint8Array(data.buffer);
  }
}
