"""Shapes of models: the reference's table of Qwen3, other families' `config.json`, quantization, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ttsc.compiler.cost.shape import CostError, from_config
from ttsc.machines import known_models, shape_named

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}

# model, P_lin in billions, r, KV bytes per token
QWEN3 = (
    ("Qwen3-0.6B", 0.596, 2, 114_688),
    ("Qwen3-1.7B", 1.720, 2, 114_688),
    ("Qwen3-4B", 4.022, 4, 147_456),
    ("Qwen3-8B", 7.568, 4, 147_456),
    ("Qwen3-14B", 13.990, 5, 163_840),
    ("Qwen3-32B", 31.984, 8, 262_144),
)


@pytest.mark.parametrize(("name", "billions", "group", "kv"), QWEN3)
def test_qwen3_has_the_shapes_of_the_table(name: str, billions: float, group: float, kv: int) -> None:
    shape = shape_named(name)
    assert round(shape.linear_parameters / 1e9, 3) == billions
    assert (shape.group, shape.kv_bytes_per_token) == (group, kv)


@pytest.mark.parametrize(
    ("name", "active", "total", "kv", "gigabytes"),
    [
        ("Qwen3-30B-A3B", 3.04, 30.5, 98_304, (6.1, 15.6, 39.8, 59.5, 60.4)),
        ("Qwen3-235B-A22B", 21.6, 235, 192_512, (43, 118, 307, 462, 469)),
    ],
)
def test_experts_count_as_far_as_a_batch_uses_them(
    name: str, active: float, total: float, kv: int, gigabytes: tuple[float, ...]
) -> None:
    shape = shape_named(name)
    assert shape.active_parameters / 1e9 == pytest.approx(active, rel=3e-3)
    assert shape.total_parameters / 1e9 == pytest.approx(total, rel=3e-3)
    assert shape.kv_bytes_per_token == kv
    read = [shape.weight_bytes_read(rows) / 1e9 for rows in (1, 4, 16, 64, 256)]
    assert read == pytest.approx(gigabytes, rel=5e-3)


def test_a_batch_of_one_reads_what_a_token_goes_through() -> None:
    shape = shape_named("Qwen3-30B-A3B")
    assert shape.experts_touched(1) == pytest.approx(8)
    assert shape.weight_bytes_read(1) == pytest.approx(2 * shape.active_parameters)


def test_head_dim_is_a_field_and_not_what_hidden_and_heads_make() -> None:
    narrow = from_config(LLAMA | {"head_dim": 64}, "narrow")
    assert narrow.kv_elements == 2 * 8 * 64 * 32
    assert from_config(LLAMA, "llama").kv_elements == 2 * 8 * 128 * 32


def test_the_known_size_of_llama_3_8b() -> None:
    shape = from_config(LLAMA, "Llama-3-8B")
    assert shape.total_parameters == pytest.approx(8.03e9, rel=1e-3)
    assert shape.linear_parameters == shape.total_parameters - 4096 * 128256


def test_the_known_sizes_of_mixtral_8x7b() -> None:
    mixtral = LLAMA | {"model_type": "mixtral", "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2}
    shape = from_config(mixtral, "Mixtral-8x7B")
    assert shape.total_parameters == pytest.approx(46.7e9, rel=1e-3)
    assert shape.active_parameters == pytest.approx(12.9e9, rel=0.015)


def test_layers_without_experts_and_shared_experts() -> None:
    config = LLAMA | {
        "model_type": "glm4_moe",
        "n_routed_experts": 16,
        "n_shared_experts": 2,
        "num_experts_per_tok": 4,
        "moe_intermediate_size": 1000,
        "first_k_dense_replace": 3,
    }
    shape = from_config(config, "glm")
    assert (shape.dense_layers, shape.shared_intermediate) == (3, 2000)
    by_hand = 32 * 4096 * 128 * (2 * 32 + 2 * 8) + 3 * 3 * 4096 * 14336 + 29 * 4096 * (16 + 3 * (2000 + 4 * 1000))
    assert shape.layer_parameters == by_hand


def test_every_second_layer_has_experts() -> None:
    config = LLAMA | {"num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 10, "decoder_sparse_step": 2}
    assert from_config(config, "sparse").dense_layers == 16


def test_a_feed_forward_layer_without_a_gate_has_two_matrices() -> None:
    gated, plain = from_config(LLAMA, "a"), from_config(LLAMA | {"model_type": "starcoder2"}, "b")
    assert gated.layer_parameters - plain.layer_parameters == 32 * 4096 * 14336


@pytest.mark.parametrize(
    ("quantized", "size", "compute"),
    [
        ({"quant_method": "fp8"}, 1.0, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 0.5 + 2.5 / 128, "bf16"),
        ({"quant_method": "gptq", "bits": 8}, 1.0, "bf16"),
        ({"quant_method": "mxfp4"}, 0.53125, "bf16"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            1.0,
            "fp8",
        ),
    ],
)
def test_quantized_weights(quantized: dict[str, Any], size: float, compute: str) -> None:
    shape = from_config(LLAMA | {"quantization_config": quantized}, "small")
    assert (shape.weight_bytes, shape.compute, shape.head_bytes, shape.kv_bytes) == (size, compute, 2, 2)


def test_float32_takes_twice_the_bytes() -> None:
    half, full = from_config(LLAMA, "a"), from_config(LLAMA, "a", "float32")
    assert full.total_bytes == 2 * half.total_bytes
    assert full.kv_bytes_per_token == 2 * half.kv_bytes_per_token


def test_a_model_in_a_wrapper_is_its_language_model() -> None:
    shape = from_config({"model_type": "gemma3", "text_config": LLAMA | {"model_type": "gemma3_text"}}, "seeing")
    assert shape.layers == 32
    assert shape.tied
    assert "pictures" in shape.notes[0]


def test_a_sliding_window_is_said_to_be_counted_as_full_attention() -> None:
    assert "sliding" in from_config(LLAMA | {"sliding_window": 512}, "a").notes[0]
    assert not from_config(LLAMA | {"sliding_window": 512, "use_sliding_window": False}, "a").notes


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LLAMA | {"kv_lora_rank": 512}, "latents"),
        (LLAMA | {"linear_num_value_heads": 4}, "linearly"),
        ({"model_type": "gpt2", "n_embd": 768}, "hidden_size"),
        (LLAMA | {"num_experts": 8}, "num_experts_per_tok"),
        (LLAMA | {"quantization_config": {"quant_method": "other"}}, "other"),
        (LLAMA | {"num_key_value_heads": [4, 8]}, "no plain transformer"),
    ],
)
def test_what_it_can_not_read_is_refused_with_a_reason(config: dict[str, Any], said: str) -> None:
    with pytest.raises(CostError, match=said) as caught:
        from_config(config, "strange")
    assert caught.value.hint


def test_every_known_model_can_be_read() -> None:
    for name in known_models():
        assert shape_named(name).linear_parameters > 0
