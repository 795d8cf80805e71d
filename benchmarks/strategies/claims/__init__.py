"""What of the published claims holds on the test bed, from the measured data: python -m benchmarks.strategies.claims"""

from __future__ import annotations

from benchmarks.strategies.claims import resampling, search, stopping, verifiers, voting
from benchmarks.strategies.claims.claim import Claim, Found

EXAMINED = (
    *voting.CLAIMS,
    *search.CLAIMS[:1],
    *stopping.CLAIMS,
    *resampling.CLAIMS,
    *verifiers.CLAIMS,
    *search.CLAIMS[1:],
)
"""In the order of the page."""


def claims(found: Found) -> list[Claim]:
    """All of them."""
    return [each.of(found) for each in EXAMINED]


def claims_section(found: Found) -> str:
    """The section of the page."""
    head = (
        "## What holds\n\nIntervals are of 95 %, over problems (bootstrap of paired differences). A claim that does "
        "not hold here may hold elsewhere: the figures say why. Two were looked at in a first setting, did not hold "
        "there, and hold in one that was added after that: windows that agree (temperature 0.5 after 1.0) and ETS (a "
        "price of 1.05 after the others). For the weaker verifier costs of 2 and 4 were added after 1.\n"
    )
    return "\n".join([head, *(each.text() for each in claims(found))])
