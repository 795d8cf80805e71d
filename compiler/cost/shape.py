"""The shape of a model: what its parameters and its KV cache take, read from its `config.json`.

Parameters of norms and biases are left out: less than 0.1 % of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Format = Literal["fp32", "bf16", "fp8"]
"""A number format that matrix products are computed in. "bf16" stands for every 16-bit one."""

_DTYPES: dict[str, Format] = {"float32": "fp32", "float16": "bf16", "bfloat16": "bf16", "float8_e4m3fn": "fp8"}
_BYTES: dict[Format, float] = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0}

# Families whose feed-forward layer is one matrix up and one down; in all others a third one gates.
_UNGATED = frozenset(
    {"falcon", "gpt_neox", "gptj", "mpt", "nemotron", "opt", "phi", "phi-msft", "starcoder2", "stablelm_epoch"}
)
# Families with experts that call an expert's width just `intermediate_size`.
_PLAIN_EXPERT_WIDTH = frozenset({"mixtral", "olmoe", "gpt_oss", "phimoe", "granitemoe"})
# Keys of layers that keep something else than keys and values of every token.
_OTHER_MEMORY = {
    "kv_lora_rank": "its attention keeps compressed latents (MLA)",
    "linear_num_value_heads": "some of its layers attend linearly",
    "mamba_d_state": "some of its layers are state-space models",
    "ssm_cfg": "it is a state-space model",
    "state_size": "it is a state-space model",
    "is_encoder_decoder": "it has an encoder",
}


class CostError(Exception):
    """The cost model can't tell. `hint` says what the user can do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder-only transformer. Widths and heads are counts; `weight_bytes`, `head_bytes` are bytes per parameter (of
    the layers, and of the LM head with the embedding), `kv_bytes` per element of the KV cache.

    intermediate: width of a dense feed-forward layer, of which there are `dense_layers`; the other layers have
    `experts` of width `expert_intermediate`, `experts_per_token` of which a token goes through, and shared experts of
    `shared_intermediate` together. matrices: of a feed-forward layer, 3 if gated. compute: the format that products
    are computed in. notes: what is only approximate about this shape, for people.
    """

    name: str
    hidden: int
    layers: int
    query_heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool = False
    dense_layers: int = -1
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0
    shared_intermediate: int = 0
    matrices: int = 3
    context_tokens: int = 0
    compute: Format = "bf16"
    weight_bytes: float = 2.0
    head_bytes: float = 2.0
    kv_bytes: float = 2.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dense_layers < 0:
            object.__setattr__(self, "dense_layers", 0 if self.experts else self.layers)

    @property
    def head_parameters(self) -> int:
        """Of the LM head: hidden * vocabulary, tied or not."""
        return self.hidden * self.vocabulary

    @property
    def shared_parameters(self) -> int:
        """Parameters of the layers that every token goes through: all but the routed experts'."""
        attention = self.hidden * self.head_dim * (2 * self.query_heads + 2 * self.kv_heads)
        routing = self.hidden * (self.experts + self.matrices * self.shared_intermediate)
        dense = self.matrices * self.hidden * self.intermediate
        return self.layers * attention + self.dense_layers * dense + (self.layers - self.dense_layers) * routing

    @property
    def expert_parameters(self) -> int:
        """Of one expert in every layer that has experts."""
        return (self.layers - self.dense_layers) * self.matrices * self.hidden * self.expert_intermediate

    @property
    def layer_parameters(self) -> int:
        """Parameters of the layers that one token goes through."""
        return self.shared_parameters + self.experts_per_token * self.expert_parameters

    @property
    def linear_parameters(self) -> int:
        """P_lin: what a decoded token goes through; the LM head once, the input embedding not at all."""
        return self.layer_parameters + self.head_parameters

    active_parameters = linear_parameters
    """P_act: of a model with experts, those of one token."""

    @property
    def total_parameters(self) -> int:
        """P_tot: everything that is kept in memory."""
        embedding = 0 if self.tied else self.head_parameters
        return self.shared_parameters + self.experts * self.expert_parameters + self.head_parameters + embedding

    @property
    def total_bytes(self) -> float:
        """Memory that the weights take."""
        copies = 1 if self.tied else 2
        layers = self.shared_parameters + self.experts * self.expert_parameters
        return layers * self.weight_bytes + copies * self.head_parameters * self.head_bytes

    @property
    def group(self) -> float:
        """r: query heads that share a KV head."""
        return self.query_heads / self.kv_heads

    @property
    def kv_elements(self) -> int:
        """D: elements of the KV cache per token, 2 * kv_heads * head_dim * layers."""
        return 2 * self.kv_heads * self.head_dim * self.layers

    @property
    def kv_bytes_per_token(self) -> float:
        return self.kv_elements * self.kv_bytes

    def experts_touched(self, tokens: float) -> float:
        """Experts of a layer that a batch of so many tokens uses, expected if each is as likely:
        E * (1 - (1 - k/E)^tokens).
        """
        if not self.experts:
            return 0.0
        return float(self.experts * (1 - (1 - self.experts_per_token / self.experts) ** tokens))

    def weight_bytes_read(self, tokens: float) -> float:
        """Bytes of weights that a forward pass over so many tokens reads: each once, of experts those that are used."""
        layers = self.shared_parameters + self.experts_touched(tokens) * self.expert_parameters
        return layers * self.weight_bytes + self.head_parameters * self.head_bytes

    def in_format(self, dtype: str) -> ModelShape:
        """The same model, unquantized, served in `dtype` ("float32", "bfloat16"). Raises `CostError` for others."""
        compute = _format(dtype, self.name)
        size = _BYTES[compute]
        return replace(self, compute=compute, weight_bytes=size, head_bytes=size, kv_bytes=size)


