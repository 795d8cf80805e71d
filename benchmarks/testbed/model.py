"""The test bed's model: a small Llama, written out for training, saved in the Hugging Face format that SGLang serves.

Training needs a forward pass without the machinery of a library: this one does some 20,000 tokens/s on a core.
`checkpoint` and `reward_checkpoint` write what transformers calls LlamaForCausalLM and LlamaForSequenceClassification.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

CHARACTERS = "0123456789+-*=:\nQAVWyn?"
SPECIAL = ("<pad>", "<eos>", "<unk>")
VOCABULARY = 32
PAD, EOS = 0, 1


@dataclass(frozen=True, slots=True)
class Shape:
    """791,680 parameters with tied embeddings."""

    hidden: int = 128
    layers: int = 4
    feed_forward: int = 384
    heads: int = 4
    kv_heads: int = 2
    context: int = 1024
    rope_theta: float = 10000.0
    biased: bool = False
    """Whether the attention's projections have a constant part."""
    epsilon: float = 1e-5
    """What norms add to a mean square."""

    @property
    def head(self) -> int:
        return self.hidden // self.heads


def encode(text: str) -> list[int]:
    """Ids of a text, one a character."""
    return [len(SPECIAL) + CHARACTERS.index(character) for character in text]


def decode(ids: list[int]) -> str:
    """The text of ids, without special ones and those that stand for nothing."""
    return "".join(CHARACTERS[i - len(SPECIAL)] for i in ids if 0 <= i - len(SPECIAL) < len(CHARACTERS))


class Norm(nn.Module):
    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight, self.epsilon)


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, keys = shape.hidden, shape.kv_heads * shape.head
        self.input_layernorm, self.post_attention_layernorm = (Norm(width, shape.epsilon) for _ in range(2))
        bias = shape.biased
        self.q_proj, self.o_proj = nn.Linear(width, width, bias=bias), nn.Linear(width, width, bias=bias)
        self.k_proj, self.v_proj = nn.Linear(width, keys, bias=bias), nn.Linear(width, keys, bias=bias)
        self.gate_proj = nn.Linear(width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape, y = self.shape, self.input_layernorm(x)
        q = rotated(self.q_proj(y).view(batch, length, shape.heads, shape.head).transpose(1, 2), cos, sin)
        k = rotated(self.k_proj(y).view(batch, length, shape.kv_heads, shape.head).transpose(1, 2), cos, sin)
        v = self.v_proj(y).view(batch, length, shape.kv_heads, shape.head).transpose(1, 2)
        groups = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))
        y = self.post_attention_layernorm(x)
        return x + self.down_proj(functional.silu(self.gate_proj(y)) * self.up_proj(y))


class Policy(nn.Module):
    """Token ids [batch, length] to logits [batch, length, vocabulary]; `features` to the last hidden states."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(VOCABULARY, shape.hidden)
        nn.init.normal_(self.embed_tokens.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.epsilon)
        frequencies = shape.rope_theta ** (-torch.arange(0, shape.head, 2).float() / shape.head)
        angles = torch.outer(torch.arange(shape.context).float(), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def streams(self, ids: Tensor) -> Iterator[Tensor]:
        """What each layer hands on [batch, length, hidden]."""
        x = self.embed_tokens(ids)
        cos, sin = self.cos[: ids.shape[1]].to(x.dtype), self.sin[: ids.shape[1]].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
            yield x

    def features(self, ids: Tensor) -> Tensor:
        *_, last = self.streams(ids)
        normed: Tensor = self.norm(last)
        return normed

    def forward(self, ids: Tensor) -> Tensor:
        return functional.linear(self.features(ids), self.embed_tokens.weight)


class Rewarder(nn.Module):
    """A policy's body with one number at each position."""

    def __init__(self, body: Policy) -> None:
        super().__init__()
        self.body = body
        self.score = nn.Linear(body.shape.hidden, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, ids: Tensor) -> Tensor:
        scored: Tensor = self.score(self.body.features(ids)).squeeze(-1)
        return scored


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, as Llama has them."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


# --- files ----------------------------------------------------------------------------------------------------------

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def checkpoint(model: Policy, folder: Path) -> None:
    """Save as LlamaForCausalLM, in bfloat16, with its tokenizer."""
    _save(model, folder, "LlamaForCausalLM", {})


def reward_checkpoint(model: Rewarder, folder: Path) -> None:
    """Save as LlamaForSequenceClassification with one label, in bfloat16, with its tokenizer."""
    _save(model.body, folder, "LlamaForSequenceClassification", {"score.weight": model.score.weight})


def restored(folder: Path) -> Policy:
    """A policy from its folder."""
    saved, config = _read(folder), json.loads((folder / "config.json").read_text())
    biased, epsilon = config.get("attention_bias", False), config["rms_norm_eps"]
    model = Policy(Shape(layers=config["num_hidden_layers"], biased=biased, epsilon=epsilon))
    model.load_state_dict({name: value for name, value in saved.items() if name != "score.weight"})
    return model


def restored_rewarder(folder: Path) -> Rewarder:
    """A reward model from its folder."""
    model = Rewarder(restored(folder))
    model.score.weight = nn.Parameter(_read(folder)["score.weight"])
    return model


def grown(model: Policy, layers: int) -> Policy:
    """The model with `layers` more on top, which change nothing yet: what they write is multiplied by zero."""
    larger = Policy(replace(model.shape, layers=model.shape.layers + layers))
    larger.load_state_dict(model.state_dict(), strict=False)
    for name, parameter in larger.named_parameters():
        if name not in dict(model.named_parameters()) and ("o_proj" in name or "down_proj" in name):
            nn.init.zeros_(parameter)
    return larger


def _read(folder: Path) -> dict[str, Tensor]:
    return {_own(name): value.float() for name, value in load_file(folder / "model.safetensors").items()}


def _public(name: str) -> str:
    part = name.split(".")
    if part[0] == "layers" and part[2].endswith("_proj"):
        part.insert(2, "self_attn" if part[2] in _ATTENTION else "mlp")
    return "model." + ".".join(part)


def _own(name: str) -> str:
    return name.removeprefix("model.").replace("self_attn.", "").replace("mlp.", "")


def _save(model: Policy, folder: Path, architecture: str, more: dict[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    named = {_public(name): value for name, value in model.state_dict().items()}
    tensors = {name: value.detach().to(torch.bfloat16).contiguous() for name, value in {**named, **more}.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    shape = model.shape
    config = {
        "architectures": [architecture],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rms_norm_eps": shape.epsilon,
        "hidden_act": "silu",
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": True,
        "pad_token_id": PAD,
        "eos_token_id": EOS,
        "bos_token_id": None,
        "torch_dtype": "bfloat16",
    }
    if shape.biased:
        config["attention_bias"] = True
    if more:
        config |= {"num_labels": 1, "id2label": {"0": "good"}, "label2id": {"good": 0}}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    _tokenizer(folder)


def _tokenizer(folder: Path) -> None:
    """One token a character. The chat template is next to nothing: texts as they are, a line end after the user's."""
    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *CHARACTERS))}
    special = [
        {"id": number, "content": token, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False} for number, token in enumerate(SPECIAL)
    ]  # fmt: skip
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }
    template = "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'user' %}{{ '\\n' }}{% endif %}{% endfor %}"
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
        "chat_template": template,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
