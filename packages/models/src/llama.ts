/**
 * Llama (Touvron et al. 2023) and its relatives, as transformers computes them: RMSNorm, rotary
 * positions, SwiGLU, grouped-query attention. SmolLM2 is a Llama; Mistral is one without biases, and with a
 * sliding window; Qwen2 has biases on q, k, v; Qwen3 normalizes each head's q and k.
 */
import { GradpoolError } from "@gradpool/errors";
import { add, embed, gated, reshape, type Value } from "@gradpool/graph";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activations.js";
import { ConfigReader } from "./config-reader.js";
import type { Family, ForwardContext, ForwardOutputs } from "./family.js";
import { asHeads, headsFirst, Layers } from "./layers.js";
import { readRope, ropeParameters, rotation, type Rope } from "./rope.js";

const TABLES = { embedding: "model.embed_tokens.weight", head: "lm_head.weight" };

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
  rope: Rope;
  attentionDropout: number;
  /** How many positions, its own among them, a position of a layer sees; undefined: all before it. */
  windowOf: (layer: number) => number | undefined;
}

/** Where the classes differ: defaults, and settings that some do not read (transformers 5.24, configuration_*.py). */
const CLASSES = {
  llama: { groups: undefined, headSize: undefined, inner: 11_008, positions: 2048, vocabulary: 32_000 },
  mistral: { groups: 8, headSize: undefined, inner: 14_336, positions: 131_072, vocabulary: 32_000 },
  qwen2: { groups: 32, headSize: undefined, inner: 22_016, positions: 32_768, vocabulary: 151_936 },
  qwen3: { groups: 32, headSize: 128, inner: 22_016, positions: 32_768, vocabulary: 151_936 },
};

