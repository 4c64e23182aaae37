/** SmolLM2-135M's shapes: a Llama of 30 layers with 9 heads on 3 keys, and a tied head. */
import { randomModelFolder } from "./random-model.js";

const [WIDTH, INNER, LAYERS, HEADS, GROUPS, VOCABULARY] = [576, 1536, 30, 9, 3, 49_152];
const GROUPS_WIDTH = (WIDTH / HEADS) * GROUPS;

const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: WIDTH,
  intermediate_size: INNER,
  num_hidden_layers: LAYERS,
  num_attention_heads: HEADS,
  num_key_value_heads: GROUPS,
  max_position_embeddings: 8192,
  vocab_size: VOCABULARY,
  rope_theta: 100_000,
  rms_norm_eps: 1e-5,
  hidden_act: "silu",
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
};

/** Makes the model if it does not exist yet, and returns its folder. */
export const smolLm2Folder = (): Promise<string> =>
  randomModelFolder({ name: "smollm2-135m", config: CONFIG, tensors: tensors(), isScale: /norm/ });

function tensors(): [string, number[]][] {
  const block = (layer: number): [string, number[]][] =>
    (
      [
        ["input_layernorm", [WIDTH]],
        ["self_attn.q_proj", [WIDTH, WIDTH]],
        ["self_attn.k_proj", [GROUPS_WIDTH, WIDTH]],
        ["self_attn.v_proj", [GROUPS_WIDTH, WIDTH]],
        ["self_attn.o_proj", [WIDTH, WIDTH]],
        ["post_attention_layernorm", [WIDTH]],
        ["mlp.gate_proj", [INNER, WIDTH]],
        ["mlp.up_proj", [INNER, WIDTH]],
        ["mlp.down_proj", [WIDTH, INNER]],
      ] as [string, number[]][]
    ).map(([name, shape]) => [`model.layers.${layer}.${name}.weight`, shape]);
  return [
    ["model.embed_tokens.weight", [VOCABULARY, WIDTH]],
    ...Array.from({ length: LAYERS }, (_, layer) => block(layer)).flat(),
    ["model.norm.weight", [WIDTH]],
  ];
}
