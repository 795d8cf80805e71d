"""Samples of a test bed's model without a server: many at once, with kept keys and values, from a seed.

Training data and the numbers of the cards need tens of thousands of samples; this makes some 100 a second on a core.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.testbed.model import EOS, PAD, Layer, Policy, rotated

_AT_ONCE = 768


@dataclass(slots=True)
class _Kept:
    """Keys and values [batch, kv heads, room, head] of one layer."""

    keys: Tensor
    values: Tensor


def sampled(
    model: Policy, prompts: list[list[int]], most: int, seed: int, temperature: float = 1.0, at_once: int = _AT_ONCE
) -> list[list[int]]:
    """A continuation of each prompt, of up to `most` tokens; the last one is EOS where the model ended it.

    Prompts of like length go together, so that little is spent on padding; results come in the order of `prompts`.
    """
    numbers = torch.Generator().manual_seed(seed)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    results: list[list[int]] = [[] for _ in prompts]
    with torch.inference_mode():
        for start in range(0, len(order), at_once):
            rows = order[start : start + at_once]
            made = _batch(model, [prompts[i] for i in rows], most, temperature, numbers)
            for i, ids in zip(rows, made, strict=True):
                results[i] = ids
    return results


def _batch(
    model: Policy, prompts: list[list[int]], most: int, temperature: float, numbers: torch.Generator
) -> list[list[int]]:
    """One batch. Prompts are padded on the left: positions are relative, so only the attention must know."""
    length = max(map(len, prompts))
    room = length + most - 1
    ids = torch.full((len(prompts), length), PAD)
    seen = torch.zeros(len(prompts), room, dtype=torch.bool)
    for i, prompt in enumerate(prompts):
        ids[i, length - len(prompt) :] = torch.tensor(prompt)
        seen[i, length - len(prompt) :] = True
    shape = model.shape
    size = (len(prompts), shape.kv_heads, room, shape.head)
    kept = [_Kept(torch.zeros(size), torch.zeros(size)) for _ in model.layers]
    rows, results = list(range(len(prompts))), [[] for _ in prompts]  # type: ignore[var-annotated]
    at = 0
    while True:
        logits = _forward(model, ids, at, kept, seen)
        at += ids.shape[1]
        drawn = _drawn(logits, temperature, numbers)
        for row, token in zip(rows, drawn.tolist(), strict=True):
            if not results[row] or results[row][-1] != EOS:
                results[row].append(token)
        if at >= room:
            return results
        open_rows = [j for j, row in enumerate(rows) if results[row][-1] != EOS]
        if not open_rows:
            return results
        ids = drawn[:, None]
        if len(open_rows) < 0.75 * len(rows):
            picked = torch.tensor(open_rows)
            rows, ids, seen = [rows[j] for j in open_rows], ids[picked], seen[picked]
            for each in kept:
                each.keys, each.values = each.keys[picked], each.values[picked]


def _drawn(logits: Tensor, temperature: float, numbers: torch.Generator) -> Tensor:
    """A token [batch] by logits [batch, vocabulary]: the likeliest at temperature 0."""
    if temperature == 0.0:
        return logits.argmax(-1)
    # Gumbel's trick: the largest of logits with such noise is a draw by their softmax.
    noise = torch.empty_like(logits).exponential_(generator=numbers).clamp_min(1e-20).log()
    return (logits / temperature - noise).argmax(-1)


def _forward(model: Policy, ids: Tensor, at: int, kept: list[_Kept], seen: Tensor) -> Tensor:
    """Logits [batch, vocabulary] after the last of `ids` [batch, new], which stand at positions `at` and on."""
    new, end = ids.shape[1], at + ids.shape[1]
    x = model.embed_tokens(ids)
    cos, sin = model.cos[at:end], model.sin[at:end]
    causal = torch.arange(end)[None, :] <= torch.arange(at, end)[:, None]
    mask = (causal[None] & seen[:, None, :end])[:, None, None]
    # A padded position sees itself, for a row of nothing but -inf has no softmax; nobody sees it.
    mask = mask | torch.eye(end, dtype=torch.bool)[at:end] if new > 1 else mask
    for layer, held in zip(model.layers, kept, strict=True):
        x = _layer(layer, x, cos, sin, held, mask, at)  # type: ignore[arg-type]
    return functional.linear(model.norm(x[:, -1]), model.embed_tokens.weight)


def _layer(layer: Layer, x: Tensor, cos: Tensor, sin: Tensor, kept: _Kept, mask: Tensor, at: int) -> Tensor:
    batch, new, width = x.shape
    shape, end = layer.shape, at + new
    y = layer.input_layernorm(x)
    q = rotated(layer.q_proj(y).view(batch, new, shape.heads, shape.head).transpose(1, 2), cos, sin)
    k = rotated(layer.k_proj(y).view(batch, new, shape.kv_heads, shape.head).transpose(1, 2), cos, sin)
    v = layer.v_proj(y).view(batch, new, shape.kv_heads, shape.head).transpose(1, 2)
    kept.keys[:, :, at:end], kept.values[:, :, at:end] = k, v
    groups = shape.heads // shape.kv_heads
    q = q.reshape(batch, shape.kv_heads, groups * new, shape.head)
    scores = (q @ kept.keys[:, :, :end].mT / shape.head**0.5).view(batch, shape.kv_heads, groups, new, end)
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1).view(batch, shape.kv_heads, groups * new, end)
    mixed = (weights @ kept.values[:, :, :end]).view(batch, shape.heads, new, shape.head)
    x = x + layer.o_proj(mixed.transpose(1, 2).reshape(batch, new, width))
    y = layer.post_attention_layernorm(x)
    x = x + layer.down_proj(functional.silu(layer.gate_proj(y)) * layer.up_proj(y))
    result: Tensor = x
    return result
