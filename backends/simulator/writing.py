"""The texts of simulated models, as ids: so many tokens of filler, a mark at the beginning of each step, an answer.

A text is cut here as an engine cuts it: at a stop string, at max_tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ttsc.backends.protocol import Sampling
from ttsc.backends.simulator.latents import Latent
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.backends.simulator.tokenizer import END, FILLER_IDS, decoded

_TAPE_TOKENS = 1 << 14
_TAPE = tuple(random.Random(_TAPE_TOKENS).choices(FILLER_IDS, k=_TAPE_TOKENS)) * 2
"""Filler is a part of one tape, so that making it costs nothing."""


def filler(chance: int, tokens: int) -> tuple[int, ...]:
    """So many words; where on the tape they begin depends on `chance`."""
    start = chance * 2654435761 % _TAPE_TOKENS
    if tokens <= _TAPE_TOKENS:
        return _TAPE[start : start + max(0, tokens)]
    turns = tokens // _TAPE_TOKENS + 1
    return (_TAPE[start : start + _TAPE_TOKENS] * turns)[:tokens]


def steps(latents: Sequence[Latent], tokens: int, delimiter: Sequence[int], end: Sequence[int]) -> list[int]:
    """Steps of about equal length with their marks, delimiters between them and `end` after the last: `tokens` in all,
    or what marks, delimiters and end take if that is more.
    """
    count = len(latents)
    free = max(0, tokens - count - len(delimiter) * (count - 1) - len(end))
    ids: list[int] = []
    for place, latent in enumerate(latents):
        if place:
            ids += delimiter
        ids.append(latent.mark())
        ids += filler(latent.chance + 7 * place, free * (place + 1) // count - free * place // count)
    ids += end
    return ids


def settled(ids: list[int], sampling: Sampling, ends: bool) -> Decoded:
    """What an engine makes of it. `ends`: the model ends its turn here; else it would go on without end."""
    cuts = [(count, stop) for stop in sampling.stop if (count := _reaches(ids, stop)) is not None]
    if cuts and min(cuts)[0] <= sampling.max_tokens:
        count, stop = min(cuts)
        return Decoded(tuple(ids[:count]), "stop", stop)
    if ends and not sampling.ignore_eos and len(ids) < sampling.max_tokens:
        return Decoded((*ids, END), "eos", END)
    missing = sampling.max_tokens - len(ids)
    if missing > 0:
        ids = [*ids, *filler(len(ids) + ids[0] if ids else 0, missing)]
    return Decoded(tuple(ids[: sampling.max_tokens]), "length", None)


def _reaches(ids: Sequence[int], text: str) -> int | None:
    """How many ids it takes until `text` is said; None if it never is."""
    if text not in decoded(ids):
        return None
    low, high = 0, len(ids)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if text in decoded(ids[:middle]) else (middle, high)
    return high
