"""The value of `abstain`: an answer withheld on purpose, which is not the same as an answer that is missing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abstain:
    """All instances are equal. In a result it reads as none, and the result says `abstained`."""


ABSTAINED = Abstain()
