"""Models of two layers with random weights, for servers that a test starts beside the one that generates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ttsc.backends.sglang.launcher import resolve, silent


def tiny_model(folder: Path, reward: bool) -> Any:
    """A random Llama of two layers with the built-in model's tokenizer, written to `folder`: one that rates,
    or one that could generate.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    torch.manual_seed(0)
    source = Path(resolve("smollm2-135m", silent))
    vocabulary = json.loads((source / "config.json").read_text())["vocab_size"]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        num_labels=1,
        tie_word_embeddings=not reward,
    )
    model = (LlamaForSequenceClassification if reward else LlamaForCausalLM)(config).eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, folder / name)
    return model
