"""What a piece of a program costs at most: a quantity of each kind for each model role and extern."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ttsc.compiler.bounds.expr import ONE, ZERO, Expr, maximum

Kind = Literal["generate", "score", "reward", "embed", "prefill", "decode", "scored", "extern", "live"]
Quantity = tuple[Kind, str]
"""generate, score, reward, embed: requests of a model role; prefill, decode, scored: its tokens; extern: calls; live:
generations in flight at once.
"""
LIVE: Quantity = ("live", "")


@dataclass(frozen=True, slots=True)
class Cost:
    """Quantities that are not 0."""

    parts: Mapping[Quantity, Expr] = field(default_factory=dict)

    def __add__(self, other: Cost) -> Cost:
        if not self.parts or not other.parts:
            return self if self.parts else other
        total = dict(self.parts)
        for quantity, amount in other.parts.items():
            total[quantity] = total.get(quantity, ZERO) + amount
        return Cost(total)

    def times(self, count: Expr) -> Cost:
        if count == ONE or not self.parts:
            return self
        return self.mapped(lambda amount: count * amount)

    def mapped(self, change: Callable[[Expr], Expr]) -> Cost:
        changed = {quantity: change(amount) for quantity, amount in self.parts.items()}
        return Cost({quantity: amount for quantity, amount in changed.items() if amount != ZERO})

    def then(self, other: Cost) -> Cost:
        """The sum of two that are never in flight together."""
        both = self + other
        if LIVE not in self.parts or LIVE not in other.parts:
            return both
        return Cost({**both.parts, LIVE: maximum(self.parts[LIVE], other.parts[LIVE])})

    @property
    def requests(self) -> bool:
        """Whether anything is asked of a model or an extern."""
        return bool(self.parts)


NO_COST = Cost()


def larger(a: Cost, b: Cost) -> Cost:
    """At most either of two, quantity by quantity."""
    if not a.parts or not b.parts:
        return a if a.parts else b
    names = dict.fromkeys((*a.parts, *b.parts))
    return Cost({name: maximum(a.parts.get(name, ZERO), b.parts.get(name, ZERO)) for name in names})
