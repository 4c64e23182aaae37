/**
 * Llama (Touvron et al. 2023) and its relatives, as transformers computes them: RMSNorm, rotary
 * positions, SwiGLU, grouped-query attention. SmolLM2 is a Llama; Mistral is one without biases, up to
 * its sliding window; Qwen2 has biases on q, k, v; Qwen3 normalizes each head's q and k.
 */
import { GradpoolError } from "@gradpool/errors";
import { add, embed, mul, reshape, rotary, type Value } from "@gradpool/graph";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activations.js";
import { ConfigReader } from "./config-reader.js";
import type { Family, ForwardContext, ForwardOutputs } from "./family.js";
import { asHeads, headsFirst, Layers } from "./layers.js";
import { angles, inverseFrequencies } from "./rope.js";

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

function forward(config: LlamaConfig, context: ForwardContext): ForwardOutputs {
  const { width, inner, layers, heads, groups, headSize, vocabulary, epsilon } = config;
  const model = new Layers(context, "model.", { epsilon });
  const { cosines, sines } = angles(context.positions, config.frequencies);

  const table = context.tokenTable("model.embed_tokens.weight", [vocabulary, width]);
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
      const q = rotary(toHeads(normed, "q_proj", heads, "q_norm"), cosines, sines);
      const k = rotary(toHeads(normed, "k_proj", groups, "k_norm"), cosines, sines);
      const v = toHeads(normed, "v_proj", groups);
      const dropout = { site: `${block}.self_attn.attention_dropout`, probability: config.attentionDropout };
      const between = add(before, project(model.attention(q, k, v, dropout), "self_attn.o_proj", width));
      const second = model.rmsNorm(between, `${block}.post_attention_layernorm`);
      const gate = ACTIVATIONS[config.activation](project(second, "mlp.gate_proj", inner));
      return add(between, project(mul(gate, project(second, "mlp.up_proj", inner)), "mlp.down_proj", width));
    });
  }
  const hidden = model.rmsNorm(x, "norm");
  return { hidden, head: config.tied ? table : context.tokenTable("lm_head.weight", [vocabulary, width]) };
}

export const llama: Family<LlamaConfig> = { modelTypes: ["llama", "mistral", "qwen2", "qwen3"], readConfig, forward };
