/**
 * Llama (Touvron et al. 2023) and its relatives, as transformers computes them: RMSNorm, rotary
 * positions, SwiGLU, grouped-query attention. SmolLM2 is a Llama; Mistral is one without biases, up to
 * its sliding window; Qwen2 has biases on q, k, v; Qwen3 normalizes each head's q and k.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  adaptedLinear,
  add,
  attention,
  embed,
  mul,
  reshape,
  rmsNorm,
  rotary,
  transpose,
  type Value,
} from "@gradpool/graph";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activations.js";
import { ConfigReader } from "./config-reader.js";
import {
  layerModules,
  type DropoutSite,
  type Family,
  type ForwardContext,
  type LayerLinear,
  type Model,
} from "./description.js";
import { angles, inverseFrequencies } from "./rope.js";
import { requireTensors, type WeightsHeader } from "./tensors.js";

interface LlamaConfig {
  modelType: string;
  width: number;
  inner: number;
  layers: number;
  heads: number;
  /** Heads of k and v. */
  groups: number;
  headSize: number;
  positions: number;
  vocabulary: number;
  activation: Activation;
  epsilon: number;
  tied: boolean;
  biasOf: (linear: string) => boolean;
  normalizesHeads: boolean;
  frequencies: Float32Array;
  attentionDropout: number;
}

