"""The plan's prefix tree with what requests found of it: how many begin where, and how much of them was cached."""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.plan.nodes import Plan
from ttsc.estimates.figures import PrefixEstimate


def prefix_estimates(plan: Plan, counts: Mapping[str, Counts]) -> tuple[PrefixEstimate, ...]:
    """`counts`: of each node that asks an engine, per input. A request whose place is known only at run time is
    counted at the generation that the plan puts in the tree for it, else nowhere.
    """
    starts: dict[int, Counts] = {}
    own = {prefix.node: prefix for prefix in plan.prefixes if prefix.kind == "generation"}
    for request in plan.requests:
        at = request.prefix
        if at is None and request.node in own:
            at = own[request.node].parent
        if at is not None:
            starts[at] = starts.get(at, Counts()) + counts.get(request.node, Counts())
    children: dict[int | None, list[int]] = {}
    for prefix in plan.prefixes:
        children.setdefault(prefix.parent, []).append(prefix.id)

    def below(prefix: int) -> Counts:
        total = starts.get(prefix, Counts())
        for child in children.get(prefix, ()):
            total = total + below(child)
        return total

    found = []
    for prefix in plan.prefixes:
        whole, here = below(prefix.id), starts.get(prefix.id, Counts())
        found.append(
            PrefixEstimate(
                prefix.id,
                prefix.parent,
                prefix.kind,
                prefix.node,
                prefix.label,
                whole.requests,
                here.prompt_tokens,
                here.cached_tokens,
            )
        )
    return tuple(found)
