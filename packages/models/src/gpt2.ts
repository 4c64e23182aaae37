/** GPT-2 (Radford et al. 2019) as transformers' GPT2LMHeadModel computes it, codeparrot's variants included. */
import { GradpoolError } from "@gradpool/errors";
import {
  adaptedLinear,
  add,
  attention,
  dropout,
  embed,
  layerNorm,
  reshape,
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
import { requireTensors, type WeightsHeader } from "./tensors.js";

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
    embeddingDropout: config.probability("embd_pdrop", 0.1),
    attentionDropout: config.probability("attn_pdrop", 0.1),
    residualDropout: config.probability("resid_pdrop", 0.1),
  };
}

/** The block's linear layers: name behind "h.0.", input and output width. */
const blockLinears = ({ width, inner }: Gpt2Config): LayerLinear[] => [
  ["attn.c_attn", width, 3 * width],
  ["attn.c_proj", width, width],
  ["mlp.c_fc", width, inner],
  ["mlp.c_proj", inner, width],
];

/** Where GPT2Model, GPT2Attention and GPT2MLP drop: behind the embeddings, in the attention, before each residual sum. */
function dropoutSites(config: Gpt2Config): DropoutSite[] {
  const { width, heads, layers, embeddingDropout, attentionDropout, residualDropout } = config;
  const hidden = ["B*S", width];
  const ofLayer = (layer: number): DropoutSite[] => {
    const block = `transformer.h.${layer}`;
    return [
      { name: `${block}.attn.attn_dropout`, probability: attentionDropout, shape: ["B", heads, "S", "S"] },
      { name: `${block}.attn.resid_dropout`, probability: residualDropout, shape: hidden },
      { name: `${block}.mlp.dropout`, probability: residualDropout, shape: hidden },
    ];
  };
  return [
    { name: "transformer.drop", probability: embeddingDropout, shape: hidden },
    ...Array.from({ length: layers }, (_, layer) => ofLayer(layer)).flat(),
  ].filter(({ probability }) => probability > 0);
}

/** Names and shapes of every tensor, without the prefix that some files carry. */
/** `prefix`: what the file's names begin with; the head's has none. */
function expectedTensors(config: Gpt2Config, prefix: string): Map<string, number[]> {
  const { width, layers, positions, vocabulary, tied } = config;
  const tensors = new Map<string, number[]>([
    [`${prefix}wte.weight`, [vocabulary, width]],
    [`${prefix}wpe.weight`, [positions, width]],
    [`${prefix}ln_f.weight`, [width]],
    [`${prefix}ln_f.bias`, [width]],
  ]);
  for (let layer = 0; layer < layers; layer++) {
    const block = `${prefix}h.${layer}`;
    for (const norm of ["ln_1", "ln_2"]) {
      tensors.set(`${block}.${norm}.weight`, [width]);
      tensors.set(`${block}.${norm}.bias`, [width]);
    }
    for (const [name, inFeatures, outFeatures] of blockLinears(config)) {
      tensors.set(`${block}.${name}.weight`, [inFeatures, outFeatures]);
      tensors.set(`${block}.${name}.bias`, [outFeatures]);
    }
  }
  if (!tied) tensors.set("lm_head.weight", [vocabulary, width]);
  return tensors;
}

function open(raw: Readonly<Record<string, unknown>>, header: WeightsHeader): Model {
  const config = readConfig(raw);
  const prefix = header.tensors.has("wte.weight") ? "" : "transformer.";
  const parameters = requireTensors(header, expectedTensors(config, prefix));
  const embedding = `${prefix}wte.weight`;
  return {
    description: {
      modelType: "gpt2",
      modules: layerModules("transformer.h", config.layers, blockLinears(config)),
      vocabSize: config.vocabulary,
      maxPositions: config.positions,
      parameters,
      parametersPerToken: config.tied ? config.width : 2 * config.width,
      fanInFanOut: true,
    },
    tokenTables: { embedding, head: config.tied ? embedding : "lm_head.weight" },
    dropouts: dropoutSites(config),
    forward: (context) => forward(config, prefix, context),
  };
}

function forward(config: Gpt2Config, prefix: string, context: ForwardContext): Value {
  const { width, heads, layers } = config;
  const { ids, positions, causalMask, weight, tokenTable, lora, dropoutMask, block } = context;

  const norm = (x: Value, name: string) =>
    layerNorm(x, weight(`${prefix}${name}.weight`), weight(`${prefix}${name}.bias`), config.epsilon);
  const project = (x: Value, name: string): Value => {
    const base = {
      weight: weight(`${prefix}${name}.weight`),
      bias: weight(`${prefix}${name}.bias`),
      transposed: false,
    };
    return adaptedLinear(x, base, lora(`transformer.${name}`));
  };
  const toHeads = (x: Value) => transpose(reshape(x, ["B", "S", heads, width / heads]), [0, 2, 1, 3]);

  const embedded = add(
    embed(tokenTable(`${prefix}wte.weight`), ids),
    embed(weight(`${prefix}wpe.weight`), positions),
  );
  const drop = (x: Value, site: string) => dropout(x, dropoutMask(`transformer.${site}`));
  let x = drop(reshape(embedded, ["rest", width]), "drop");
  for (let layer = 0; layer < layers; layer++) {
    const name = `h.${layer}`;
    x = block(x, (before) => {
      const [q, k, v] = split(project(norm(before, `${name}.ln_1`), `${name}.attn.c_attn`), 3, 1).map(toHeads);
      const attentionMask = dropoutMask(`transformer.${name}.attn.attn_dropout`);
      const scale = attentionScale(config, layer);
      const mixed = attention(q as Value, k as Value, v as Value, causalMask, scale, attentionMask);
      const joined = reshape(transpose(mixed, [0, 2, 1, 3]), ["rest", width]);
      const attended = drop(project(joined, `${name}.attn.c_proj`), `${name}.attn.resid_dropout`);
      const between = add(before, attended);
      const inner = ACTIVATIONS[config.activation](project(norm(between, `${name}.ln_2`), `${name}.mlp.c_fc`));
      return add(between, drop(project(inner, `${name}.mlp.c_proj`), `${name}.mlp.dropout`));
    });
  }
  return norm(x, "ln_f");
}

/** reorder_and_upcast_attn changes only where transformers rounds, and nothing at all in float32. */
function attentionScale({ width, heads, scaleByHeadSize, scaleByInverseLayer }: Gpt2Config, layer: number): number {
  return (scaleByHeadSize ? 1 / Math.sqrt(width / heads) : 1) / (scaleByInverseLayer ? layer + 1 : 1);
}

export const gpt2: Family = { modelTypes: ["gpt2"], open };
