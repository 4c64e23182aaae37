"""Models: config.json in every form, and weights under every name, in every kind of file."""
import json

import torch
from safetensors.torch import save_file

from .case import Case, write_json
from .tiny_models import BATCH, VOCABULARY, build, loaded_loss, noise, settings

KINDS = ("llama", "mistral", "qwen2", "qwen3", "gpt_neox", "gpt2")
ROTARY = KINDS[:5]
LONG = [[(7 * i * i + 3 * i) % VOCABULARY for i in range(100)]]


def head_of(kind):
    return "embed_out.weight" if kind == "gpt_neox" else "lm_head.weight"


def case(name, kind, changes=None, weights=None, build_changes=None, save=None, batch=None, text=None, stays=""):
    """
    `changes` go into config.json, and, unless there are `build_changes`, into the model that the weights come from; None removes
    a key. `weights(state)` changes the tensors, `save(folder, state)` writes them in another way, `text(json)` changes the file.
    """
    written = settings(kind, **(changes or {}))

    def make(folder):
        state = dict(model_of(settings(kind, **(build_changes if build_changes is not None else changes or {})), kind).state_dict())
        if kind == "gpt_neox" and "lm_head.weight" in state:
            state["embed_out.weight"] = state.pop("lm_head.weight")
        if written.get("tie_word_embeddings", kind == "gpt2"):
            state.pop(head_of(kind), None)
        state = {key: tensor.clone().contiguous() for key, tensor in state.items()}
        state = weights(state) if weights else state
        (save or save_safetensors)(folder, state)
        content = json.dumps(written)
        (folder / "config.json").write_text(text(content) if text else content)

    ask = {"kind": "model", "batch": batch or BATCH}
    return Case(f"model: {kind}, {name}", make, lambda path: loaded_loss(path, batch), ask, stays)


def model_of(raw, kind):
    try:
        return build(raw)
    except Exception:  # a config that the library refuses: it will refuse the folder, too
        return build(settings(kind))


def save_safetensors(folder, state):
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def tables():
    """The embedding and the head, tied or not by config.json and by the file."""
    def other_head(kind):
        def change(state):
            embedding = next(tensor for key, tensor in state.items() if key.endswith(("embed_tokens.weight", "wte.weight", "embed_in.weight")))
            return state | {head_of(kind): noise("another head", embedding.shape)}
        return change

    def only_head(kind):
        def change(state):
            name = next(key for key in state if key.endswith(("embed_tokens.weight", "wte.weight", "embed_in.weight")))
            return {head_of(kind) if key == name else key: tensor for key, tensor in state.items()}
        return change

    def same_head(kind):
        def change(state):
            name = next(key for key in state if key.endswith(("embed_tokens.weight", "wte.weight", "embed_in.weight")))
            return state | {head_of(kind): state[name].clone()}
        return change

    def bare(kind):
        prefix = {"gpt2": "transformer.", "gpt_neox": "gpt_neox."}.get(kind, "model.")
        return lambda state: {key.removeprefix(prefix): tensor for key, tensor in state.items()}

    for kind in KINDS:
        tied = {"tie_word_embeddings": True}
        yield case("tied", kind, tied)
        yield case("untied", kind, {"tie_word_embeddings": False})
        yield case("tie_word_embeddings by default", kind)
        yield case("tied, another head in the file", kind, tied, other_head(kind))
        yield case("tied, the same head in the file", kind, tied, same_head(kind))
        yield case("tied, only a head in the file", kind, tied, only_head(kind))
        yield case("tied, names without prefix", kind, tied, bare(kind))
        yield case("untied, names without prefix", kind, {"tie_word_embeddings": False}, bare(kind))
        if kind == "gpt_neox":
            yield case("a head named lm_head", kind, None, lambda state: {key.replace("embed_out", "lm_head"): tensor for key, tensor in state.items()})


