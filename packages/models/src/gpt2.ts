/** GPT-2 (Radford et al. 2019) as transformers' GPT2LMHeadModel computes it, codeparrot's variants included. */
import { GradpoolError } from "@gradpool/errors";
import {
  add,
  attention,
  gather,
  layerNorm,
  linear,
  loraLinear,
  reshape,
  split,
  transpose,
  type Value,
} from "@gradpool/graph";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activations.js";
import { ConfigReader } from "./config-reader.js";
import type { Family, ForwardContext, LinearModule, Model } from "./description.js";
import { requireTensor, type WeightsHeader } from "./tensors.js";

interface Gpt2Config {
  width: number;
  layers: number;
  heads: number;
  positions: number;
  vocabulary: number;
  inner: number;
  activation: Activation;
  epsilon: number;
  scaleByHeadSize: boolean;
  scaleByInverseLayer: boolean;
  tied: boolean;
}

function readConfig(raw: Readonly<Record<string, unknown>>): Gpt2Config {
  const config = new ConfigReader(raw);
  const width = config.count("n_embd", 768);
  const heads = config.count("n_head", 12);
  if (width % heads !== 0) {
    throw new GradpoolError("failed_precondition", `config.json: n_embd ${width} is not a multiple of n_head ${heads}`);
  }
  if (config.flag("add_cross_attention", false)) {
    throw new GradpoolError(
      "failed_precondition",
      "config.json: add_cross_attention is not supported; use a decoder-only model",
    );
  }
  return {
    width,
    heads,
    layers: config.layers("n_layer", 12),
    positions: config.count("n_positions", 1024),
    vocabulary: config.count("vocab_size", 50257),
    inner: config.count("n_inner", 4 * width),
    activation: config.oneOf("activation_function", "gelu_new", ACTIVATION_NAMES),
    epsilon: config.positive("layer_norm_epsilon", 1e-5),
    scaleByHeadSize: config.flag("scale_attn_weights", true),
    scaleByInverseLayer: config.flag("scale_attn_by_inverse_layer_idx", false),
    tied: config.flag("tie_word_embeddings", true),
  };
}

/** The block's linear layers: name behind "h.0.", input and output width. */
const blockLinears = ({ width, inner }: Gpt2Config): [string, number, number][] => [
  ["attn.c_attn", width, 3 * width],
  ["attn.c_proj", width, width],
  ["mlp.c_fc", width, inner],
  ["mlp.c_proj", inner, width],
];

/** Names and shapes of every tensor, without the prefix that some files carry. */
function expectedTensors(config: Gpt2Config): Map<string, number[]> {
  const { width, layers, positions, vocabulary } = config;
  const tensors = new Map<string, number[]>([
    ["wte.weight", [vocabulary, width]],
    ["wpe.weight", [positions, width]],
    ["ln_f.weight", [width]],
    ["ln_f.bias", [width]],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    for (const norm of ["ln_1", "ln_2"]) {
      tensors.set(`h.${layer}.${norm}.weight`, [width]);
      tensors.set(`h.${layer}.${norm}.bias`, [width]);
    }
    for (const [name, inFeatures, outFeatures] of blockLinears(config)) {
      tensors.set(`h.${layer}.${name}.weight`, [inFeatures, outFeatures]);
      tensors.set(`h.${layer}.${name}.bias`, [outFeatures]);
    }
  }
  return tensors;
}

function open(raw: Readonly<Record<string, unknown>>, header: WeightsHeader): Model {
  const config = readConfig(raw);
  const prefix = header.tensors.has("wte.weight") ? "" : "transformer.";
  let parameters = 0;
  for (const [name, shape] of expectedTensors(config)) {
    requireTensor(header, prefix + name, shape);
    parameters += shape.reduce((product, size) => product * size, 1);
  }
  const embedding = `${prefix}wte.weight`;
  const head = config.tied ? embedding : "lm_head.weight";
  if (!config.tied) {
    requireTensor(header, head, [config.vocabulary, config.width]);
    parameters += config.vocabulary * config.width;
  }
  const modules: LinearModule[] = Array.from({ length: config.layers }, (_, layer) =>
    blockLinears(config).map(([name, inFeatures, outFeatures]) => {
      return { name: `transformer.h.${layer}.${name}`, inFeatures, outFeatures };
    }),
  ).flat();
  return {
    description: {
      modelType: "gpt2",
      modules,
      vocabSize: config.vocabulary,
      maxPositions: config.positions,
      parameters,
      parametersPerToken: config.tied ? config.width : 2 * config.width,
      fanInFanOut: true,
    },
    tokenTables: { embedding, head },
    forward: (context) => forward(config, prefix, context),
  };
}

function forward(config: Gpt2Config, prefix: string, context: ForwardContext): Value {
  const { width, heads, layers } = config;
  const { ids, positions, causalMask, weight, tokenTable, lora } = context;

  const norm = (x: Value, name: string) =>
    layerNorm(x, weight(`${prefix}${name}.weight`), weight(`${prefix}${name}.bias`), config.epsilon);
  const project = (x: Value, name: string): Value => {
    const base = {
      weight: weight(`${prefix}${name}.weight`),
      bias: weight(`${prefix}${name}.bias`),
      transposed: false,
    };
    const branch = lora(`transformer.${name}`);
    return branch ? loraLinear(x, base, branch) : linear(x, base);
  };
  const toHeads = (x: Value) => transpose(reshape(x, ["B", "S", heads, width / heads]), [0, 2, 1, 3]);

  const embedded = add(
    gather(tokenTable(`${prefix}wte.weight`), ids),
    gather(weight(`${prefix}wpe.weight`), positions),
  );
  let x = reshape(embedded, ["rest", width]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `h.${layer}`;
    const [q, k, v] = split(project(norm(x, `${block}.ln_1`), `${block}.attn.c_attn`), 3, 1).map(toHeads);
    const mixed = attention(q as Value, k as Value, v as Value, causalMask, attentionScale(config, layer));
    const joined = reshape(transpose(mixed, [0, 2, 1, 3]), ["rest", width]);
    x = add(x, project(joined, `${block}.attn.c_proj`));
    const inner = ACTIVATIONS[config.activation](project(norm(x, `${block}.ln_2`), `${block}.mlp.c_fc`));
    x = add(x, project(inner, `${block}.mlp.c_proj`));
  }
  return norm(x, "ln_f");
}

/** reorder_and_upcast_attn changes only where transformers rounds, and nothing at all in float32. */
function attentionScale({ width, heads, scaleByHeadSize, scaleByInverseLayer }: Gpt2Config, layer: number): number {
  return (scaleByHeadSize ? 1 / Math.sqrt(width / heads) : 1) / (scaleByInverseLayer ? layer + 1 : 1);
}

export const gpt2: Family = { modelTypes: ["gpt2"], open };
