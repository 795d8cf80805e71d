"""Claims about voting: majority against one sample, rewards as weights, several temperatures."""

from __future__ import annotations

from benchmarks.strategies.claims.answers import coverage, golds
from benchmarks.strategies.claims.claim import Examined, Found, share
from benchmarks.strategies.statistics import better, difference, mean, p_text


def _against(ours: str, theirs: str, found: Found) -> tuple[bool, str]:
    gain = difference(found[ours].right, found[theirs].right)
    p = better(found[ours].right, found[theirs].right)
    said = (
        f"`{ours}` is right in {share(found[ours])}, `{theirs}` in {share(found[theirs])}: "
        f"{gain.percent(sign=True)}, McNemar {p_text(p)}."
    )
    return gain.low > 0 and p < 0.05, said


def _majority(found: Found) -> tuple[bool, str]:
    return _against("self_consistency", "single", found)


def _weighted(found: Found) -> tuple[bool, str]:
    return _against("weighted_best_of_n", "self_consistency", found)


def _temperatures(found: Found) -> tuple[bool, str]:
    one, several = found["pool-one-temperature"], found["pool-temperatures"]
    right = golds(one)
    covered = [coverage(each, right) for each in (several, one)]
    gain = difference(*covered)
    p = better(*covered)
    size, temperatures = several.settings["n"], several.settings["temperatures"]
    said = (
        f"Of {size} samples at temperatures {', '.join(map(str, temperatures))} in turn some are right in "
        f"{mean(covered[0]).percent()} of the problems, of {size} at {one.settings['temperatures'][0]} in "
        f"{mean(covered[1]).percent()}: {gain.percent(sign=True)}, McNemar {p_text(p)}."
    )
    return gain.low > 0, said


CLAIMS = (
    Examined("Majority beats a single sample", ("single", "self_consistency"), _majority),
    Examined("Verifier-weighted voting beats majority", ("weighted_best_of_n", "self_consistency"), _weighted),
    Examined(
        "Several temperatures cover more problems than one",
        ("pool-one-temperature", "pool-temperatures"),
        _temperatures,
    ),
)