function readConfig(raw: Readonly<Record<string, unknown>>): LlamaConfig {
  const config = new ConfigReader(raw);
  const modelType = raw["model_type"] as keyof typeof CLASSES;
  const defaults = CLASSES[modelType];
  const width = config.count("hidden_size", 4096);
  const heads = config.count("num_attention_heads", 32);
  const groups = config.count("num_key_value_heads", raw["num_key_value_heads"] === null ? heads : (defaults.groups ?? heads));
  const headSize = config.count("head_dim", defaults.headSize ?? Math.floor(width / heads));
  const unsupported = (what: string) => new GradpoolError("failed_precondition", `config.json: ${what}`);
  if (heads % groups !== 0) {
    throw unsupported(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${groups}`);
  }
  const parameters = ropeParameters(raw);
  const isScaled = (parameters["rope_type"] ?? parameters["type"] ?? "default") !== "default";
  const share = parameters["partial_rotary_factor"] ?? raw["partial_rotary_factor"] ?? 1;
  if (isScaled && share !== 1) throw unsupported(`partial_rotary_factor ${JSON.stringify(share)} beside a rope_type, which transformers cannot compute either`);
  if (headSize % 2 !== 0) throw unsupported(`head_dim ${headSize} is odd, but rotary positions take pairs`);
  const qkvBias = modelType === "qwen2";
  const attentionBias = (modelType === "llama" || modelType === "qwen3") && config.flag("attention_bias", false);
  const mlpBias = modelType === "llama" && config.flag("mlp_bias", false);
  const maxPositions = config.count("max_position_embeddings", defaults.positions);
  const layers = config.layers("num_hidden_layers", 32);
  const rope = readRope(raw, { rotated: headSize, positions: maxPositions, thetaKey: "rope_theta" });
  return {
    modelType,
    width,
    heads,
    groups,
    headSize,
    layers,
    inner: config.count("intermediate_size", defaults.inner),
    positions: Math.max(maxPositions, rope.reach ?? 0),
    windowOf: slidingWindow(config, raw),
    vocabulary: config.count("vocab_size", defaults.vocabulary),
    activation: config.oneOf("hidden_act", "silu", ACTIVATION_NAMES),
    epsilon: config.positive("rms_norm_eps", 1e-6),
    tied: config.flag("tie_word_embeddings", false),
    biasOf: (name) => {
      if (name.startsWith("mlp.")) return mlpBias;
      return attentionBias || (qkvBias && name !== "self_attn.o_proj");
    },
    normalizesHeads: modelType === "qwen3",
    rope,
    attentionDropout: config.probability("attention_dropout", 0),
  };
}

/** Of a Mistral's layers all have the window; of a Qwen's those that layer_types names, else those from max_window_layers on. */
function slidingWindow(config: ConfigReader, raw: Readonly<Record<string, unknown>>): LlamaConfig["windowOf"] {
  if (raw["model_type"] === "llama" || raw["sliding_window"] === null) return () => undefined;
  const length = config.count("sliding_window", 4096);
  if (raw["model_type"] === "mistral") return () => length;
  if (!config.flag("use_sliding_window", false)) return () => undefined;
  const kinds = raw["layer_types"];
  const first = config.layers("max_window_layers", 28, 0);
  return (layer) => {
    const slides = Array.isArray(kinds) ? kinds[layer] === "sliding_attention" : layer >= first;
    return slides ? length : undefined;
  };
}

function forward(config: LlamaConfig, context: ForwardContext): ForwardOutputs {
  const { width, inner, layers, heads, groups, headSize, vocabulary, epsilon } = config;
  const model = new Layers(context, "model.", { epsilon });
  const rotated = rotation(context, config.rope, headSize);
  const windows = new Set(Array.from({ length: layers }, (_, layer) => config.windowOf(layer)));
  const masks = new Map([...windows].map((window) => [window, maskOf(context, config, window)]));

  const table = context.tokenTable(TABLES.embedding, [vocabulary, width]);
  let x = reshape(embed(table, context.ids), ["rest", width]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `layers.${layer}`;
    const project = (x: Value, name: string, outFeatures: number) =>
      model.linear(x, `${block}.${name}`, outFeatures, { bias: config.biasOf(name) });
    const toHeads = (x: Value, name: string, count: number, norm?: string) => {
      const split = asHeads(project(x, `self_attn.${name}`, count * headSize), count);
      return headsFirst(norm && config.normalizesHeads ? model.rmsNorm(split, `${block}.self_attn.${norm}`) : split);
    };
    x = context.block(x, (before) => {
      const normed = model.rmsNorm(before, `${block}.input_layernorm`);
      const q = rotated(toHeads(normed, "q_proj", heads, "q_norm"));
      const k = rotated(toHeads(normed, "k_proj", groups, "k_norm"));
      const v = toHeads(normed, "v_proj", groups);
      const dropout = { site: `${block}.self_attn.attention_dropout`, probability: config.attentionDropout };
      const attended = model.attention(q, k, v, dropout, { mask: masks.get(config.windowOf(layer)) });
      const between = add(before, project(attended, "self_attn.o_proj", width));
      const second = model.rmsNorm(between, `${block}.post_attention_layernorm`);
      const gate = project(second, "mlp.gate_proj", inner);
      const up = project(second, "mlp.up_proj", inner);
      return add(between, project(gated(ACTIVATIONS[config.activation](gate), up), "mlp.down_proj", width));
    });
  }
  const hidden = model.rmsNorm(x, "norm");
  return { hidden, head: config.tied ? table : context.tokenTable(TABLES.head, [vocabulary, width]) };
}

/** A window that no sequence reaches changes nothing. */
function maskOf(context: ForwardContext, { positions }: LlamaConfig, window: number | undefined): Value {
  return window === undefined || window >= positions ? context.causalMask : context.windowMask(window);
}

export const llama: Family<LlamaConfig> = { modelTypes: Object.keys(CLASSES), tables: TABLES,
  ownTargets: ["q_proj", "v_proj"], readConfig, forward };
