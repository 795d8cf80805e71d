"""Claims about stopping early: the answer of the full vote from fewer tokens, and losers of a race that are aborted."""

from __future__ import annotations

from benchmarks.strategies.claims.claim import Examined, Found
from benchmarks.strategies.statistics import Estimate, ratio
from benchmarks.testbed.comparing import wilson

SAVING = 0.30
"""Of the full vote's decoded tokens, at least."""
CONFIDENCE = 0.95
_FULL = "vote-of-32"


def _saved(stopped: str, full: str, found: Found) -> Estimate:
    """Share of the decoded tokens."""
    left = ratio(found[stopped].figures["decoded"], found[full].figures["decoded"])
    return Estimate(1 - left.value, 1 - left.high, 1 - left.low)


def _same(ours: str, theirs: str, found: Found) -> tuple[int, int]:
    pairs = list(zip(found[ours].values, found[theirs].values, strict=True))
    return sum(a == b for a, b in pairs), len(pairs)


def _exact(found: Found) -> tuple[bool, str]:
    same, size = _same("vote-in-waves", _FULL, found)
    saved = _saved("vote-in-waves", _FULL, found)
    said = (
        f"Of {size} problems {same} have the answer of the full vote of 32, from the same samples, where a vote ends "
        f"as soon as no "
        f"outstanding one can change it. Two samples at a time save {saved.percent()} of the decoded tokens. An "
        f"exact rule cannot stop "
        "before more than half of the votes agree."
    )
    return same == size, said


def _statistical(rule: str, found: Found) -> tuple[bool, str]:
    same, size = _same(rule, _FULL, found)
    low, high = wilson(same, size)
    saved = _saved(rule, _FULL, found)
    gain = found[rule].mean("right") - found[_FULL].mean("right")
    said = (
        f"{same / size:.1%} ({low:.1%} to {high:.1%}) of the answers are those of the vote of all 32, and "
        f"{saved.percent()} of the decoded "
        f"tokens are saved; {100 * gain:+.1f} % right answers. Wanted: {CONFIDENCE:.0%} of the answers within the "
        f"interval, and {SAVING:.0%} saved."
    )
    return high >= CONFIDENCE and saved.low >= SAVING, said


def _adaptive(found: Found) -> tuple[bool, str]:
    return _statistical("vote-adaptive", found)


def _windows(found: Found) -> tuple[bool, str]:
    return _statistical("vote-windows", found)


def _first_finish(found: Found) -> tuple[bool, str]:
    stopped = found["first_finish"]
    aborted = stopped.figures["aborted"]
    share = sum(each > 0 for each in aborted) / len(aborted)
    saved = _saved("first_finish", "first_finish-unstopped", found)
    same, size = _same("first_finish", "first_finish-unstopped", found)
    said = (
        f"Losers were aborted in {share:.0%} of the problems, {stopped.mean('aborted'):.2f} of "
        f"{stopped.settings['n']} on average; "
        f"{saved.percent()} of the decoded tokens are saved, with the same answer in {same} of {size} problems. "
        f"Solutions of one problem "
        "have a line for each operation, so most of a race ends in a tie: what can be saved here is little."
    )
    return sum(aborted) > 0 and same == size, said


CLAIMS = (
    Examined("Exact early stopping keeps the answer, always", ("vote-in-waves", _FULL), _exact),
    Examined("Adaptive-Consistency keeps the answer within its confidence", ("vote-adaptive", _FULL), _adaptive),
    Examined("Windows that agree (ESC) keep the answer", ("vote-windows", _FULL), _windows),
    Examined("First finish aborts the losers", ("first_finish", "first_finish-unstopped"), _first_finish),
)
