"""What a model is for, by its architecture's name: to generate text, to rate it, or to embed it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Purpose = Literal["generate", "reward", "embed"]

# Parts of Hugging Face class names. Models without a head have no such mark ("ChatGLMModel" generates, "BertModel"
# embeds), so an embedding model is known only by what its server says of itself.
_HEADS = ("ForSequenceClassification", "ForClassification", "RewardModel")


def has_reward_head(architectures: Sequence[str]) -> bool:
    """Whether a model of these classes ends in a head that rates the sequence, instead of one that continues it."""
    return any(mark in name for name in architectures for mark in _HEADS)


def served_purpose(architectures: Sequence[str], is_generation: bool) -> Purpose:
    """What a server offers that says so of its model."""
    if is_generation:
        return "generate"
    return "reward" if has_reward_head(architectures) else "embed"


def folder_architectures(model_path: str) -> tuple[str, ...]:
    """The classes that the `config.json` of a model's folder names; none for anything that can't be read here."""
    try:
        config = json.loads((Path(model_path) / "config.json").read_text(encoding="utf-8"))
        return tuple(str(name) for name in config["architectures"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def dense_parameters(model_path: str) -> int | None:
    """Parameters that a token goes through in a model like Llama whose folder is on this machine: those of attention,
    feed-forward and the head that gives logits. None for what can't be read here, or has experts.
    """
    try:
        config = json.loads((Path(model_path) / "config.json").read_text(encoding="utf-8"))
        hidden, layers, wide = (int(config[name]) for name in ("hidden_size", "num_hidden_layers", "intermediate_size"))
        heads, vocabulary = int(config["num_attention_heads"]), int(config["vocab_size"])
        keys = int(config.get("num_key_value_heads") or heads)
        size = int(config.get("head_dim") or hidden // heads)
    except (OSError, KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if any("expert" in name for name in config):
        return None
    attention = 2 * hidden * size * (heads + keys)
    return layers * (attention + 3 * hidden * wide) + hidden * vocabulary
