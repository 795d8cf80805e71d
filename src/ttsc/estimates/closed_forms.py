"""Expectations in closed form beside the simulated ones, for programs of a kind that has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.closed.patterns import Pattern
from ttsc.compiler.cost.closed.prediction import Forecast
from ttsc.compiler.cost.closed.timing import Prompt
from ttsc.compiler.ir.nodes import Sequential
from ttsc.estimates.figures import Closed, Estimate

if TYPE_CHECKING:
    from ttsc.compiler.cost.steps import Machine
    from ttsc.compiler.cost.workload import Workload
    from ttsc.program import CompiledProgram

_FORMULAS = {
    "one": "one sample",
    "vote": "a vote of independent samples",
    "race": "order statistics of lengths",
    "best": "the best of independent samples",
    "verified": "a vote of the accepted",
}
_STOPPED = "a vote that stops, by its stopping time"


def with_closed_forms(
    found: Estimate,
    program: CompiledProgram,
    values: Mapping[str, Any],
    workload: Workload,
    machines: Mapping[str, Machine],
) -> Estimate:
    """The estimate with what formulas say, if the program has a known pattern and the workload what they need. How long
    prompts are, and what of them is cached, they take from the simulation.
    """
    from ttsc.planning.evaluators import pattern_of

    pattern = pattern_of(program)
    if pattern is None or found.failed:
        return found
    prompts = _prompts(found, pattern)
    most = pattern.pool.count.of(values)
    if pattern.pool.node not in prompts or not isinstance(most, int):
        return found
    try:
        expected = Forecast(pattern, workload, machines, prompts, most).at(values)
    except KeyError:
        return found
    formula = _STOPPED if isinstance(pattern.rule, Sequential) else _FORMULAS[pattern.choice]
    decoded = sum(each.decoded_tokens for each in expected.counts.values())
    rows = [
        Closed("tokens decoded", decoded, found.total.decoded_tokens, formula),
        Closed("seconds", expected.seconds, found.latency.mean, formula),
        Closed("right answers", expected.accuracy, found.accuracy, formula),
    ]
    if pattern.choice == "vote" and expected.votes < most - 1e-9:
        rows.insert(0, Closed("candidates until it is decided", expected.votes, None, formula))
    return replace(found, closed=tuple(rows))


def _prompts(found: Estimate, pattern: Pattern) -> dict[str, Prompt]:
    prompts = {}
    for node in found.nodes:
        asked = node.counts.requests
        if not asked:
            continue
        tokens = node.counts.prompt_tokens / asked
        if node.id == pattern.pool.node:
            # Only the first of a pool computes its prompt; each of the others computes its last token.
            prompts[node.id] = Prompt(tokens, max(1.0, node.counts.computed_tokens - (asked - 1)))
        elif pattern.check is not None and node.id == pattern.check.node:
            computed = node.counts.computed_tokens / asked
            prompts[node.id] = Prompt(tokens, computed, computed)
    return prompts
