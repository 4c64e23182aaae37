/**
 * What a GGUF file says of its model, as config.json says it, and its tensors by transformers' names: the
 * reverse of llama.cpp's convert_hf_to_gguf.py. The files name Mistral and SmolLM2 models "llama".
 */
import type { GgufFile, GgufTensor } from "./gguf-file.js";
import { MetadataReader } from "./metadata-reader.js";
import { ropeScaling } from "./rope-scaling.js";
import { shown } from "./text.js";

/** config.json's model_type and class by general.architecture. */
const ARCHITECTURES: ReadonlyMap<string, { modelType: string; className: string; permuted: boolean }> = new Map([
  ["llama", { modelType: "llama", className: "LlamaForCausalLM", permuted: true }],
  ["qwen2", { modelType: "qwen2", className: "Qwen2ForCausalLM", permuted: false }],
  ["qwen3", { modelType: "qwen3", className: "Qwen3ForCausalLM", permuted: false }],
]);

const TOP_LEVEL: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

const IN_BLOCK: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Factors of llama3's rotary frequencies; they go into config.json. */
export const ROPE_FACTORS = "rope_freqs.weight";

/** A tensor under transformers' name. */
export interface NamedTensor {
  name: string;
  /** Undefined: a bias that the file lacks where the model has others, and so zeros of `shape`. */
  tensor: GgufTensor | undefined;
  shape: number[];
  /**
   * Heads whose rows are permuted: llama.cpp rotates neighbours where transformers rotates halves, so row
   * i of a head of D rows is transformers' row (i mod 2)·D/2 + ⌊i/2⌋.
   */
  permutedHeads?: number;
}

export interface GgufModel {
  config: Record<string, unknown>;
  tensors: NamedTensor[];
}

/**
 * `ropeFactors` are the contents of the tensor ROPE_FACTORS where there is one. Errors: `failed_precondition`
 * for an architecture, scaling or tensor that gradpool does not know, naming it; `data_loss` for missing fields.
 */
export function readModel(file: GgufFile, ropeFactors?: Float32Array): GgufModel {
  const metadata = new MetadataReader(file);
  const name = metadata.text("general.architecture");
  const architecture = ARCHITECTURES.get(name);
  if (!architecture) {
    const supported = [...ARCHITECTURES.keys()].join(", ");
    throw metadata.unsupported(`architecture ${shown(name)} is not supported in GGUF files; supported: ${supported}`);
  }
  const parts = metadata.optionalCount("split.count") ?? 1;
  if (parts > 1 && file.parts !== parts) {
    throw metadata.unsupported(`it is one of ${parts} parts; merge them first (llama.cpp's gguf-split --merge)`);
  }
  const config = readConfig(file, metadata, name, ropeFactors);
  const { num_attention_heads: heads, num_key_value_heads: groups } = config;
  const shapes = biasShapes(config);
  const tensors = [...file.tensors.values()].flatMap((tensor): NamedTensor[] => {
    if (tensor.name === ROPE_FACTORS) return [];
    const named = nameOf(tensor.name);
    if (named === undefined) {
      throw metadata.unsupported(`the tensor ${shown(tensor.name)} is not part of a ${name} that gradpool knows`);
    }
    const permuted = architecture.permuted ? /self_attn\.([qk])_proj\./.exec(named)?.[1] : undefined;
    const found = { name: named, tensor, shape: tensor.shape };
    if (permuted === undefined) return [found];
    return [{ ...found, permutedHeads: permuted === "q" ? heads : groups }];
  });
  for (const [linear, shape] of shapes) {
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      const bias = `model.layers.${layer}.${linear}.bias`;
      if (!tensors.some((tensor) => tensor.name === bias)) tensors.push({ name: bias, tensor: undefined, shape });
    }
  }
  return {
    config: { model_type: architecture.modelType, architectures: [architecture.className], ...config },
    tensors,
  };
}