def configs():
    for kind in KINDS:
        own = "activation_function" if kind == "gpt2" else "hidden_act"
        for activation in ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python", "gelu_accurate", "relu", "relu2", "silu", "swish", "quick_gelu", "mish", "tanh"):
            yield case(f"{own} {activation}", kind, {own: activation})
        epsilon = {"gpt2": "layer_norm_epsilon", "gpt_neox": "layer_norm_eps"}.get(kind, "rms_norm_eps")
        yield case(f"{epsilon} 0.1", kind, {epsilon: 0.1})
        yield case("NaN in config.json", kind, text=lambda text: text[:-1] + ', "initializer_range": NaN, "x": [Infinity, -Infinity]}', build_changes={})
        yield case("keys that nobody knows", kind, {"some_key": 1, "pretraining_tp": 2, "transformers_version": "4.1.0"})
        yield case("torch_dtype bfloat16", kind, {"torch_dtype": "bfloat16"})
    for kind in ROTARY[:4]:
        yield case("attention_bias", kind, {"attention_bias": True})
        yield case("mlp_bias", kind, {"mlp_bias": True})
        yield case("num_key_value_heads null", kind, {"num_key_value_heads": None}, build_changes={"num_key_value_heads": 4}, text=lambda text: text[:-1] + ', "num_key_value_heads": null}')
        yield case("head_dim 16", kind, {"head_dim": 16})
        yield case("without head_dim", kind, {"head_dim": None}, build_changes={"head_dim": 128} if kind == "qwen3" else {"head_dim": None})
        yield case("without num_key_value_heads", kind, {"num_key_value_heads": None, "num_attention_heads": 32 if kind.startswith("qwen") else 8, "hidden_size": 64})
        yield case("without max_position_embeddings", kind, {"max_position_embeddings": None})
        yield case("without intermediate_size", kind, {"intermediate_size": None, "num_hidden_layers": 1, "hidden_size": 8})
        yield case("without vocab_size", kind, {"vocab_size": None, "hidden_size": 8, "num_hidden_layers": 1})
        for window in ({"sliding_window": 16}, {"sliding_window": 4096}, {"sliding_window": 16, "use_sliding_window": True}, {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 0},
                       {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1}, {"use_sliding_window": True, "max_window_layers": 0},
                       {"sliding_window": 16, "use_sliding_window": True, "layer_types": ["full_attention", "full_attention"]},
                       {"sliding_window": 16, "use_sliding_window": True, "layer_types": ["full_attention", "sliding_attention"]}):
            yield case(", ".join(f"{key} {value}" for key, value in window.items()), kind, window)
        yield case("sliding_window null", kind, {}, text=lambda text: text[:-1] + ', "sliding_window": null}')
    for changes in ({"n_inner": 40}, {"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True}, {"reorder_and_upcast_attn": True}, {"n_ctx": 32}, {"n_head": 8}):
        yield case(", ".join(f"{key} {value}" for key, value in changes.items()), "gpt2", changes)
    yield case("names of other models", "gpt2", {"n_embd": None, "n_layer": None, "n_head": None, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}, build_changes={})
    for changes in ({"use_parallel_residual": False}, {"attention_bias": False}, {"rotary_pct": 0.5}, {"rotary_pct": 1.0}, {"rotary_emb_base": 500}, {"rope_theta": 500}, {"rope_theta": 500, "rotary_emb_base": 300}):
        yield case(", ".join(f"{key} {value}" for key, value in changes.items()), "gpt_neox", changes)


def ropes():
    half = {kind: [1.0 + 0.1 * i for i in range(4)] for kind in ROTARY} | {"gpt_neox": [1.0, 1.5]}
    for kind in ROTARY:
        theta = "rotary_emb_base" if kind == "gpt_neox" else "rope_theta"
        def both(name, parameters, **more):
            yield case(name, kind, {"rope_scaling": parameters} | more)
            yield case(f"{name}, as rope_parameters", kind, {"rope_parameters": parameters | {"rope_theta": 700.0}} | more)
            yield case(f"{name}, 100 positions", kind, {"rope_scaling": parameters, "max_position_embeddings": 256} | more, batch=LONG)
        yield case("theta of its own", kind, {theta: 500.0})
        yield case("rope_parameters with theta", kind, {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}})
        yield case("rope_parameters without theta", kind, {"rope_parameters": {"rope_type": "default"}, theta: 500.0})
        yield case("theta in both", kind, {"rope_parameters": {"rope_type": "default", "rope_theta": 300.0}, theta: 500.0})
        yield case("rope_scaling beside rope_parameters", kind, {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 300.0}})
        yield case("an empty rope_scaling", kind, {"rope_scaling": {}, theta: 500.0})
        yield case("rope_type and type", kind, {"rope_scaling": {"type": "default", "rope_type": "linear", "factor": 2.0}})
        yield case("partial_rotary_factor", kind, {"partial_rotary_factor": 0.5})
        yield case("partial_rotary_factor and linear", kind, {"partial_rotary_factor": 0.5, "rope_scaling": {"type": "linear", "factor": 2.0}})
        yield from both("linear", {"type": "linear", "factor": 2.5})
        yield from both("linear, factor 1", {"type": "linear", "factor": 1.0})
        llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        yield from both("llama3", llama3 | {"original_max_position_embeddings": 32})
        yield from both("llama3 without original", llama3)
        yield from both("llama3, original at the top level", llama3 | {"original_max_position_embeddings": 16}, original_max_position_embeddings=48)
        yield case("llama3 without low_freq_factor", kind, {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0}}, build_changes={})
        yield from both("yarn", {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16})
        yield from both("yarn without original", {"rope_type": "yarn", "factor": 2.0})
        yield from both("yarn, original at the top level", {"rope_type": "yarn", "factor": 4.0}, original_max_position_embeddings=24)
        yield case("yarn, factor null", kind, {"rope_scaling": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 16}})
        yield case("yarn without factor", kind, {"rope_scaling": {"rope_type": "yarn", "original_max_position_embeddings": 16}}, build_changes={})
        for options in ({"attention_factor": 1.3}, {"beta_fast": 8.0, "beta_slow": 2.0}, {"truncate": False}, {"mscale": 0.7, "mscale_all_dim": 1.2}, {"mscale": 0.7}, {"beta_fast": 0}):
            shown = ", ".join(f"{key} {value}" for key, value in options.items())
            yield case(f"yarn, {shown}", kind, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16} | options})
        yield from both("dynamic", {"type": "dynamic", "factor": 2.0})
        yield case("dynamic, beyond max_position_embeddings", kind, {"rope_scaling": {"type": "dynamic", "factor": 4.0}, "max_position_embeddings": 32}, batch=LONG)
        yield case("dynamic, factor 1, beyond", kind, {"rope_scaling": {"type": "dynamic", "factor": 1.0}, "max_position_embeddings": 32})
        yield from both("longrope", {"rope_type": "longrope", "short_factor": half[kind], "long_factor": [3 * x for x in half[kind]], "original_max_position_embeddings": 64})
        yield case("longrope, longer than original", kind, {"rope_scaling": {"rope_type": "longrope", "short_factor": half[kind], "long_factor": [3 * x for x in half[kind]], "original_max_position_embeddings": 16}})
        yield case("longrope, factor and attention_factor", kind, {"rope_scaling": {"rope_type": "longrope", "factor": 6.0, "attention_factor": 1.4, "short_factor": half[kind], "long_factor": half[kind], "original_max_position_embeddings": 16}})
        yield case("longrope, factor alone", kind, {"rope_scaling": {"rope_type": "longrope", "factor": 6.0, "short_factor": half[kind], "long_factor": half[kind], "original_max_position_embeddings": 16}})
        yield case("longrope of another length", kind, {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}}, build_changes={})
        for unknown in ("su", "ntk", "mrope"):
            yield case(f"rope_type {unknown}", kind, {"rope_scaling": {"rope_type": unknown, "factor": 2.0}}, build_changes={})