function readConfig(raw: Readonly<Record<string, unknown>>): LlamaConfig {
  const config = new ConfigReader(raw);
  const modelType = String(raw["model_type"]);
  const width = config.count("hidden_size", 4096);
  const heads = config.count("num_attention_heads", 32);
  const groups = config.count("num_key_value_heads", heads);
  const headSize = config.count("head_dim", Math.floor(width / heads));
  const unsupported = (what: string) => new GradpoolError("failed_precondition", `config.json: ${what}`);
  if (heads % groups !== 0) {
    throw unsupported(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${groups}`);
  }
  if (headSize % 2 !== 0) throw unsupported(`head_dim ${headSize} is odd, but rotary positions take pairs`);
  const qkvBias = modelType === "qwen2";
  const attentionBias = config.flag("attention_bias", false);
  const mlpBias = config.flag("mlp_bias", false);
  return {
    modelType,
    width,
    heads,
    groups,
    headSize,
    inner: config.count("intermediate_size", 11_008),
    layers: config.layers("num_hidden_layers", 32),
    positions: Math.min(config.count("max_position_embeddings", 2048), slidingWindow(config, raw)),
    vocabulary: config.count("vocab_size", 32_000),
    activation: config.oneOf("hidden_act", "silu", ACTIVATION_NAMES),
    epsilon: config.positive("rms_norm_eps", 1e-6),
    tied: config.flag("tie_word_embeddings", false),
    biasOf: (name) => {
      if (name.startsWith("mlp.")) return mlpBias;
      return attentionBias || (qkvBias && name !== "self_attn.o_proj");
    },
    normalizesHeads: modelType === "qwen3",
    frequencies: inverseFrequencies(raw, headSize),
    attentionDropout: config.probability("attention_dropout", 0),
  };
}

/** Positions up to which a sliding window changes nothing. */
function slidingWindow(config: ConfigReader, raw: Readonly<Record<string, unknown>>): number {
  const isUsed = raw["model_type"] === "mistral" || config.flag("use_sliding_window", false);
  const window = raw["sliding_window"];
  return isUsed && window !== null && window !== undefined ? config.count("sliding_window", 1) : Infinity;
}

/** The layer's linear parts: name behind "layers.0.", input and output width. */
function layerLinears({ width, inner, heads, groups, headSize }: LlamaConfig): LayerLinear[] {
  return [
    ["self_attn.q_proj", width, heads * headSize],
    ["self_attn.k_proj", width, groups * headSize],
    ["self_attn.v_proj", width, groups * headSize],
    ["self_attn.o_proj", heads * headSize, width],
    ["mlp.gate_proj", width, inner],
    ["mlp.up_proj", width, inner],
    ["mlp.down_proj", inner, width],
  ];
}

const attentionSite = (layer: number) => `model.layers.${layer}.self_attn.attention_dropout`;

function dropoutSites({ layers, heads, attentionDropout: probability }: LlamaConfig): DropoutSite[] {
  if (probability === 0) return [];
  const shape = ["B", heads, "S", "S"];
  return Array.from({ length: layers }, (_, layer) => ({ name: attentionSite(layer), probability, shape }));
}

function expectedTensors(config: LlamaConfig): Map<string, number[]> {
  const { width, layers, vocabulary, headSize, normalizesHeads, tied } = config;
  const tensors = new Map<string, number[]>([
    ["model.embed_tokens.weight", [vocabulary, width]],
    ["model.norm.weight", [width]],
  ]);
  if (!tied) tensors.set("lm_head.weight", [vocabulary, width]);
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    for (const norm of ["input_layernorm", "post_attention_layernorm"]) tensors.set(`${prefix}${norm}.weight`, [width]);
    for (const [name, inFeatures, outFeatures] of layerLinears(config)) {
      tensors.set(`${prefix}${name}.weight`, [outFeatures, inFeatures]);
      if (config.biasOf(name)) tensors.set(`${prefix}${name}.bias`, [outFeatures]);
    }
    if (!normalizesHeads) continue;
    for (const norm of ["q_norm", "k_norm"]) tensors.set(`${prefix}self_attn.${norm}.weight`, [headSize]);
  }
  return tensors;
}

function open(raw: Readonly<Record<string, unknown>>, header: WeightsHeader): Model {
  const config = readConfig(raw);
  const parameters = requireTensors(header, expectedTensors(config));
  const embedding = "model.embed_tokens.weight";
  return {
    description: {
      modelType: config.modelType,
      modules: layerModules("model.layers", config.layers, layerLinears(config)),
      vocabSize: config.vocabulary,
      maxPositions: config.positions,
      parameters,
      parametersPerToken: config.tied ? config.width : 2 * config.width,
      fanInFanOut: false,
    },
    dropouts: dropoutSites(config),
    tokenTables: { embedding, head: config.tied ? embedding : "lm_head.weight" },
    forward: (context) => forward(config, context),
  };
}

function forward(config: LlamaConfig, context: ForwardContext): Value {
  const { width, layers, heads, groups, headSize, epsilon } = config;
  const { ids, positions, causalMask, weight, tokenTable, lora, dropoutMask, block } = context;
  const { cosines, sines } = angles(positions, config.frequencies);

  const norm = (x: Value, name: string) => rmsNorm(x, weight(`model.${name}.weight`), epsilon);
  const project = (x: Value, layer: number, name: string): Value => {
    const module = `model.layers.${layer}.${name}`;
    const base = { weight: weight(`${module}.weight`), transposed: true };
    const biased = config.biasOf(name) ? { ...base, bias: weight(`${module}.bias`) } : base;
    return adaptedLinear(x, biased, lora(module));
  };
  const toHeads = (x: Value, count: number, headNorm?: string): Value => {
    const split = reshape(x, ["B", "S", count, headSize]);
    return transpose(headNorm ? norm(split, headNorm) : split, [0, 2, 1, 3]);
  };

  let x = reshape(embed(tokenTable("model.embed_tokens.weight"), ids), ["rest", width]);
  for (let layer = 0; layer < layers; layer++) {
    const part = `layers.${layer}`;
    const headNorm = (name: string) => (config.normalizesHeads ? `${part}.self_attn.${name}` : undefined);
    x = block(x, (before) => {
      const normed = norm(before, `${part}.input_layernorm`);
      const q = rotary(toHeads(project(normed, layer, "self_attn.q_proj"), heads, headNorm("q_norm")), cosines, sines);
      const k = rotary(toHeads(project(normed, layer, "self_attn.k_proj"), groups, headNorm("k_norm")), cosines, sines);
      const v = toHeads(project(normed, layer, "self_attn.v_proj"), groups);
      const mixed = attention(q, k, v, causalMask, 1 / Math.sqrt(headSize), dropoutMask(attentionSite(layer)));
      const joined = reshape(transpose(mixed, [0, 2, 1, 3]), ["rest", heads * headSize]);
      const between = add(before, project(joined, layer, "self_attn.o_proj"));
      const inner = norm(between, `${part}.post_attention_layernorm`);
      const gate = ACTIVATIONS[config.activation](project(inner, layer, "mlp.gate_proj"));
      return add(between, project(mul(gate, project(inner, layer, "mlp.up_proj")), layer, "mlp.down_proj"));
    });
  }
  return norm(x, "norm");
}

export const llama: Family = { modelTypes: ["llama", "mistral", "qwen2", "qwen3"], open };
