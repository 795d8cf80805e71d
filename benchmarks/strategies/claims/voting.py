"""Claims about voting: majority against one sample, rewards as weights, several temperatures."""

from __future__ import annotations

from benchmarks.strategies.claims.answers import coverage, golds
from benchmarks.strategies.claims.claim import Examined, Found, share
from benchmarks.strategies.statistics import better, difference, mean, p_text

_SEVERAL = "pool-temperatures"
_ONE = tuple(f"pool-temperature-{each}" for each in ("0.4", "0.6", "0.8", "1.0", "1.2"))


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


def _temperatures(found: Found) -> tuple[bool, str, tuple[tuple[str, ...], ...]]:
    several = found[_SEVERAL]
    right = golds(several)
    ours = coverage(several, right)
    table: list[tuple[str, ...]] = [("temperature", "covered", "the grid's lead", "McNemar")]
    leads = []
    for label in _ONE:
        theirs = coverage(found[label], right)
        lead = difference(ours, theirs)
        leads.append(lead)
        temperature = found[label].settings["temperatures"][0]
        table.append((f"{temperature}", mean(theirs).percent(), lead.percent(sign=True), p_text(better(ours, theirs))))
    size, grid = several.settings["n"], several.settings["temperatures"]
    said = (
        f"Of {size} samples at the {len(grid)} temperatures of the published grid ({grid[0]} to {grid[-1]}) in turn, "
        f"some are right in {mean(ours).percent()} of the problems. Of as many at one temperature:"
    )
    return all(each.low > 0 for each in leads), said, tuple(table)


CLAIMS = (
    Examined("Majority beats a single sample", ("single", "self_consistency"), _majority),
    Examined("Verifier-weighted voting beats majority", ("weighted_best_of_n", "self_consistency"), _weighted),
    Examined(
        "Several temperatures cover more problems than one",
        (_SEVERAL, *_ONE),
        _temperatures,
    ),
)
