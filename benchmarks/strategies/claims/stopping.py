"""Claims about stopping early: the answer of the full vote from fewer tokens, and losers of a race that are aborted."""

from __future__ import annotations

from collections.abc import Collection

from benchmarks.strategies.claims.claim import Examined, Found, share
from benchmarks.strategies.statistics import Estimate, ratio
from benchmarks.testbed.comparing import wilson
from benchmarks.testbed.task import OPERATIONS

SAVING = 0.30
"""Of the full vote's decoded tokens, at least."""
CONFIDENCE = 0.95
_FULL = "vote-of-32"
_COOL = 0.5
"""The temperature of ESC's own files."""
_TEMPERATURES = {"": 1.0, "-cool": _COOL}
"""By the end of a label."""


def _saved(stopped: str, full: str, found: Found) -> Estimate:
    """Share of the decoded tokens."""
    left = ratio(found[stopped].figures["decoded"], found[full].figures["decoded"])
    return Estimate(1 - left.value, 1 - left.high, 1 - left.low)


def _same(ours: str, theirs: str, found: Found) -> tuple[int, int]:
    pairs = list(zip(found[ours].values, found[theirs].values, strict=True))
    return sum(a == b for a, b in pairs), len(pairs)


def _by_length(stopped: str, full: str, found: Found) -> str:
    """The saving on problems of each number of operations, of which there are as many: they take turns."""
    least, most = OPERATIONS
    kinds = most - least + 1
    ours, theirs = (found[each].figures["decoded"] for each in (stopped, full))
    shares = [1 - sum(ours[i::kinds]) / sum(theirs[i::kinds]) for i in range(kinds)]
    return f"{', '.join(f'{100 * each:.0f}' for each in shares)} % of problems of {least} to {most} operations"


def _exact(found: Found) -> tuple[bool, str]:
    said, kept = "", True
    for end, temperature in _TEMPERATURES.items():
        stopped, full = f"vote-in-waves{end}", f"{_FULL}{end}"
        same, size = _same(stopped, full, found)
        kept = kept and same == size
        said += (
            f"At temperature {temperature} {same} of {size} problems have the answer of the full vote of 32, which is "
            f"right in {share(found[full])}; {_saved(stopped, full, found).percent()} of the decoded tokens are saved "
            f"({_by_length(stopped, full, found)}). "
        )
    said += (
        "The samples are the same. The vote ends as soon as no outstanding one can change it, two at a time: never "
        "before more than half of the votes agree, so what it saves depends on how sure the model is."
    )
    return kept, said


def _statistical(rule: str, judged: Collection[float], found: Found) -> tuple[bool, str]:
    """`judged`: the temperatures at which it is to hold."""
    said, holds = "", True
    for end, temperature in _TEMPERATURES.items():
        stopped, full = f"{rule}{end}", f"{_FULL}{end}"
        same, size = _same(stopped, full, found)
        low, high = wilson(same, size)
        saved = _saved(stopped, full, found)
        gain = found[stopped].mean("right") - found[full].mean("right")
        holds = holds and (temperature not in judged or (high >= CONFIDENCE and saved.low >= SAVING))
        said += (
            f"At temperature {temperature} {100 * same / size:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of the "
            f"answers are those of the vote of all 32, and {saved.percent()} of the decoded tokens are saved "
            f"({_by_length(stopped, full, found)}); {100 * gain:+.1f} % right answers. "
        )
    wanted = f"Wanted: {CONFIDENCE:.0%} of the answers within the interval, and surely {SAVING:.0%} saved"
    return holds, f"{said}{wanted}, at {' and '.join(map(str, judged))}."


def _adaptive(found: Found) -> tuple[bool, str]:
    return _statistical("vote-adaptive", tuple(_TEMPERATURES.values()), found)


def _windows(found: Found) -> tuple[bool, str]:
    return _statistical("vote-windows", (_COOL,), found)


def _first_finish(found: Found) -> tuple[bool, str]:
    stopped = found["first_finish"]
    aborted = stopped.figures["aborted"]
    races = sum(each > 0 for each in aborted) / len(aborted)
    saved = _saved("first_finish", "first_finish-unstopped", found)
    same, size = _same("first_finish", "first_finish-unstopped", found)
    said = (
        f"Losers were aborted in {races:.0%} of the problems, {stopped.mean('aborted'):.2f} of "
        f"{stopped.settings['n']} on average; "
        f"{saved.percent()} of the decoded tokens are saved, with the same answer in {same} of {size} problems. "
        f"Solutions of one problem "
        "have a line for each operation, so most of a race ends in a tie: what can be saved here is little."
    )
    return sum(aborted) > 0 and same == size, said


def _labels(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in (*names, _FULL) for end in _TEMPERATURES)


CLAIMS = (
    Examined("Exact early stopping keeps the answer, always", _labels("vote-in-waves"), _exact),
    Examined("Adaptive-Consistency keeps the answer within its confidence", _labels("vote-adaptive"), _adaptive),
    Examined("Windows that agree (ESC) keep the answer", _labels("vote-windows"), _windows),
    Examined("First finish aborts the losers", ("first_finish", "first_finish-unstopped"), _first_finish),
)
