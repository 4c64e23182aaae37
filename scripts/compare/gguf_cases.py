"""GGUF files written by gguf-py from models whose loss is known; llama.cpp itself is not run."""
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, TokenType
from gguf.quants import quantize
from tokenizers import pre_tokenizers

from .case import Case
from .tiny_models import BATCH, VOCABULARY, build, loss_of, settings

TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
IN_BLOCK = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def gguf_name(name):
    base, kind = name.rsplit(".", 1)
    if base in TOP:
        return f"{TOP[base]}.{kind}"
    _, _, layer, part = base.split(".", 3)
    return f"blk.{layer}.{IN_BLOCK[part]}.{kind}"


def permuted(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def fields(raw, architecture):
    """Metadata by key, as convert_hf_to_gguf.py writes it."""
    heads = raw["num_attention_heads"]
    size = raw.get("head_dim", raw["hidden_size"] // heads)
    # One character per token, so the vocabulary is as small as the model's.
    tokens = ["<|end|>", *ALPHABET[: VOCABULARY - 2], ALPHABET[0] + ALPHABET[1]]
    return {
        "block_count": raw["num_hidden_layers"], "context_length": raw["max_position_embeddings"], "embedding_length": raw["hidden_size"],
        "feed_forward_length": raw["intermediate_size"], "attention.head_count": heads, "attention.head_count_kv": raw["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": raw.get("rms_norm_eps", 1e-6), "rope.freq_base": float(raw.get("rope_theta", 10000)),
        "attention.key_length": size, "attention.value_length": size,
    }, {
        "model": "gpt2", "pre": "gpt-2", "tokens": tokens, "token_type": [TokenType.CONTROL, *[TokenType.NORMAL] * (VOCABULARY - 1)],
        "merges": [f"{tokens[1]} {tokens[2]}"], "bos_token_id": 0, "eos_token_id": 0,
    }


def write(path, architecture, metadata, tokenizer, tensors, split=None):
    writer = GGUFWriter(path, architecture)
    for key, value in metadata.items():
        key = f"{architecture}.{key}"
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_uint32(key, value)
    for key, value in tokenizer.items():
        key = f"tokenizer.ggml.{key}"
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, list) and value:
            writer.add_array(key, [int(part) if isinstance(part, int) else part for part in value])
        elif isinstance(value, list):
            raise ValueError(f"{key} is empty, which gguf-py does not write")
        else:
            writer.add_uint32(key, value)
    if split:
        writer.add_uint16("split.no", split[0])
        writer.add_uint16("split.count", split[1])
        writer.add_int32("split.tensors.count", split[2])
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def case(name, kind="llama", architecture=None, changes=None, metadata=None, tokenizer=None, stored=Type.F32, keep=lambda name: True, extra=None, parts=1, open_part=0, stays=""):
    """`changes` apply to the model; `metadata` and `tokenizer` are changed only in the file, None removes a key."""
    raw = settings(kind, rope_theta=10000.0, rms_norm_eps=1e-6, **(changes or {}))
    architecture = architecture or kind
    state = {}

    def make(folder):
        model = build(raw)
        tensors = {}
        for tensor_name, tensor in model.state_dict().items():
            if tensor_name == "lm_head.weight" and raw.get("tie_word_embeddings"):
                continue
            if not keep(tensor_name):
                tensor.zero_()
                continue
            data = tensor.float().numpy()
            if architecture == "llama" and (".q_proj." in tensor_name or ".k_proj." in tensor_name):
                heads = raw["num_attention_heads"] if ".q_proj." in tensor_name else raw["num_key_value_heads"]
                data = permuted(data, heads)
            chosen = stored if data.ndim > 1 and data.shape[-1] % 32 == 0 else Type.F32
            tensors[gguf_name(tensor_name)] = (np.ascontiguousarray(data), chosen)
        own, vocabulary = fields(raw, architecture)
        own = {key: value for key, value in (own | (metadata or {})).items() if value is not None}
        vocabulary = {key: value for key, value in (vocabulary | (tokenizer or {})).items() if value is not None}
        tensors |= extra or {}
        state["loss"] = loss_of(model)
        if parts == 1:
            write(folder / "model.gguf", architecture, own, vocabulary, tensors)
            return folder / "model.gguf"
        names = list(tensors)
        for part in range(parts):
            chosen = {tensor: tensors[tensor] for tensor in names[part::parts]}
            path = folder / f"model-{part + 1:05d}-of-{parts:05d}.gguf"
            write(path, architecture, own if part == 0 else {}, vocabulary if part == 0 else {}, chosen, (part, parts, len(names)))
        return folder / f"model-{open_part + 1:05d}-of-{parts:05d}.gguf"

    tolerance = {"tolerance": 0.02} if stored not in (Type.F32,) else {}
    return Case(f"gguf: {name}", make, lambda path: {"loss": state["loss"]}, {"kind": "model", "batch": BATCH} | tolerance, stays)


def cases():
    for kind in ("llama", "qwen2", "qwen3"):
        for tied in (False, True):
            yield case(f"{kind}, {'tied' if tied else 'untied'}", kind, changes={"tie_word_embeddings": tied})
        yield case(f"{kind}, head_count_kv as an array", kind, metadata={"attention.head_count_kv": [2, 2]})
        yield case(f"{kind}, all counts as arrays", kind, metadata={"attention.head_count": [4, 4], "attention.head_count_kv": [2, 2], "feed_forward_length": [48, 48]})
        yield case(f"{kind}, linear scaling", kind, changes={"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}, metadata={"rope.scaling.type": "linear", "rope.scaling.factor": 2.0})
        yield case(f"{kind}, a scaling factor without a type", kind, changes={"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}, metadata={"rope.scaling.factor": 2.0})
        yield case(f"{kind}, rope.scale_linear", kind, changes={"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}, metadata={"rope.scale_linear": 4.0})
        yield case(f"{kind}, type none with a factor", kind, metadata={"rope.scaling.type": "none", "rope.scaling.factor": 4.0})
        yield case(f"{kind}, yarn", kind, changes={"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}},
                   metadata={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 16})
        yield case(f"{kind}, padding id out of range", kind, tokenizer={"padding_token_id": 4_000_000_000})
        yield case(f"{kind}, more token types than tokens", kind, tokenizer={"token_type": [3, *[1] * (VOCABULARY + 4)]})
        for part in range(3):
            yield case(f"{kind}, part {part + 1} of 3", kind, parts=3, open_part=part)
        for stored in (Type.F16, Type.BF16, Type.Q8_0):
            yield case(f"{kind}, {stored.name}", kind, stored=stored)
    bias = {"attention_bias": True}
    yield case("llama, biases of attention", changes=bias)
    yield case("llama, biases of q, k, v alone", changes=bias, keep=lambda name: not name.endswith("o_proj.bias"))
    yield case("llama, biases of o alone", changes=bias, keep=lambda name: not name.endswith(("q_proj.bias", "k_proj.bias", "v_proj.bias")))
    yield case("llama, biases of one layer", changes=bias, keep=lambda name: not (name.endswith(".bias") and ".0." in name))
    yield case("llama, biases of the mlp", changes={"mlp_bias": True})
    yield case("llama, biases of mlp.down alone", changes={"mlp_bias": True}, keep=lambda name: not name.endswith(("gate_proj.bias", "up_proj.bias")))
    yield case("llama, all biases", changes=bias | {"mlp_bias": True})
    yield case("qwen3, biases of q, k, v alone", "qwen3", changes=bias, keep=lambda name: not name.endswith("o_proj.bias"))
    yield case("mistral in a llama file", "mistral", "llama", changes={"sliding_window": None})
    yield case("llama, rotated dimensions named", metadata={"rope.dimension_count": 8})
    yield case("llama, no bos", tokenizer={"bos_token_id": None})
    yield case("llama, counts that differ by layer", metadata={"feed_forward_length": [48, 40]}, stays="other models: layers of their own widths")
