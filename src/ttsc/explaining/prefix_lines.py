"""The prefix tree as lines: turns that nothing branches from become one line."""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.estimates.figures import Estimate, PrefixEstimate
from ttsc.explaining.quantities import amount, share
from ttsc.explaining.tables import cut, table

_LABEL = 58


@dataclass(frozen=True, slots=True)
class Run:
    """Prefixes one after the other with one way to go: `first` to `last`, `count` of them."""

    first: PrefixEstimate
    last: PrefixEstimate
    count: int
    depth: int


def runs_of(prefixes: tuple[PrefixEstimate, ...]) -> list[Run]:
    """The tree in reading order. Turns are joined; generations and forced texts stand by themselves, and so does
    whatever requests begin at.
    """
    children: dict[int | None, list[PrefixEstimate]] = {}
    for prefix in prefixes:
        children.setdefault(prefix.parent, []).append(prefix)
    found: list[Run] = []

    def visit(prefix: PrefixEstimate, depth: int) -> None:
        last, count = prefix, 1
        while prefix.kind == "turn" and not last.prompt_tokens:
            below = children.get(last.id, [])
            if len(below) != 1 or below[0].kind != "turn":
                break
            last, count = below[0], count + 1
        found.append(Run(prefix, last, count, depth))
        for child in children.get(last.id, []):
            visit(child, depth + 1)

    for root in children.get(None, []):
        visit(root, 0)
    return found


def prefix_lines(estimate: Estimate) -> list[str]:
    runs = runs_of(estimate.prefixes)
    if not runs:
        return []
    title = "prefixes that prompts share"
    if estimate.distinct_tokens and estimate.total.prompt_tokens > estimate.distinct_tokens:
        times = estimate.total.prompt_tokens / estimate.distinct_tokens
        title += f": each token asked for {times:.1f} times on average"
    rows = [("", "requests", "prompt", "cached")]
    for run in runs:
        last = run.last
        label = cut("  " * run.depth + label_of(run), _LABEL)
        cached = share(last.cached_tokens / last.prompt_tokens) if last.prompt_tokens else ""
        asked = amount(last.prompt_tokens) if last.prompt_tokens else ""
        rows.append((label, amount(last.requests) if last.requests else "", asked, cached))
    return [f"  {title}", *(f"    {line}" for line in table(rows, right="lrrr"))]


def label_of(run: Run) -> str:
    if run.first.kind != "turn":
        return f"%{run.first.node}  {run.first.label}"
    if run.count == 1:
        return run.first.label
    return f"{run.count} turns, from {run.first.label}"