def quantized():
    for method in ("gptq", "awq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors", "torchao", "hqq"):
        yield case(f"quantized by {method}", "llama", {"quantization_config": {"quant_method": method, "bits": 4, "group_size": 128}}, build_changes={}, stays="quantized weights are not read")
    yield case("quantization_config null", "llama", {}, text=lambda text: text[:-1] + ', "quantization_config": null}')


def files():
    """Weights in other files and element types, and unused tensors."""
    def as_type(dtype, names=""):
        return lambda state: {key: tensor.to(dtype) if names in key else tensor for key, tensor in state.items()}

    def torch_save(folder, state, **options):
        torch.save(state, folder / "pytorch_model.bin", **options)

    def without_crc(folder, state):
        torch.serialization.set_crc32_options(False)
        try:
            torch_save(folder, state)
        finally:
            torch.serialization.set_crc32_options(True)

    def sharded(folder, state, extra=(), suffix="safetensors"):
        names = list(state)
        index = {}
        for part in range(2):
            file = f"model-{part + 1:05d}-of-00002.safetensors"
            chosen = {name: state[name] for name in names[part::2]}
            save_file(chosen, folder / file, metadata={"format": "pt"})
            index |= dict.fromkeys(chosen, file)
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": index | dict.fromkeys(extra, "model-00001-of-00002.safetensors")})

    def transposed(state):
        return {key: tensor.t().contiguous().t() if key.endswith("q_proj.weight") else tensor for key, tensor in state.items()}

    def expanded(state):
        return {key: tensor[:1].clone().expand(tensor.shape) if key.endswith("up_proj.weight") else tensor for key, tensor in state.items()}

    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        for kind in ("llama", "gpt2"):
            yield case(f"{dtype}", kind, weights=as_type(dtype))
            yield case(f"{dtype} in pytorch_model.bin", kind, weights=as_type(dtype), save=torch_save)
            yield case(f"norms in {dtype}", kind, weights=as_type(dtype, "norm" if kind == "llama" else "ln_"))
    yield case("pytorch_model.bin", "llama", save=torch_save)
    yield case("pytorch_model.bin of the old format", "llama", save=lambda folder, state: torch_save(folder, state, _use_new_zipfile_serialization=False))
    yield case("pytorch_model.bin without CRC-32", "llama", save=without_crc)
    yield case("a transposed tensor", "llama", weights=transposed, save=torch_save)
    yield case("an expanded tensor", "llama", weights=expanded, save=torch_save)
    yield case("a view into a larger storage", "llama", weights=lambda state: {key: torch.cat([tensor, tensor])[: tensor.shape[0]] for key, tensor in state.items()}, save=torch_save)
    yield case("parameters", "llama", weights=lambda state: {key: torch.nn.Parameter(tensor) for key, tensor in state.items()}, save=torch_save)
    yield case("in two files", "llama", save=sharded)
    yield case("in two files, one tensor in the index alone", "llama", save=lambda folder, state: sharded(folder, state, ["model.extra.weight"]))
    for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool, torch.uint16, torch.float8_e4m3fn, torch.complex64, torch.float64):
        extra = lambda state, dtype=dtype: state | {"model.extra": torch.zeros(4).to(dtype)}
        yield case(f"another tensor of {dtype}", "llama", weights=extra)
        yield case(f"another tensor of {dtype} in pytorch_model.bin", "llama", weights=extra, save=torch_save)
    yield case("another tensor, sparse", "llama", weights=lambda state: state | {"model.extra": torch.eye(4).to_sparse()}, save=torch_save)
    yield case("another tensor, quantized", "llama", weights=lambda state: state | {"model.extra": torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)}, save=torch_save)
    yield case("rotary_emb.inv_freq", "llama", weights=lambda state: state | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    yield case("biases that its config does not have", "llama", weights=lambda state: state | {"model.layers.0.self_attn.q_proj.bias": torch.ones(32)})
    yield case("a layer more than its config has", "llama", {"num_hidden_layers": 1}, build_changes={})
    yield case("a tensor that is missing", "llama", weights=lambda state: {key: tensor for key, tensor in state.items() if key != "model.norm.weight"}, stays="refused: transformers makes up random weights")
    yield case("a tensor of another shape", "llama", weights=lambda state: state | {"model.norm.weight": torch.ones(16)})
    yield case("scalars and texts in the dict", "llama", weights=lambda state: state | {"epoch": 3, "note": "x"}, save=torch_save)
    yield case("a dict within the dict", "llama", save=lambda folder, state: torch_save(folder, {"model": state}))


def cases():
    for group in (tables, configs, ropes, quantized, files):
        yield from group()
