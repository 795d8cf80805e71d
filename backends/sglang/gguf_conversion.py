"""A Llama model in a GGUF file → the folder layout that transformers and SGLang load.

The weights are written as float32: a GGUF value is scale x integer + minimum, which float32 holds exactly enough to
be the same model, while bfloat16 would round every weight once more; the CPU computes in float32 anyway (see
`cpu/arguments.py`). llama.cpp stores the rows of the query and key projections of each head interleaved for its own
rotary embedding; `_deinterleave` restores the order of the original.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ttsc.backends.sglang.models import EngineMissing, ModelFetchError

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def convert_llama(gguf: Path, folder: Path) -> None:
    """Write config, weights, tokenizer with its chat template, and generation defaults of `gguf` into `folder`."""
    try:
        from gguf import GGUFReader, dequantize
        from safetensors.numpy import save_file
        from transformers import AutoTokenizer
    except ImportError as error:
        raise EngineMissing(
            f"converting a model needs the engine's packages ('{error.name}' is missing)",
            "install the engine: python scripts/install_engine.py",
        ) from error
    reader = GGUFReader(gguf)
    metadata = {name: field.contents() for name, field in reader.fields.items() if "tokenizer.ggml.tokens" not in name}
    if metadata.get("general.architecture") != "llama":
        raise ModelFetchError(
            f"'{gguf.name}' is not a Llama model", "only Llama GGUF files are converted; use a model folder"
        )
    config = _config(metadata, tied=all(tensor.name != "output.weight" for tensor in reader.tensors))
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype("float32")
        kind = tensor.name.split(".")[-2]
        weights[_weight_name(tensor.name)] = _deinterleave(values, heads[kind]) if kind in heads else values
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", config)
    generation = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", generation)
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.model_max_length = config["max_position_embeddings"]
    tokenizer.save_pretrained(str(folder))
    _inline_chat_template(folder)


def _config(metadata: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    llama = {name.removeprefix("llama."): value for name, value in metadata.items() if name.startswith("llama.")}
    ggml = {
        name.removeprefix("tokenizer.ggml."): value
        for name, value in metadata.items()
        if name.startswith("tokenizer.ggml.")
    }
    theta = float(llama["rope.freq_base"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": int(llama["embedding_length"]),
        "intermediate_size": int(llama["feed_forward_length"]),
        "num_hidden_layers": int(llama["block_count"]),
        "num_attention_heads": int(llama["attention.head_count"]),
        "num_key_value_heads": int(llama["attention.head_count_kv"]),
        "head_dim": int(llama["rope.dimension_count"]),
        "max_position_embeddings": int(llama["context_length"]),
        "rms_norm_eps": float(f"{llama['attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "vocab_size": int(llama["vocab_size"]),
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": int(ggml["bos_token_id"]),
        "eos_token_id": int(ggml["eos_token_id"]),
        "pad_token_id": int(ggml["padding_token_id"]),
        "dtype": "float32",
    }


def _weight_name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.{parts[3]}"
    return f"{_TOP_NAMES[parts[0]]}.{parts[1]}"


def _deinterleave(values: Any, heads: int) -> Any:
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns).copy()


def _inline_chat_template(folder: Path) -> None:
    """Put the chat template into tokenizer_config.json as well, where readers of that one file look for it."""
    template = folder / "chat_template.jinja"
    if template.is_file():
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["chat_template"] = template.read_text(encoding="utf-8")
        _write_json(path, config)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
