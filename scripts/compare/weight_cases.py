"""Configurations and weight files of seldom forms: other versions' names, several files, mixed element types, keys of other tools."""
import json
import shutil

import peft
import torch
from safetensors.torch import save_file

from .case import write_json
from .model_cases import KINDS, ROTARY, case, head_of, save_safetensors
from .tiny_models import build, noise, settings

TABLES = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
PREFIX = {"gpt2": "transformer.", "gpt_neox": "gpt_neox."}


def renamed(old, new):
    return lambda state: {key.replace(old, new): tensor for key, tensor in state.items()}


def config_forms():
    """Keys that other versions or tools write."""
    for kind in KINDS:
        for changes in ({"architectures": ["LlamaForSequenceClassification"]}, {"architectures": ["SomeForCausalLM"], "auto_map": {"AutoModelForCausalLM": "modeling.Some"}}, {"use_cache": False},
                        {"attention_dropout": 0.1}, {"initializer_range": 5.0}, {"_attn_implementation": "sdpa"}, {"attn_implementation": "flash_attention_2"}, {"dtype": "float16"}, {"torch_dtype": "float64"},
                        {"output_hidden_states": True}, {"pruned_heads": {}}, {"tie_word_embeddings": None}, {"is_decoder": True}, {"chunk_size_feed_forward": 4}, {"problem_type": "regression"}, {"tf_legacy_loss": True}):
            yield case(f"config {json.dumps(changes)}", kind, changes)
        yield case("pad_token_id beyond the vocabulary", kind, {"pad_token_id": 100})
        yield case("pad_token_id -1", kind, {"pad_token_id": -1})
        yield case("bos and eos null", kind, {}, text=lambda text: json.dumps(json.loads(text) | {"bos_token_id": None, "eos_token_id": None}))
        yield case("eos of several", kind, {"eos_token_id": [0, 1]})
        yield case("vocab_size larger than the table", kind, {"vocab_size": 70}, build_changes={})
        yield case("vocab_size smaller than the table", kind, {"vocab_size": 50}, build_changes={})
        yield case("without model_type", kind, {}, text=lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "model_type"}))
        yield case("numbers as floats", kind, {}, text=lambda text: text.replace(": 2,", ": 2.0,"))
        yield case("a byte order mark", kind, {}, text=lambda text: "\ufeff" + text)
        yield case("a key twice", kind, {}, text=lambda text: text[:-1] + ', "vocab_size": 61}')
        yield case("text_config", kind, {}, text=lambda text: json.dumps({"model_type": "some_vlm", "text_config": json.loads(text)}))
    for kind in ROTARY[:4]:
        yield case("one key-value head", kind, {"num_key_value_heads": 1})
        yield case("as many key-value heads", kind, {"num_key_value_heads": 4})
        yield case("head_dim 6", kind, {"head_dim": 6})
        yield case("heads that do not divide", kind, {"num_attention_heads": 4, "num_key_value_heads": 3})
        yield case("attention_bias and mlp_bias", kind, {"attention_bias": True, "mlp_bias": True})
        yield case("attention_bias false", kind, {"attention_bias": False})
        yield case("rms_norm_eps as an integer", kind, {"rms_norm_eps": 1})
        yield case("rms_norm_eps as a text", kind, {"rms_norm_eps": "1e-5"}, build_changes={})
        yield case("hidden_act as a list", kind, {"hidden_act": ["silu"]}, build_changes={})
        yield case("rope_theta null", kind, {}, text=lambda text: text[:-1] + ', "rope_theta": null}')
        yield case("rope_theta as an integer", kind, {"rope_theta": 500000})
        yield case("rope_parameters by layer type", kind, {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 300.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}}}, build_changes={})
        yield case("partial_rotary_factor in rope_parameters", kind, {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}})
        yield case("rope_scaling without a type", kind, {"rope_scaling": {"factor": 2.0}}, build_changes={})
        yield case("rope_scaling null beside rope_parameters", kind, {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}}, text=lambda text: text[:-1] + ', "rope_scaling": null}')
        yield case("rope_scaling of mrope", kind, {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}, build_changes={})
        yield case("rope_interleaved", kind, {"rope_interleaved": True})
        yield case("logit_scale and others", kind, {"logit_scale": 2.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.1, "final_logit_softcapping": 30.0})
        yield case("layer_types of an unknown kind", kind, {"layer_types": ["full_attention", "chunked_attention"]}, build_changes={})
        yield case("layer_types too short", kind, {"layer_types": ["full_attention"]}, build_changes={})
        yield case("no_rope_layers", kind, {"no_rope_layers": [1, 0]})
    for changes in ({"add_cross_attention": True}, {"tie_word_embeddings": False, "vocab_size": 61}, {"n_positions": 48}, {"max_position_embeddings": 48}, {"layer_norm_epsilon": 1e-3, "layer_norm_eps": 0.1}, {"n_inner": None, "intermediate_size": 40},
                    {"activation_function": "gelu", "hidden_act": "relu"}, {"attn_pdrop": 0.9}, {"scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False}):
        yield case(f"gpt2 {json.dumps(changes)}", "gpt2", changes)
    yield case("gpt2 hidden_size beside n_embd", "gpt2", {"hidden_size": 16})
    for changes in ({"hidden_act": "gelu_fast", "attention_bias": False}, {"rotary_pct": 0.25, "rope_scaling": {"type": "linear", "factor": 2.0}}, {"rotary_pct": 0.0}, {"partial_rotary_factor": 0.5, "rotary_pct": 1.0}, {"use_parallel_residual": False, "tie_word_embeddings": True},
                    {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 1.0}}, {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "rotary_pct": 1.0}, {"layer_norm_eps": 0.01, "layer_norm_epsilon": 0.5}):
        yield case(f"gpt_neox {json.dumps(changes)}", "gpt_neox", changes)


def names():
    """Tensors under the names of other versions and tools, and some that no model needs."""
    for kind in KINDS:
        prefix = PREFIX.get(kind, "model.")
        yield case("names with module.", kind, weights=lambda state: {f"module.{key}": tensor for key, tensor in state.items()})
        yield case("names with base_model.model.", kind, weights=lambda state: {f"base_model.model.{key}": tensor for key, tensor in state.items()})
        yield case("names with _orig_mod.", kind, weights=lambda state: {f"_orig_mod.{key}": tensor for key, tensor in state.items()})
        yield case("the prefix twice", kind, weights=lambda state, prefix=prefix: {key.replace(prefix, prefix * 2, 1): tensor for key, tensor in state.items()})
        yield case("some names without prefix", kind, weights=lambda state, prefix=prefix: {key.removeprefix(prefix) if ".0." in key else key: tensor for key, tensor in state.items()})
        yield case("a tensor under both names", kind, weights=lambda state, prefix=prefix: state | {key.removeprefix(prefix): noise("other", tensor.shape) for key, tensor in state.items() if key.endswith(TABLES)})
        yield case("a head's bias", kind, weights=lambda state, kind=kind: state | {head_of(kind).replace("weight", "bias"): torch.ones(61)})
        yield case("a classifier's head", kind, weights=lambda state: state | {"score.weight": torch.ones(2, 32)})
        yield case("a transposed shape", kind, weights=lambda state: {key: tensor.t().contiguous() if key.endswith(("down_proj.weight", "mlp.c_fc.weight", "dense_h_to_4h.weight")) else tensor for key, tensor in state.items()})
    yield case("buffers of old versions", "gpt2", weights=lambda state: state | {f"transformer.h.{layer}.attn.{name}": value for layer in range(2) for name, value in (("bias", torch.ones(1, 1, 64, 64).tril().bool()), ("masked_bias", torch.tensor(-1e4)))})
    yield case("buffers of old versions", "gpt_neox", weights=lambda state: state | {f"gpt_neox.layers.{layer}.attention.{name}": value for layer in range(2) for name, value in (("bias", torch.ones(1, 1, 64, 64).tril().bool()), ("masked_bias", torch.tensor(-1e9)), ("rotary_emb.inv_freq", torch.ones(1)))})
    yield case("gamma and beta", "gpt2", weights=lambda state: {key.replace("ln_1.weight", "ln_1.gamma").replace("ln_1.bias", "ln_1.beta"): tensor for key, tensor in state.items()})
    yield case("gamma and beta", "gpt_neox", weights=lambda state: {key.replace("layernorm.weight", "layernorm.gamma").replace("layernorm.bias", "layernorm.beta"): tensor for key, tensor in state.items()})
    yield case("q, k, v in one tensor", "llama", weights=lambda state: {key.replace("q_proj", "qkv_proj"): tensor for key, tensor in state.items() if "k_proj" not in key and "v_proj" not in key})


def folders():
    """Several files in one folder."""
    def both(first, second):
        """pytorch_model.bin or shards beside model.safetensors, with other numbers."""
        def save(folder, state):
            first(folder, state)
            second(folder, {key: noise(f"other {key}", tensor.shape) for key, tensor in state.items()})
        return save

    def torch_save(folder, state):
        torch.save(state, folder / "pytorch_model.bin")

    def torch_shards(folder, state, changed=lambda tensor, part: tensor):
        index, names = {}, list(state)
        for part in range(2):
            file = f"pytorch_model-{part + 1:05d}-of-00002.bin"
            chosen = {name: changed(state[name], part) for name in names[part::2]}
            torch.save(chosen, folder / file)
            index |= dict.fromkeys(chosen, file)
        write_json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": 1}, "weight_map": index})

    def shards(folder, state, changed=lambda tensor, part: tensor, inner=""):
        index, names = {}, list(state)
        (folder / inner).mkdir(exist_ok=True)
        for part in range(2):
            file = f"{inner}model-{part + 1:05d}-of-00002.safetensors"
            chosen = {name: changed(state[name], part) for name in names[part::2]}
            save_file(chosen, folder / file, metadata={"format": "pt"})
            index |= dict.fromkeys(chosen, file)
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": index})

    def mixed(tensor, part):
        return tensor.to((torch.bfloat16, torch.float64)[part])

    for kind in ("llama", "gpt2"):
        yield case("safetensors beside a torch file", kind, save=both(save_safetensors, torch_save))
        yield case("safetensors beside shards", kind, save=both(save_safetensors, shards))
        yield case("a torch file beside torch shards", kind, save=both(torch_save, torch_shards))
        yield case("safetensors shards beside a torch file", kind, save=both(shards, torch_save))
        yield case("torch shards", kind, save=torch_shards)
        yield case("torch shards of bfloat16 and float64", kind, save=lambda folder, state: torch_shards(folder, state, mixed))
        yield case("shards of bfloat16 and float64", kind, save=lambda folder, state: shards(folder, state, mixed))
        yield case("shards in a folder within", kind, save=lambda folder, state: shards(folder, state, inner="inner/"))
        yield case("metadata of format tf", kind, save=lambda folder, state: save_file(state, folder / "model.safetensors", metadata={"format": "tf"}))
        yield case("without metadata", kind, save=lambda folder, state: save_file(state, folder / "model.safetensors"))
        yield case("a variant alone", kind, save=lambda folder, state: save_file(state, folder / "model.fp16.safetensors", metadata={"format": "pt"}))
        yield case("a file of another name", kind, save=lambda folder, state: save_file(state, folder / "consolidated.safetensors", metadata={"format": "pt"}))
        for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.int64):
            yield case(f"weights of {dtype}", kind, weights=lambda state, dtype=dtype: {key: (tensor * 100 if not dtype.is_floating_point else tensor).to(dtype) for key, tensor in state.items()})
            yield case(f"one weight of {dtype}", kind, weights=lambda state, dtype=dtype: {key: (tensor * 100 if not dtype.is_floating_point else tensor).to(dtype) if key.endswith(("1.mlp.up_proj.weight", "h.1.mlp.c_fc.weight")) else tensor for key, tensor in state.items()})
        yield case("old torch file of bfloat16", kind, weights=lambda state: {key: tensor.bfloat16() for key, tensor in state.items()}, save=lambda folder, state: torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False))
        yield case("old torch file of views", kind, weights=lambda state: {key: torch.stack([tensor, tensor + 1])[0] for key, tensor in state.items()}, save=lambda folder, state: torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False))
        yield case("views with strides and offsets", kind, weights=lambda state: {key: torch.stack([tensor + 1, tensor], -1)[..., 1] for key, tensor in state.items()}, save=torch_save)
        yield case("one storage for all", kind, weights=one_storage, save=torch_save)
        yield case("one storage for all, old", kind, weights=one_storage, save=lambda folder, state: torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False))
        yield case("pickle protocol 4", kind, save=lambda folder, state: torch.save(state, folder / "pytorch_model.bin", pickle_protocol=4))
        yield case("an OrderedDict with metadata", kind, save=lambda folder, state: torch.save(build(settings(kind)).state_dict(), folder / "pytorch_model.bin"))
        yield case("an empty tensor beside", kind, weights=lambda state: state | {"extra": torch.zeros(0), "scalar": torch.tensor(1.0)})
        yield case("a negative stride as torch has none: flipped", kind, weights=lambda state: {key: tensor.flip(0).flip(0) for key, tensor in state.items()}, save=torch_save)
        yield case("conjugated or negated views", kind, weights=lambda state: {key: torch.view_as_real(torch.complex(-tensor, tensor).conj().resolve_conj())[..., 0].neg() for key, tensor in state.items()}, save=torch_save)

    def with_adapter(folder, state):
        save_safetensors(folder, state)
        model = peft.get_peft_model(build(settings("llama")), peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_lora_weights=False))
        model.save_pretrained(folder / "adapter")
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.move(folder / "adapter" / file, folder / file)
        shutil.rmtree(folder / "adapter")

    yield case("an adapter in the model's folder", "llama", save=with_adapter)


def one_storage(state):
    flat = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    views, at = {}, 0
    for key, tensor in state.items():
        views[key] = flat[at : at + tensor.numel()].view(tensor.shape)
        at += tensor.numel()
    return views


def cases():
    for group in (config_forms, names, folders):
        yield from group()