/** The biases that config.json promises, by linear layer: as soon as a file has one of a group, transformers reads all. */
function biasShapes(config: ReturnType<typeof readConfig>): Map<string, number[]> {
  const { hidden_size: width, intermediate_size: inner, num_attention_heads: heads } = config;
  const { num_key_value_heads: groups, head_dim: size } = config;
  const attention: [string, number[]][] = [
    ["self_attn.q_proj", [heads * size]],
    ["self_attn.k_proj", [groups * size]],
    ["self_attn.v_proj", [groups * size]],
    ["self_attn.o_proj", [width]],
  ];
  const mlp: [string, number[]][] = [
    ["mlp.gate_proj", [inner]],
    ["mlp.up_proj", [inner]],
    ["mlp.down_proj", [width]],
  ];
  return new Map([...(config.attention_bias ? attention : []), ...(config.mlp_bias ? mlp : [])]);
}

function nameOf(name: string): string | undefined {
  const [, layer, part, kind] = /^blk\.(0|[1-9]\d{0,5})\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (layer === undefined || part === undefined) return Object.hasOwn(TOP_LEVEL, name) ? TOP_LEVEL[name] : undefined;
  return Object.hasOwn(IN_BLOCK, part) ? `model.layers.${layer}.${IN_BLOCK[part]}.${kind}` : undefined;
}

function readConfig(file: GgufFile, metadata: MetadataReader, architecture: string, ropeFactors?: Float32Array) {
  const key = (name: string) => `${architecture}.${name}`;
  const width = metadata.count(key("embedding_length"));
  const uniform = (name: string) => metadata.uniformCount(key(name)) ?? metadata.count(key(name));
  const heads = uniform("attention.head_count");
  // Qwen2 has biases on q, k and v whatever its config says, and transformers' Qwen2 and Qwen3 have none elsewhere.
  const hasBias = (parts: string) =>
    [...file.tensors.keys()].some((name) => new RegExp(`^blk\\.\\d+\\.(${parts})\\.bias$`).test(name));
  const attentionBias = hasBias(architecture === "qwen2" ? "attn_output" : "attn_q|attn_k|attn_v|attn_output");
  const mlpBias = hasBias("ffn_gate|ffn_up|ffn_down");
  if ((attentionBias && architecture === "qwen2") || (mlpBias && architecture !== "llama")) {
    throw metadata.unsupported(`it has biases that a ${architecture} of transformers does not have; use another model`);
  }
  const headSize = metadata.optionalCount(key("attention.key_length")) ?? width / heads;
  const rotated = metadata.optionalCount(key("rope.dimension_count")) ?? headSize;
  if (rotated !== headSize) {
    throw metadata.unsupported(`rotary positions on ${rotated} of a head's ${headSize} dimensions are not supported`);
  }
  const [vocabulary] = file.tensors.get("token_embd.weight")?.shape ?? [];
  const context = metadata.count(key("context_length"));
  const window = metadata.optionalCount(key("attention.sliding_window")) || context;
  const theta = metadata.optionalNumber(key("rope.freq_base")) ?? 10_000;
  return {
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: uniform("feed_forward_length"),
    num_hidden_layers: metadata.count(key("block_count")),
    num_attention_heads: heads,
    num_key_value_heads: metadata.uniformCount(key("attention.head_count_kv")) ?? heads,
    head_dim: headSize,
    // A sliding window changes nothing up to its length.
    max_position_embeddings: Math.min(context, window),
    rms_norm_eps: metadata.number(key("attention.layer_norm_rms_epsilon")),
    hidden_act: "silu",
    tie_word_embeddings: !file.tensors.has("output.weight"),
    attention_bias: attentionBias,
    mlp_bias: mlpBias,
    ...ropeScaling(metadata, architecture, { theta, headSize, factors: ropeFactors }),
    bos_token_id: metadata.optionalCount("tokenizer.ggml.bos_token_id"),
    eos_token_id: metadata.optionalCount("tokenizer.ggml.eos_token_id"),
  };
}
