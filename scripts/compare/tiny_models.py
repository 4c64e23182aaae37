"""Random models of two layers, of every architecture that gradpool supports, and their losses."""
import json
import math

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

VOCABULARY = 61
BATCH = [[(7 * i * i + 3 * i + row) % VOCABULARY for i in range(40)] for row in range(2)]
TINY = {
    "llama": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0},
    "gpt_neox": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2},
}
TINY |= {name: TINY["llama"] for name in ("mistral", "qwen2", "qwen3")}
TINY["qwen3"] = TINY["qwen3"] | {"head_dim": 8}


def settings(kind, **changes):
    """config.json before transformers reads it; None removes a key."""
    raw = {"model_type": kind, "vocab_size": VOCABULARY, "max_position_embeddings": 64, "eos_token_id": 0, "bos_token_id": 0} | TINY[kind] | changes
    if kind == "gpt2":
        raw.pop("max_position_embeddings")
    return {key: value for key, value in raw.items() if value is not None}


def noise(name, shape):
    """Numbers from -0.25 to 0.25 that a test can reproduce without torch: hashes of the tensor's name and the position in it."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = (np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * 2654435761 + seed) % 2**32
    for _ in range(2):
        x = (x ^ (x >> 16)) * 0x45D9F3B % 2**32
    return torch.from_numpy(((x ^ (x >> 16)) / 2**31 - 1) * 0.25).float().reshape(shape)


def build(raw):
    """A model of these settings in float32, whose weights are large enough that every difference shows in the loss."""
    config = AutoConfig.for_model(**json.loads(json.dumps(raw)))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_norm = name.endswith("weight") and ("norm" in name or ".ln_" in name)
            weight.copy_(noise(name, weight.shape) + (1 if is_norm else 0))
    return model


def loss_of(model, batch=None):
    ids = torch.tensor(batch or BATCH)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1].double()
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)).item()


def loaded_loss(path, batch=None, **options):
    """Loaded in the usual way, computed in float32."""
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", **options).eval()
    return {"loss": loss_of(model, batch)}
