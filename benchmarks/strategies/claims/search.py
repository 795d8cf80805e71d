"""Claims about search and about two models: equal tokens, shared nodes, and the target's tokens."""

from __future__ import annotations

import math

import numpy

from benchmarks.strategies.claims.claim import Examined, Found, share
from benchmarks.strategies.data_file import Measured
from benchmarks.strategies.statistics import difference, mean, ratio

_SAMPLED = ("best_of_n-2", "best_of_n-4", "best_of_n-8", "best_of_n", "best_of_n-32")
_SEARCHES = (
    "beam_search",
    "beam_search-unique",
    "lookahead_search",
    "diverse_tree_search",
    "reward_balanced_search",
    "efficient_tree_search",
    "a_star",
    "particle_filter",
    "particle_gibbs",
    "entropic_particle_filter",
    "parallel_tempering",
    "qalign",
    "adaptive_branching_search",
    "tree_search",
    "best_first_search",
    "tree_of_thoughts",
)
_PRUNED = (
    "efficient_tree_search",
    "efficient_tree_search-shared-1.05",
    "efficient_tree_search-shared-1.1",
    "efficient_tree_search-shared-1.25",
    "efficient_tree_search-shared-2",
)
"""ETS at the published price of a node, and at greater ones."""
NODES = 1.8
"""How many times fewer nodes ETS is to keep."""
MARGIN = 0.05
"""Accuracy that may be lost where none is to be lost: the interval must lie above minus this."""


def at_tokens(points: list[tuple[float, numpy.ndarray]], tokens: float) -> numpy.ndarray | None:
    """Expected right answers by problem of sampling at so many tokens: between two measured sizes in the logarithm of
    tokens. None outside of what was measured.
    """
    points = sorted(points, key=lambda each: each[0])
    for (low, below), (high, above) in zip(points, points[1:], strict=False):
        if low <= tokens <= high:
            part = math.log(tokens / low) / math.log(high / low)
            return (1 - part) * below + part * above
    return None


def _decoded(run: Measured) -> float:
    return run.mean("policy.decoded") if "policy.decoded" in run.roles else run.mean("decoded")


def _search(found: Found) -> tuple[bool, str, tuple[tuple[str, ...], ...]]:
    sampled = [found[each] for each in _SAMPLED]
    by_decoded = [(_decoded(run), numpy.array(run.right, float)) for run in sampled]
    by_all = [(run.tokens, numpy.array(run.right, float)) for run in sampled]
    table: list[tuple[str, ...]] = [
        ("search", "right", "decoded", "against best-of-n of as many decoded tokens", "all tokens", "of as many tokens")
    ]
    gains: dict[str, tuple[float, float]] = {}
    for label in _SEARCHES:
        run = found.get(label)
        if run is None or run.models.get("policy") != "policy":
            continue
        shown = []
        for place, (points, tokens) in enumerate(((by_decoded, _decoded(run)), (by_all, run.tokens))):
            theirs = at_tokens(points, tokens)
            if theirs is None:
                shown.append("beyond what was sampled")
                continue
            gain = mean(numpy.array(run.right) - theirs)
            shown.append(gain.percent(sign=True))
            if place == 0:
                gains[label] = gain.low, gain.high
        table.append((f"`{label}`", share(run), f"{_decoded(run):,.0f}", shown[0], f"{run.tokens:,.0f}", shown[1]))
    ahead = [f"`{label}`" for label, (low, _) in gains.items() if low > 0]
    behind = [f"`{label}`" for label, (_, high) in gains.items() if high < 0]
    said = (
        "Against best-of-n by the same rewards, between its measured sizes "
        f"({', '.join(share(run) for run in sampled)} for n = "
        f"{', '.join(str(run.settings['n']) for run in sampled)}). At equal decoded "
        f"tokens ahead: {', '.join(ahead) or 'none'}; behind: {', '.join(behind) or 'none'}; the others do not "
        f"differ surely. Each interval "
        "stands for itself, and best-of-n reads each solution's reward once where a search reads one at every step."
    )
    return bool(ahead), said, tuple(table)


def _nodes(found: Found) -> tuple[bool, str]:
    theirs = found["reward_balanced_search"]
    said = [
        f"REBASE is right in {share(theirs)}, with {theirs.mean('nodes'):,.0f} nodes a problem, summed over levels."
    ]
    held = []
    for label in _PRUNED:
        ours = found[label]
        fewer = ratio(theirs.figures["nodes"], ours.figures["nodes"])
        gain = difference(ours.right, theirs.right)
        held.append(fewer.value >= NODES and gain.low > -MARGIN)
        said.append(
            f"`{label}` of the same width: {share(ours)} ({gain.percent(sign=True)}), {fewer.number()} times fewer "
            f"nodes ({ours.mean('nodes'):,.0f})."
        )
    said.append(f"Wanted of one of these prices: {NODES} times, and surely less than {MARGIN:.0%} lost.")
    return any(held), " ".join(said)


def _drafts(found: Found) -> tuple[bool, str]:
    ours, alone = found["speculative_steps"], found["target-alone"]
    gain = difference(ours.right, alone.right)
    spent = ratio(ours.roles["target.decoded"], alone.figures["decoded"])
    said = (
        f"With drafts {share(ours)} are right, the target alone has {share(alone)}: {gain.percent(sign=True)}. The "
        f"target decodes "
        f"{spent.number()} of the tokens that it decodes alone; it reads the drafts besides "
        f"({ours.mean('target.prefill'):,.0f} prompt tokens a problem). Wanted: fewer tokens, and no more than "
        f"{MARGIN:.0%} lost."
    )
    return spent.high < 1 and gain.low > -MARGIN, said


CLAIMS = (
    Examined("Search beats best-of-n at equal tokens", _SAMPLED, _search),
    Examined(
        "ETS keeps REBASE's accuracy with 1.8 times fewer nodes",
        ("reward_balanced_search", *_PRUNED),
        _nodes,
    ),
    Examined(
        "ATTS keeps the target's accuracy with fewer target tokens", ("speculative_steps", "target-alone"), _drafts
    ),
)
