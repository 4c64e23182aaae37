/**
 * GPT-NeoX (Black et al. 2022) and Pythia, as transformers' GPTNeoXForCausalLM computes them: attention and MLP side
 * by side on the same residual, rotary positions on the first part of each head, q, k and v in one
 * projection with each head's three together, a head of its own.
 */
import { GradpoolError } from "@gradpool/errors";
import { add, embed, reshape, split, transpose, type Value } from "@gradpool/graph";
import { ACTIVATION_NAMES, ACTIVATIONS, type Activation } from "./activations.js";
import { ConfigReader } from "./config-reader.js";
import type { Family, ForwardContext, ForwardOutputs } from "./family.js";
import { headsFirst, Layers } from "./layers.js";
import { readRope, ropeParameters, rotation, type Rope } from "./rope.js";

const TABLES = { embedding: "gpt_neox.embed_in.weight", head: "embed_out.weight", otherHead: "lm_head.weight" };

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
  rope: Rope;
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
    throw unsupported(`rotary_pct rotates ${rotated} of a head's ${headSize} dimensions, which must be a whole, even number`);
  }
  const maxPositions = config.count("max_position_embeddings", 2048);
  const rope = readRope(raw, { rotated, positions: maxPositions, thetaKey: "rotary_emb_base" });
  return {
    width,
    heads,
    headSize,
    rotated,
    rope,
    inner: config.count("intermediate_size", 24_576),
    layers: config.layers("num_hidden_layers", 44),
    positions: Math.max(maxPositions, rope.reach ?? 0),
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
  const share = ropeParameters(raw)["partial_rotary_factor"] ?? raw["rotary_pct"];
  return new ConfigReader({ rotary_pct: share }).positive("rotary_pct", 0.25);
}

/** Drops where GPTNeoXModel, its layers and their attention do: after the embedding, in the attention, before each residual sum. */
function forward(config: GptNeoxConfig, context: ForwardContext): ForwardOutputs {
  const { width, inner, layers, heads, headSize, vocabulary, epsilon, attentionBias, hiddenDropout } = config;
  const model = new Layers(context, "gpt_neox.", { epsilon });
  const rotated = rotation(context, config.rope, headSize);

  const attend = (x: Value, name: string): Value => {
    const fused = model.linear(x, `${name}.query_key_value`, 3 * width, { bias: attentionBias });
    const [q, k, v] = split(reshape(fused, ["B", "S", heads, 3 * headSize]), 3, 3) as [Value, Value, Value];
    const rotatedQ = rotated(pairedHeads(q, config));
    const rotatedK = rotated(pairedHeads(k, config));
    const dropout = { site: `${name}.attention_dropout`, probability: config.attentionDropout };
    const mixed = model.attention(rotatedQ, rotatedK, headsFirst(v), dropout);
    return model.linear(mixed, `${name}.dense`, width, { bias: attentionBias });
  };
  const transform = (x: Value, name: string): Value => {
    const wide = ACTIVATIONS[config.activation](model.linear(x, `${name}.dense_h_to_4h`, inner));
    return model.linear(wide, `${name}.dense_4h_to_h`, width);
  };

  const table = context.tokenTable(TABLES.embedding, [vocabulary, width]);
  let x = model.dropout(reshape(embed(table, context.ids), ["rest", width]), "emb_dropout", hiddenDropout);
  for (let layer = 0; layer < layers; layer++) {
    const block = `layers.${layer}`;
    x = context.block(x, (before) => {
      const attended = attend(model.layerNorm(before, `${block}.input_layernorm`), `${block}.attention`);
      const between = add(before, model.dropout(attended, `${block}.post_attention_dropout`, hiddenDropout));
      const source = config.isParallel ? before : between;
      const transformed = transform(model.layerNorm(source, `${block}.post_attention_layernorm`), `${block}.mlp`);
      return add(between, model.dropout(transformed, `${block}.post_mlp_dropout`, hiddenDropout));
    });
  }
  const hidden = model.layerNorm(x, "final_layer_norm");
  return { hidden, head: config.tied ? table : context.tokenTable(TABLES.head, [vocabulary, width]) };
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

export const gptNeox: Family<GptNeoxConfig> = { modelTypes: ["gpt_neox"], tables: TABLES,
  ownTargets: ["query_key_value"], readConfig, forward };
