/** The bench's model: GPT-2 small shapes with a vocabulary of 32,768; and a smaller one with layers of the same shapes. */
import { copyFile, link, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomModelFolder } from "./random-model.js";

const [WIDTH, HEADS, POSITIONS] = [768, 12, 1024];

interface Size {
  layers: number;
  vocabulary: number;
}
const SMALL: Size = { layers: 12, vocabulary: 32_768 };
const TWO_LAYERS: Size = { layers: 2, vocabulary: 4_096 };

const config = ({ layers, vocabulary }: Size) => ({
  architectures: ["GPT2LMHeadModel"],
  model_type: "gpt2",
  n_embd: WIDTH,
  n_layer: layers,
  n_head: HEADS,
  n_positions: POSITIONS,
  vocab_size: vocabulary,
  bos_token_id: 0,
  eos_token_id: 0,
  attn_pdrop: 0,
  embd_pdrop: 0,
  resid_pdrop: 0,
});

/** Makes the model if it does not exist yet, and returns its folder. */
export const gpt2SmallFolder = (): Promise<string> => modelFolder("gpt2-small", SMALL);

/** The same for a model whose step is short. */
export const gpt2TwoLayersFolder = (): Promise<string> => modelFolder("gpt2-two-layers", TWO_LAYERS);

const modelFolder = (name: string, size: Size) =>
  randomModelFolder({ name, config: config(size), tensors: tensors(size), isScale: /ln_.*weight/ });

/** The same model with GPT-2's own dropouts at 0.1, as the original has them. */
export async function gpt2SmallWithDropout(): Promise<string> {
  const plain = await gpt2SmallFolder();
  const dir = `${plain}-dropout`;
  await mkdir(dir, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) await copyFile(join(plain, file), join(dir, file));
  await rm(join(dir, "model.safetensors"), { force: true });
  await link(join(plain, "model.safetensors"), join(dir, "model.safetensors"));
  const dropouts = { attn_pdrop: 0.1, embd_pdrop: 0.1, resid_pdrop: 0.1 };
  await writeFile(join(dir, "config.json"), JSON.stringify({ ...config(SMALL), ...dropouts }, undefined, 2));
  return dir;
}

function tensors({ layers, vocabulary }: Size): [string, number[]][] {
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
    ["wte.weight", [vocabulary, WIDTH]],
    ["wpe.weight", [POSITIONS, WIDTH]],
    ...Array.from({ length: layers }, (_, layer) => block(layer)).flat(),
    ["ln_f.weight", [WIDTH]],
    ["ln_f.bias", [WIDTH]],
  ].map(([name, shape]) => [`transformer.${name as string}`, shape as number[]]);
}
