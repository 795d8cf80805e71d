"""What simulated requests say: the interface between the simulated server, which keeps time, and a workload.

An outcome is a function of the request and of where in the program it comes from (`Origin`), never of timing: a
request that is sent again, hedged or served by another replica says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ttsc.backends.protocol import (
    EmbedRequest,
    FinishKind,
    GenerateRequest,
    RewardRequest,
    ScoreRequest,
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one request decodes if nobody aborts it: `finish` is never "abort".

    `ids` include the token that ends a turn or those of the stop string, at most `max_tokens` of them. `matched` is
    the stop string, or the id of the end token. `logprobs`, `confidences`: as many as ids, if they are asked for.
    """

    ids: tuple[int, ...]
    finish: FinishKind
    matched: str | int | None
    logprobs: tuple[float, ...] | None = None
    confidences: tuple[float, ...] | None = None


class Outcomes(Protocol):
    """Deterministic in the workload, its seed, the request's own seed and its ids."""

    def decode(self, request: GenerateRequest) -> Decoded:
        """The whole output, within max_tokens, stop strings, schema and ignore_eos."""

    def scores(self, request: ScoreRequest) -> tuple[float, ...]:
        """Log-probabilities of `input_ids[start:]`."""

    def rewards(self, request: RewardRequest) -> tuple[float, ...]:
        """Raw outputs of a reward model's head: one or more."""

    def embed(self, request: EmbedRequest) -> tuple[float, ...]:
        """A vector of length 1."""
