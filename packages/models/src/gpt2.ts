/** GPT-2 (Radford et al. 2019) as transformers' GPT2LMHeadModel computes it, codeparrot's variants included. */
import { GradpoolError } from "@gradpool/errors";
import { add, embed, reshape, split, type Value } from "@gradpool/graph";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activations.js";
import { ConfigReader } from "./config-reader.js";
import type { Family, ForwardContext, ForwardOutputs } from "./family.js";
import { asHeads, headsFirst, Layers } from "./layers.js";

const TABLES = { embedding: "transformer.wte.weight", head: "lm_head.weight" };

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
  embeddingDropout: number;
  attentionDropout: number;
  residualDropout: number;
}

/** The names that other models have for the same, which GPT2Config takes as well (attribute_map). */
const OTHER_NAMES = {
  hidden_size: "n_embd",
  max_position_embeddings: "n_positions",
  num_attention_heads: "n_head",
  num_hidden_layers: "n_layer",
};

const renamed = (raw: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.entries(OTHER_NAMES).flatMap(([other, name]) => (raw[other] === undefined ? [] : [[name, raw[other]]])),
  );

function readConfig(raw: Readonly<Record<string, unknown>>): Gpt2Config {
  const config = new ConfigReader({ ...raw, ...renamed(raw) });
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
    embeddingDropout: config.probability("embd_pdrop", 0.1),
    attentionDropout: config.probability("attn_pdrop", 0.1),
    residualDropout: config.probability("resid_pdrop", 0.1),
  };
}

/** Drops where GPT2Model, GPT2Attention and GPT2MLP do: after the embeddings, in the attention, before each residual sum. */
function forward(config: Gpt2Config, context: ForwardContext): ForwardOutputs {
  const { width, heads, layers, inner, positions, vocabulary, epsilon, residualDropout } = config;
  const model = new Layers(context, "transformer.", { epsilon, fanInFanOut: true });
  const toHeads = (x: Value) => headsFirst(asHeads(x, heads));

  const table = context.tokenTable(TABLES.embedding, [vocabulary, width]);
  const tokens = embed(table, context.ids);
  const places = embed(context.weight("transformer.wpe.weight", [positions, width]), context.documents?.positions ?? context.positions);
  let x = model.dropout(reshape(add(tokens, places), ["rest", width]), "drop", config.embeddingDropout);
  for (let layer = 0; layer < layers; layer++) {
    const [block, attn, mlp] = [`h.${layer}`, `h.${layer}.attn`, `h.${layer}.mlp`];
    x = context.block(x, (before) => {
      const fused = model.linear(model.layerNorm(before, `${block}.ln_1`), `${attn}.c_attn`, 3 * width);
      const [q, k, v] = split(fused, 3, 1).map(toHeads) as [Value, Value, Value];
      const dropout = { site: `${attn}.attn_dropout`, probability: config.attentionDropout };
      const mixed = model.attention(q, k, v, dropout, { scale: attentionScale(config, layer) });
      const attended = model.linear(mixed, `${attn}.c_proj`, width);
      const between = add(before, model.dropout(attended, `${attn}.resid_dropout`, residualDropout));
      const wide = model.linear(model.layerNorm(between, `${block}.ln_2`), `${mlp}.c_fc`, inner);
      const narrow = model.linear(ACTIVATIONS[config.activation](wide), `${mlp}.c_proj`, width);
      return add(between, model.dropout(narrow, `${mlp}.dropout`, residualDropout));
    });
  }
  const hidden = model.layerNorm(x, "ln_f");
  return { hidden, head: config.tied ? table : context.tokenTable(TABLES.head, [vocabulary, width]) };
}

/** reorder_and_upcast_attn changes only where transformers rounds, and nothing at all in float32. */
function attentionScale({ width, heads, scaleByHeadSize, scaleByInverseLayer }: Gpt2Config, layer: number): number {
  return (scaleByHeadSize ? 1 / Math.sqrt(width / heads) : 1) / (scaleByInverseLayer ? layer + 1 : 1);
}

export const gpt2: Family<Gpt2Config> = { modelTypes: ["gpt2"], tables: TABLES,
  // PEFT has c_attn alone.
  ownTargets: ["c_attn", "c_proj"], readConfig, forward };
