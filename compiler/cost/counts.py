"""How much is asked of an engine, before any model of what that takes.

Amounts are floats, since expectations are; of a single request they are whole numbers. `decode_reads` and
`prefill_pairs` are what attention costs depend on: they grow with the square of a length, so that they can't be had
from mean lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over requests. Tokens, but for `requests`, `decode_reads` and `prefill_pairs`.

    prompt_tokens: of all prompts; of these cached_tokens were found in the prefix cache. decoded_tokens: those of
    aborted requests included. scored_tokens: whose log-probabilities were asked for. decode_reads: (token, context
    token) pairs of decoding: the sum over decoded tokens of the sequence's length at that step. prefill_pairs: (token,
    context token) pairs of computed prompt tokens, causal: each token with those before it and itself.
    """

    requests: float = 0.0
    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    decoded_tokens: float = 0.0
    scored_tokens: float = 0.0
    decode_reads: float = 0.0
    prefill_pairs: float = 0.0

    @property
    def computed_tokens(self) -> float:
        """Prompt tokens that were not cached."""
        return self.prompt_tokens - self.cached_tokens

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def times(self, factor: float) -> Counts:
        return Counts(*(getattr(self, each.name) * factor for each in fields(self)))


def request_counts(prompt: int, cached: int, decoded: int, scored: int = 0) -> Counts:
    """One request: `cached` of `prompt` tokens found, then `decoded` tokens one by one.

    The token decoded last is never read, and the first one comes with the prefill: so step i of decoded - 1 reads
    prompt + i tokens.
    """
    steps = max(0, decoded - 1)
    return Counts(
        requests=1,
        prompt_tokens=prompt,
        cached_tokens=cached,
        decoded_tokens=decoded,
        scored_tokens=scored,
        decode_reads=steps * prompt + steps * (steps + 1) / 2,
        prefill_pairs=(prompt * (prompt + 1) - cached * (cached + 1)) / 2,
    )
