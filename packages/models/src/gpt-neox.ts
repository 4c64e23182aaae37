/**
 * GPT-NeoX (Black et al. 2022) and Pythia, as transformers' GPTNeoXForCausalLM computes them: attention and MLP side
 * by side on the same residual, rotary positions on the first part of each head, q, k and v in one
 * projection with each head's three together, a head of its own.
 */
import { GradpoolError } from "@gradpool/errors";
import {
  adaptedLinear,
  add,
  attention,
  dropout,
  embed,
  layerNorm,
  reshape,
  rotary,
  split,
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

interface GptNeoxConfig {
  width: number;
  inner: number;
  layers: number;
  heads: number;
  headSize: number;
  /** Dimensions of a head that are rotated, R; the others pass. */
  rotated: number;
  positions: number;
  vocabulary: number;
  activation: Activation;
  epsilon: number;
  isParallel: boolean;
  attentionBias: boolean;
  tied: boolean;
  /** [D/2]; zero for what passes. */
  frequencies: Float32Array;
  attentionDropout: number;
  hiddenDropout: number;
}

function readConfig(raw: Readonly<Record<string, unknown>>): GptNeoxConfig {
  const config = new ConfigReader(raw);
  const width = config.count("hidden_size", 6144);
  const heads = config.count("num_attention_heads", 64);
  const unsupported = (what: string) => new GradpoolError("failed_precondition", `config.json: ${what}`);
  if (width % heads !== 0) {
    throw unsupported(`hidden_size ${width} is not a multiple of num_attention_heads ${heads}`);
  }
  const headSize = width / heads;
  const rotated = Math.trunc(headSize * rotaryShare(raw));
  if (rotated === 0 || rotated % 2 !== 0 || headSize % rotated !== 0) {
    throw unsupported(`rotary_pct rotates ${rotated} of a head's ${headSize} dimensions; a whole part of it is needed`);
  }
  const frequencies = new Float32Array(headSize / 2);
  frequencies.set(inverseFrequencies({ rope_theta: raw["rotary_emb_base"], ...raw }, rotated));
  return {
    width,
    heads,
    headSize,
    rotated,
    frequencies,
    inner: config.count("intermediate_size", 24_576),
    layers: config.layers("num_hidden_layers", 44),
    positions: config.count("max_position_embeddings", 2048),
    vocabulary: config.count("vocab_size", 50_432),
    activation: config.oneOf("hidden_act", "gelu", ACTIVATION_NAMES),
    epsilon: config.positive("layer_norm_eps", 1e-5),
    isParallel: config.flag("use_parallel_residual", true),
    attentionBias: config.flag("attention_bias", true),
    tied: config.flag("tie_word_embeddings", false),
    attentionDropout: config.probability("attention_dropout", 0),
    hiddenDropout: config.probability("hidden_dropout", 0),
  };
}

/** transformers 5 keeps it among rope_parameters. */
function rotaryShare(raw: Readonly<Record<string, unknown>>): number {
  const nested = (raw["rope_parameters"] ?? {}) as Readonly<Record<string, unknown>>;
  return new ConfigReader({ rotary_pct: nested["partial_rotary_factor"] ?? raw["rotary_pct"] }).positive("rotary_pct", 0.25);
}

/** The layer's linear parts: name behind "layers.0.", input and output width. */
const layerLinears = ({ width, inner }: GptNeoxConfig): LayerLinear[] => [
  ["attention.query_key_value", width, 3 * width],
  ["attention.dense", width, width],
  ["mlp.dense_h_to_4h", width, inner],
  ["mlp.dense_4h_to_h", inner, width],
];

const isBiased = ({ attentionBias }: GptNeoxConfig, name: string) => attentionBias || name.startsWith("mlp.");

/** Where GPTNeoXModel, its layers and their attention drop: behind the embedding, in the attention, before each residual sum. */
function dropoutSites({ width, layers, heads, attentionDropout, hiddenDropout }: GptNeoxConfig): DropoutSite[] {
  const hidden = (name: string): DropoutSite => ({ name, probability: hiddenDropout, shape: ["B*S", width] });
  const ofLayer = (layer: number): DropoutSite[] => {
    const part = `gpt_neox.layers.${layer}`;
    const shape = ["B", heads, "S", "S"];
    return [
      { name: `${part}.attention.attention_dropout`, probability: attentionDropout, shape },
      hidden(`${part}.post_attention_dropout`),
      hidden(`${part}.post_mlp_dropout`),
    ];
  };
  const inLayers = Array.from({ length: layers }, (_, layer) => ofLayer(layer)).flat();
  return [hidden("gpt_neox.emb_dropout"), ...inLayers].filter(({ probability }) => probability > 0);
}

function expectedTensors(config: GptNeoxConfig): Map<string, number[]> {
  const { width, layers, vocabulary, tied } = config;
  const tensors = new Map<string, number[]>([["gpt_neox.embed_in.weight", [vocabulary, width]]]);
  if (!tied) tensors.set("embed_out.weight", [vocabulary, width]);
  const norms = ["final_layer_norm"];
  for (let layer = 0; layer < layers; layer++) {
    norms.push(`layers.${layer}.input_layernorm`, `layers.${layer}.post_attention_layernorm`);
    for (const [name, inFeatures, outFeatures] of layerLinears(config)) {
      tensors.set(`gpt_neox.layers.${layer}.${name}.weight`, [outFeatures, inFeatures]);
      if (isBiased(config, name)) tensors.set(`gpt_neox.layers.${layer}.${name}.bias`, [outFeatures]);
    }
  }
  for (const norm of norms) {
    tensors.set(`gpt_neox.${norm}.weight`, [width]);
    tensors.set(`gpt_neox.${norm}.bias`, [width]);
  }
  return tensors;
}

function open(raw: Readonly<Record<string, unknown>>, header: WeightsHeader): Model {
  const config = readConfig(raw);
  const parameters = requireTensors(header, expectedTensors(config));
  const embedding = "gpt_neox.embed_in.weight";
  return {
    description: {
      modelType: "gpt_neox",
      modules: layerModules("gpt_neox.layers", config.layers, layerLinears(config)),
      vocabSize: config.vocabulary,
      maxPositions: config.positions,
      parameters,
      parametersPerToken: config.tied ? config.width : 2 * config.width,
      fanInFanOut: false,
    },
    tokenTables: { embedding, head: config.tied ? embedding : "embed_out.weight" },
    dropouts: dropoutSites(config),
    forward: (context) => forward(config, context),
  };
}

function forward(config: GptNeoxConfig, context: ForwardContext): Value {
  const { width, layers, heads, headSize, epsilon } = config;
  const { ids, positions, causalMask, weight, tokenTable, lora, dropoutMask, block } = context;
  const { cosines, sines } = angles(positions, config.frequencies);

  const norm = (x: Value, name: string) =>
    layerNorm(x, weight(`gpt_neox.${name}.weight`), weight(`gpt_neox.${name}.bias`), epsilon);
  const project = (x: Value, layer: number, name: string): Value => {
    const module = `gpt_neox.layers.${layer}.${name}`;
    const base = { weight: weight(`${module}.weight`), transposed: true };
    const biased = isBiased(config, name) ? { ...base, bias: weight(`${module}.bias`) } : base;
    return adaptedLinear(x, biased, lora(module));
  };
  const attend = (x: Value, layer: number): Value => {
    const fused = reshape(project(x, layer, "attention.query_key_value"), ["B", "S", heads, 3 * headSize]);
    const [q, k, v] = split(fused, 3, 3) as [Value, Value, Value];
    const rotatedQ = rotary(pairedHeads(q, config), cosines, sines);
    const rotatedK = rotary(pairedHeads(k, config), cosines, sines);
    const mask = dropoutMask(`gpt_neox.layers.${layer}.attention.attention_dropout`);
    const scale = 1 / Math.sqrt(headSize);
    const mixed = attention(rotatedQ, rotatedK, transpose(v, [0, 2, 1, 3]), causalMask, scale, mask);
    const joined = reshape(transpose(mixed, [0, 2, 1, 3]), ["rest", width]);
    return project(joined, layer, "attention.dense");
  };
  const transform = (x: Value, layer: number): Value => {
    const inner = ACTIVATIONS[config.activation](project(x, layer, "mlp.dense_h_to_4h"));
    return project(inner, layer, "mlp.dense_4h_to_h");
  };

  const drop = (x: Value, site: string) => dropout(x, dropoutMask(`gpt_neox.${site}`));
  let x = drop(reshape(embed(tokenTable("gpt_neox.embed_in.weight"), ids), ["rest", width]), "emb_dropout");
  for (let layer = 0; layer < layers; layer++) {
    const part = `layers.${layer}`;
    x = block(x, (before) => {
      const attended = attend(norm(before, `${part}.input_layernorm`), layer);
      const between = add(before, drop(attended, `${part}.post_attention_dropout`));
      const source = config.isParallel ? before : between;
      const transformed = transform(norm(source, `${part}.post_attention_layernorm`), layer);
      return add(between, drop(transformed, `${part}.post_mlp_dropout`));
    });
  }
  return norm(x, "final_layer_norm");
}

/**
 * q or k [B, S, H, D] as [B, H, S, D], dimensions reordered so that a rotation of all D, by an angle of zero for
 * what passes, is one of the first R alone: the partner of dimension i < R/2, at i + R/2, moves to i + D/2.
 * Products of q and k stay the same, since both are reordered alike.
 */
function pairedHeads(x: Value, { heads, headSize, rotated }: GptNeoxConfig): Value {
  const pieces = reshape(x, ["B", "S", heads, headSize / rotated, 2, rotated / 2]);
  return reshape(transpose(pieces, [0, 2, 1, 4, 3, 5]), ["B", heads, "S", headSize]);
}

export const gptNeox: Family = { modelTypes: ["gpt_neox"], open };