def from_config(config: Mapping[str, Any], name: str, dtype: str | None = None) -> ModelShape:
    """The shape that a `config.json` describes. `dtype`: what the model is served in; None: 16 bits as GPU engines do,
    or as it is quantized. Raises `CostError` for what it can't read.
    """
    try:
        return _read(config, name, dtype)
    except (TypeError, ValueError, AttributeError) as error:  # lists of widths by layer, for example
        raise CostError(
            f"the config.json of the model '{name}' describes no plain transformer: {error}", _ANOTHER
        ) from None


def _read(config: Mapping[str, Any], name: str, dtype: str | None) -> ModelShape:
    notes: list[str] = []
    if isinstance(config.get("text_config"), Mapping):
        inner = config["text_config"]
        config = {**config, **inner, "model_type": inner.get("model_type", config.get("model_type"))}
        notes.append("counts the language model alone, without what reads pictures or sound")
    for key, why in _OTHER_MEMORY.items():
        if config.get(key):
            raise CostError(f"the cost model has no formulas for the model '{name}': {why}", _ANOTHER)
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        notes.append("counts attention as full in layers with a sliding window: an upper bound")
    hidden, layers, heads = (
        _whole(config, key, name) for key in ("hidden_size", "num_hidden_layers", "num_attention_heads")
    )
    head_dim = int(config.get("head_dim") or 0) or hidden // heads
    tied = config.get("tie_word_embeddings")
    shape = ModelShape(
        name=name,
        hidden=hidden,
        layers=layers,
        query_heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=head_dim,
        intermediate=_whole(config, "intermediate_size", name),
        vocabulary=_whole(config, "vocab_size", name),
        tied=str(config.get("model_type", "")).startswith("gemma") if tied is None else bool(tied),
        matrices=2 if config.get("model_type") in _UNGATED else 3,
        context_tokens=int(config.get("max_position_embeddings") or 0),
        notes=tuple(notes),
    )
    shape = _with_experts(shape, config, name)
    quantized = config.get("quantization_config")
    if isinstance(quantized, Mapping):
        return replace(shape, **_quantized(quantized, name))
    return shape.in_format(dtype or "bfloat16")


