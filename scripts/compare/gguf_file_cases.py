"""GGUF files of every element type, and in seldom forms: alignment, byte order, older versions, metadata of other tools."""
import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGUFEndian, GGUFWriter
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

from .case import Case
from .gguf_cases import case, fields, gguf_name, write
from .tiny_models import BATCH, VOCABULARY, build, loss_of, settings

# Offsets of float16 scales in blocks that gguf-py cannot make; their other bytes may be anything.
SCALES = {Type.Q2_K: (80, 82), Type.Q3_K: (108,), Type.Q4_K: (0, 2), Type.Q5_K: (0, 2), Type.Q6_K: (208,), Type.IQ4_NL: (0,), Type.IQ4_XS: (0,),
          Type.IQ2_XXS: (0,), Type.IQ2_XS: (0,), Type.IQ2_S: (0,), Type.IQ3_XXS: (0,), Type.IQ3_S: (0,), Type.IQ1_S: (0,)}
WRITTEN = (Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.TQ1_0, Type.TQ2_0, Type.MXFP4)
WIDE = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "head_dim": 64}


def blocks(data, kind, rng):
    if kind in WRITTEN:
        return quantize(data, kind)
    elements, size = GGML_QUANT_SIZES[kind]
    made = rng.integers(0, 256, (data.shape[0], data.shape[1] // elements, size), dtype=np.uint8)
    for at in SCALES[kind]:
        made[..., at : at + 2] = rng.normal(0, 0.002, made.shape[:2]).astype(np.float16)[..., None].view(np.uint8)
    return made.reshape(data.shape[0], -1)


def typed(kind):
    """A model whose matrices are of one type; its loss is that of the numbers that gguf-py reads from them."""
    raw = settings("qwen2", rope_theta=10000.0, rms_norm_eps=1e-6, tie_word_embeddings=False, **WIDE)
    state = {}

    def make(folder):
        model, rng, tensors = build(raw), np.random.default_rng(0), {}
        for name, tensor in model.state_dict().items():
            data = tensor.float().numpy()
            if data.ndim < 2:
                tensors[gguf_name(name)] = (data, Type.F32, data)
                continue
            stored = blocks(data, kind, rng)
            tensors[gguf_name(name)] = (stored, kind, None)
            tensor.copy_(torch.from_numpy(dequantize(stored, kind).astype(np.float32)))
        state["loss"] = loss_of(model)
        writer = GGUFWriter(folder / "model.gguf", "qwen2")
        own, vocabulary = fields(raw, "qwen2")
        add_fields(writer, "qwen2", own, vocabulary)
        for name, (data, stored_as, _) in tensors.items():
            writer.add_tensor(name, data, raw_dtype=stored_as)
        finish(writer)
        return folder / "model.gguf"

    return Case(f"gguf: all matrices {kind.name}", make, lambda path: {"loss": state["loss"]}, {"kind": "model", "batch": BATCH}, "" if kind not in (*list(SCALES)[7:], Type.TQ1_0, Type.TQ2_0, Type.MXFP4) else "types of fewer than 3 bits are not read")


def add_fields(writer, architecture, own, vocabulary):
    for key, value in own.items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture}.{key}", value)
    for key, value in vocabulary.items():
        key = f"tokenizer.ggml.{key}"
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, [int(part) if isinstance(part, int) else part for part in value])
        else:
            writer.add_uint32(key, value)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def formed(name, change=None, before=lambda writer: None, endian=GGUFEndian.LITTLE, refused=False):
    """A plain model; `before(writer)` changes how it is written, `change(bytes)` the file."""
    raw = settings("qwen2", rope_theta=10000.0, rms_norm_eps=1e-6)
    state = {}

    def make(folder):
        model = build(raw)
        state["loss"] = loss_of(model)
        path = folder / "model.gguf"
        writer = GGUFWriter(path, "qwen2", endianess=endian)
        before(writer)
        add_fields(writer, "qwen2", *fields(raw, "qwen2"))
        for tensor_name, tensor in model.state_dict().items():
            writer.add_tensor(gguf_name(tensor_name), np.ascontiguousarray(tensor.float().numpy()))
        finish(writer)
        if change:
            path.write_bytes(change(path.read_bytes()))
        return path

    def expect(path):
        if refused:
            raise ValueError("llama.cpp refuses it")
        return {"loss": state["loss"]}

    return Case(f"gguf: {name}", make, expect, {"kind": "model", "batch": BATCH})


