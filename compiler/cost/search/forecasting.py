"""An evaluator by closed forms: a forecast of a known pattern, with prices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ttsc.compiler.cost.closed.prediction import Expected, Forecast
from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.prices import Price, Rates
from ttsc.compiler.cost.search.evaluating import Predicted
from ttsc.compiler.cost.search.space import Setting


class ClosedForm:
    """`prices`: by model role; a role that has none leaves what depends on it unknown. `fixed`: values of the
    parameters that are no axes.
    """

    def __init__(self, forecast: Forecast, prices: Mapping[str, Price], fixed: Setting) -> None:
        self._forecast = forecast
        self._prices = prices
        self._fixed = fixed

    @property
    def efforts(self) -> Sequence[int]:
        return (len(self._forecast.workload.questions),)

    def __call__(self, setting: Setting, effort: int) -> Predicted:
        return self.predicted(self._forecast.at({**self._fixed, **setting}))

    @property
    def forecast(self) -> Forecast:
        return self._forecast

    def whole(self, setting: Setting) -> Setting:
        """With the parameters that are no axes."""
        return {**self._fixed, **setting}

    def predicted(self, found: Expected) -> Predicted:
        """With prices."""
        total = sum(found.counts.values(), Counts())
        return Predicted(
            accuracy=found.accuracy,
            tokens=total.computed_tokens + total.decoded_tokens,
            calls=total.requests,
            latency=found.seconds,
            flops=priced("flops", found.counts, self._prices),
            eflops=priced("eflops", found.counts, self._prices),
            cost=priced("cost", found.counts, self._prices),
            error=found.error,
            source="closed form",
        )


def priced(resource: str, counts: Mapping[str, Counts], prices: Mapping[str, Price]) -> float | None:
    """What counts by role cost of a resource; None if a role has no price for it."""
    parts = []
    for role, each in counts.items():
        rates = prices[role].rates.get(resource) if role in prices else None
        if rates is None:
            return None
        parts.append(_of(rates, each))
    return math.fsum(parts)


def _of(rates: Rates, counts: Counts) -> float:
    """A price is linear in a request's tokens and pairs, so that of sums is the sum."""
    return (
        rates.computed * counts.computed_tokens
        + rates.cached * counts.cached_tokens
        + rates.decoded * counts.decoded_tokens
        + rates.scored * counts.scored_tokens
        + rates.prefill_pair * counts.prefill_pairs
        + rates.decode_read * counts.decode_reads
    )