_ANOTHER = "measure the engine instead: `ttsc engine profile -o profile.toml`, then --profile profile.toml"


def _whole(config: Mapping[str, Any], key: str, name: str) -> int:
    value = config.get(key)
    if isinstance(value, int) and value > 0:
        return value
    raise CostError(f"the config.json of the model '{name}' has no whole number `{key}`", _ANOTHER)


def _with_experts(shape: ModelShape, config: Mapping[str, Any], name: str) -> ModelShape:
    experts = next((int(config[key]) for key in _EXPERTS if config.get(key)), 0)
    if not experts:
        return shape
    kind = str(config.get("model_type", ""))
    per_token = next((int(config[key]) for key in _PER_TOKEN if config.get(key)), 0)
    width = int(config.get("moe_intermediate_size") or 0)
    dense_width = shape.intermediate
    if kind.startswith("llama4"):
        width, dense_width = shape.intermediate, int(config.get("intermediate_size_mlp") or shape.intermediate)
    elif kind in _PLAIN_EXPERT_WIDTH:
        width = width or shape.intermediate
    if not per_token or not width:
        missing = "moe_intermediate_size" if per_token else "num_experts_per_tok"
        raise CostError(f"the config.json of the model '{name}' has experts, but no `{missing}`", _ANOTHER)
    if kind.startswith("llama4"):
        shared = width
    else:
        shared = int(config.get("shared_expert_intermediate_size") or 0)
        shared = shared or int(config.get("n_shared_experts") or 0) * width
    return replace(
        shape,
        intermediate=dense_width,
        dense_layers=_dense_layers(config, shape.layers),
        experts=experts,
        experts_per_token=per_token,
        expert_intermediate=width,
        shared_intermediate=shared,
    )


_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_PER_TOKEN = ("num_experts_per_tok", "experts_per_token")


def _dense_layers(config: Mapping[str, Any], layers: int) -> int:
    """Layers without experts: listed, the first ones, or all but every n-th."""
    dense = {int(each) for each in config.get("mlp_only_layers") or ()}
    dense |= set(range(int(config.get("first_k_dense_replace") or 0)))
    every = int(config.get("decoder_sparse_step") or config.get("interleave_moe_layer_step") or 1)
    dense |= {each for each in range(layers) if (each + 1) % every}
    return len(dense & set(range(layers)))


def _format(dtype: str, name: str) -> Format:
    found = _DTYPES.get(dtype.removeprefix("torch."))
    if found is None:
        raise CostError(f"the model '{name}' is served in '{dtype}'", f"the cost model knows {', '.join(_DTYPES)}")
    return found


def _quantized(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Fields of a shape by how a checkpoint is quantized. The head stays in 16 bits, as in the checkpoints at hand.

    Four bits come with a 16-bit scale and a 4-bit zero for each group of weights (128 where the file doesn't say).
    """
    method = str(config.get("quant_method", ""))
    bits, group, compute = 0, 128, "bf16"
    match method:
        case "fp8" | "fbgemm_fp8":
            bits, compute = 8, "fp8"
        case "awq" | "gptq":
            bits, group = int(config.get("bits") or config.get("w_bit") or 0), int(config.get("group_size") or 128)
        case "mxfp4":
            bits, group = 4, 32
        case "bitsandbytes":
            bits, group = (4, 64) if config.get("load_in_4bit") else (8, 128)
        case "compressed-tensors":
            groups = [each for each in (config.get("config_groups") or {}).values() if isinstance(each, Mapping)]
            weights = (groups[0].get("weights") or {}) if groups else {}
            bits, group = int(weights.get("num_bits") or 0), int(weights.get("group_size") or 128)
            if weights.get("type") == "float" and bits == 8:
                compute = "fp8"
    if bits not in (4, 8):
        raise CostError(
            f"the model '{name}' is quantized in a way that the cost model does not know: {method}", _ANOTHER
        )
    size = bits / 8
    if bits == 4:
        size += (1.0 if method == "mxfp4" else 2.5) / group
    return {"weight_bytes": size, "compute": compute}
