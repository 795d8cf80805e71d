"""What one request takes: its tokens, and the units in which what has a price is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

UNITS: Mapping[str, float] = {"flops": 1.0, "eflops": 1.0, "cost": 1e-12}
"""Resources with a price, and what one unit of each is: a FLOP, an eFLOP, 10^-12 dollars. Whole numbers of them add up
without rounding.
"""


class TokenUse(NamedTuple):
    """Of a request, or the most that it can come to: tokens of its prompt and of that found in the cache, tokens
    decoded, prompt tokens that are scored.
    """

    prompt: int
    cached: int = 0
    decoded: int = 0
    scored: int = 0

    @property
    def tokens(self) -> int:
        """Computed and decoded."""
        return max(0, self.prompt - self.cached) + self.decoded


NO_TOKENS = TokenUse(0)