def forms():
    for alignment in (1, 2, 8, 16, 64, 128, 4096):
        yield formed(f"alignment {alignment}", before=lambda writer, alignment=alignment: writer.add_custom_alignment(alignment))
    yield formed("big-endian", endian=GGUFEndian.BIG)
    yield formed("version 2", lambda data: data[:4] + (2).to_bytes(4, "little") + data[8:])
    yield formed("version 1", lambda data: data[:4] + (1).to_bytes(4, "little") + data[8:], refused=True)
    yield formed("version 4", lambda data: data[:4] + (4).to_bytes(4, "little") + data[8:], refused=True)
    yield formed("bytes after the end", lambda data: data + b"\0" * 100)
    yield formed("truncated", lambda data: data[:-100], refused=True)

    def more(writer):
        writer.add_string("general.name", "a name")
        writer.add_file_type(0)
        writer.add_quantization_version(2)
        writer.add_array("general.tags", ["a", "b"])
        writer.add_uint64("some.count", 2**63)
        writer.add_int8("some.small", -3)
        writer.add_float64("some.double", 1.5)
        writer.add_bool("qwen2.rope.scaling.finetuned", True)
        writer.add_array("some.numbers", [[1, 2], [3, 4]][0])
        writer.add_vocab_size(VOCABULARY)

    yield formed("metadata of other tools", before=more)


def metadata():
    linear = {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}
    for kind in ("llama", "qwen2", "qwen3"):
        yield case(f"{kind}, without a head count for k and v", kind, changes={"num_key_value_heads": 4}, metadata={"attention.head_count_kv": None})
        yield case(f"{kind}, without key_length", kind, changes={"head_dim": 8}, metadata={"attention.key_length": None, "attention.value_length": None})
        yield case(f"{kind}, head_dim 16", kind, changes={"head_dim": 16})
        yield case(f"{kind}, without freq_base", kind, metadata={"rope.freq_base": None})
        yield case(f"{kind}, freq_base 500", kind, changes={"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}, metadata={"rope.freq_base": 500.0})
        yield case(f"{kind}, epsilon 0.1", kind, changes={}, metadata={"attention.layer_norm_rms_epsilon": 1e-6})
        yield case(f"{kind}, yarn without an original length", kind, changes={"max_position_embeddings": 64, "rope_parameters": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0}},
                   metadata={"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0})
        yield case(f"{kind}, yarn with betas", kind, changes={"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0, "beta_fast": 8.0, "beta_slow": 2.0}},
                   metadata={"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 16, "rope.scaling.yarn_beta_fast": 8.0, "rope.scaling.yarn_beta_slow": 2.0})
        yield case(f"{kind}, scale_linear 1", kind, metadata={"rope.scale_linear": 1.0})
        yield case(f"{kind}, scaling factor 0", kind, metadata={"rope.scaling.factor": 0.0})
        yield case(f"{kind}, linear with both factors", kind, changes=linear, metadata={"rope.scaling.type": "linear", "rope.scaling.factor": 2.0, "rope.scale_linear": 8.0})
        yield case(f"{kind}, token types missing", kind, tokenizer={"token_type": None})
        yield case(f"{kind}, without eos", kind, tokenizer={"eos_token_id": None}, stays="")
        yield case(f"{kind}, fewer tokens than rows", kind, tokenizer={"tokens": fields(settings(kind), kind)[1]["tokens"][:40], "token_type": [3, *[1] * 39]})
        yield case(f"{kind}, a bias that nobody has", kind, extra={"output.bias": (np.ones(VOCABULARY, np.float32), Type.F32)}, stays="tensors that the architecture does not have are refused by name")
        yield case(f"{kind}, rope_freqs of ones", kind, extra={"rope_freqs.weight": (np.ones(4, np.float32), Type.F32)}, stays="factors other than Llama 3's are refused")
        yield case(f"{kind}, experts", kind, metadata={"expert_count": 8, "expert_used_count": 2}, stays="")
        yield case(f"{kind}, no experts", kind, metadata={"expert_count": 0, "expert_used_count": 0})
        yield case(f"{kind}, sentence piece", kind, tokenizer={"model": "llama", "scores": [0.0] * VOCABULARY}, stays="SentencePiece tokenizers are not read")
        yield case(f"{kind}, pre of a model that is not known", kind, tokenizer={"pre": "some-new-model"}, stays="refused by llama.cpp, too")


def cases():
    yield from (typed(kind) for kind in (*WRITTEN, *SCALES))
    yield from forms()
    yield from metadata()
