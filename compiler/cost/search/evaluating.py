"""What is known of a setting before it runs, and whoever says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ttsc.compiler.cost.search.space import Place, Setting
from ttsc.compiler.ir.nodes import Limit

Goal = Literal["accuracy", "latency", "cost"]
Resource = Literal["tokens", "calls", "latency", "flops", "eflops", "cost"]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of one input, on average. accuracy: None if the workload does not say; error: its standard error. tokens:
    computed and decoded, as a budget counts them. latency: seconds. cost: dollars. None: no price is known.
    source: "closed form", or "simulation of 64 inputs".
    """

    accuracy: float | None
    tokens: float
    calls: float
    latency: float
    flops: float | None = None
    eflops: float | None = None
    cost: float | None = None
    error: float = 0.0
    source: str = ""

    @property
    def exact(self) -> bool:
        """By a closed form."""
        return self.source == "closed form"

    def of(self, resource: str) -> float | None:
        value = getattr(self, resource)
        assert value is None or isinstance(value, float | int)
        return value


class Evaluator(Protocol):
    """Says the same of the same setting with the same effort."""

    @property
    def efforts(self) -> Sequence[int]:
        """How much it may look at, ascending: inputs to simulate. One value for a closed form."""

    def __call__(self, setting: Setting, effort: int) -> Predicted: ...


@dataclass(frozen=True, slots=True)
class Objective:
    """The goal, the limits on what an input takes on average, and the accuracy that is asked for."""

    goal: Goal
    limits: tuple[Limit, ...] = ()
    accuracy: float | None = None

    def feasible(self, found: Predicted) -> bool:
        """Whether it keeps all limits. What nobody can price keeps none."""
        for limit in self.limits:
            value = found.of(limit.resource)
            if value is None or value > limit.amount * (1 + 1e-9):
                return False
        return self.accuracy is None or (found.accuracy is not None and found.accuracy >= self.accuracy - 1e-9)

    def excess(self, found: Predicted) -> float:
        """By how much it misses what is asked, relative; 0 if it does not."""
        parts = [0.0]
        for limit in self.limits:
            value = found.of(limit.resource)
            parts.append(float("inf") if value is None else value / limit.amount - 1)
        if self.accuracy is not None:
            parts.append(self.accuracy - (found.accuracy or 0.0))
        return max(parts)

    def value(self, found: Predicted) -> float:
        """The greater the better."""
        if self.goal == "accuracy":
            return float("-inf") if found.accuracy is None else found.accuracy
        amount = found.of(self.goal)
        return float("-inf") if amount is None else -amount

    def rank(self, found: Predicted) -> tuple[float, float, float]:
        """Settings in order: feasible ones by the goal, then by tokens; the others by what they miss."""
        excess = self.excess(found)
        if not self.feasible(found):
            return (-1.0, -excess, 0.0)
        return (1.0, self.value(found), -found.tokens)


@dataclass(frozen=True, slots=True)
class Seen:
    """A setting that was evaluated."""

    place: Place
    setting: Setting
    predicted: Predicted
