"""How long an engine takes: the interface of everything that says so.

Implementations: the roofline of a model on a piece of hardware (`roofline.py`), and the fit of a measured engine
(`profile.py`). The simulated server advances by them, and closed forms sum them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a prompt in a prefill batch: `new` tokens are computed after `past` ones that are there."""

    new: int
    past: int


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """Seconds of one decode step: `fixed_s + per_context_s * (sum of the sequences' lengths)`.

    Linear in the context, so that many steps of an unchanged batch are summed at once.
    """

    fixed_s: float
    per_context_s: float

    def seconds(self, context: float) -> float:
        return self.fixed_s + self.per_context_s * context

    def span(self, rows: int, context: float, steps: int) -> float:
        """Seconds of so many steps in which each of `rows` sequences grows by one token a step."""
        grown = rows * steps * (steps - 1) / 2
        return steps * self.fixed_s + self.per_context_s * (steps * context + grown)


class StepModel(Protocol):
    """Seconds of a forward pass. A prefill batch stalls decoding (SGLang's default: no mixed chunks)."""

    def decode(self, rows: int) -> DecodeStep:
        """One token for each of `rows` sequences, 1 or more."""

    def prefill(self, chunks: Sequence[Chunk]) -> float:
        """One prefill batch, 1 chunk or more."""


@dataclass(frozen=True, slots=True)
class Overheads:
    """What a request costs beside forward passes, in seconds, in the order in which a request meets them.

    post_s: serial work for a message to the server; requests that are asked for at one instant go as one. request_s:
    serial work for each request on its way in (the client's and the server's: prompts, tokenizing, HTTP): while one is
    dealt with the next waits. token_s: by how much a decode step is longer for each sequence whose tokens are reported
    one by one. answer_s: serial work for each request's end, until the program has it. round_trip_s: what waits for
    nobody: half of it before the scheduler has a request, half of it after its last token.
    """

    request_s: float = 0.0
    token_s: float = 0.0
    round_trip_s: float = 0.0
    post_s: float = 0.0
    answer_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine takes at once. Tokens but for `running`, which counts sequences.

    kv_tokens: that its KV memory holds, prefix cache included. chunk_tokens: of one prompt in a prefill batch.
    prefill_tokens: of a whole prefill batch. page_tokens: prefixes are shared in whole pages.
    """

    kv_tokens: int
    running: int
    context_tokens: int
    chunk_tokens: int = 8192
    prefill_tokens: int = 16384
    page_tokens: int = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """An engine as the cost model sees it: one model on one piece of hardware, or a measured server.

    dollars_per_s: what it costs while it runs; None if unknown. source: where its numbers come from, for people:
    "roofline of Qwen3-8B on H100 SXM", "profile of 2026-11-22".
    """

    name: str
    model: str
    steps: StepModel
    limits: Limits
    overheads: Overheads = Overheads()
    dollars_per_s: float | None = None
    source: str = ""
