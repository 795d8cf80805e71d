"""What a search has looked at: each place once per effort, and what that took of the requests it may simulate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ttsc.compiler.cost.search.evaluating import Evaluator, Predicted, Seen
from ttsc.compiler.cost.search.space import Place, Space


@dataclass
class Memory:
    """`requests`: simulated so far, by evaluators that simulate: an effort's inputs with their calls."""

    space: Space
    evaluator: Evaluator
    known: dict[tuple[Place, int], Predicted] = field(default_factory=dict)
    requests: float = 0.0

    def look(self, place: Place, effort: int) -> Predicted:
        key = (place, effort)
        if key not in self.known:
            found = self.evaluator(self.space.setting(place), effort)
            self.known[key] = found
            self.requests += found.calls * effort
        return self.known[key]

    def seen(self, effort: int) -> tuple[Seen, ...]:
        return tuple(
            Seen(place, self.space.setting(place), found) for (place, at), found in self.known.items() if at == effort
        )

    @property
    def places(self) -> int:
        """How many settings were looked at, with any effort."""
        return len({place for place, _ in self.known})

    def calls(self, place: Place) -> float:
        """How many requests an input asks there: as seen, else by a fit of their logarithm over those of the ordered
        axes' indices, from the places seen so far.
        """
        seen: dict[Place, float] = {at: found.calls for (at, _), found in self.known.items()}
        if place in seen or not seen:
            return seen.get(place, 1.0)
        rows = np.array([self._row(at) for at in seen])
        values = np.log(np.maximum(1.0, np.array(list(seen.values()))))
        mean = float(values.mean())
        centred, here = rows - rows.mean(axis=0), np.array(self._row(place)) - rows.mean(axis=0)
        # A little ridge: of an axis that did not vary yet nothing is known, and nothing is assumed.
        weights = np.linalg.solve(centred.T @ centred + 0.01 * np.eye(rows.shape[1]), centred.T @ (values - mean))
        return math.exp(min(30.0, mean + float(here @ weights)))

    def _row(self, place: Place) -> list[float]:
        ordered = [math.log1p(at) if axis.ordered else 0.0 for axis, at in zip(self.space.axes, place, strict=True)]
        return [*ordered, 0.0]
