"""What passes save, as rows of a table, and those that save nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.estimates.figures import Saving
from ttsc.explaining.quantities import amount, seconds


def has_effect(saving: Saving) -> bool:
    """Whether it changes anything that is shown."""
    figures = (saving.requests, saving.computed_tokens, saving.decoded_tokens)
    return not saving.same and (any(abs(each) >= 0.05 for each in figures) or abs(saving.seconds) >= 1e-6)


def savings_rows(savings: Sequence[Saving]) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            each.name,
            _signed(each.requests),
            _signed(each.computed_tokens),
            _signed(each.decoded_tokens),
            seconds(each.seconds),
        )
        for each in savings
        if has_effect(each)
    ]


def idle_passes(savings: Sequence[Saving]) -> tuple[str, ...]:
    return tuple(each.name for each in savings if not has_effect(each))


def _signed(value: float) -> str:
    return "0" if abs(value) < 0.05 else amount(value)
