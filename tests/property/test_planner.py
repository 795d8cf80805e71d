"""The search finds what looking at every setting finds, on random workloads, and looks at few of them.

`TTSC_PLAN_RUNS=200` is the full check.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from ttsc.compiler.cost.closed.patterns import recognise
from ttsc.compiler.cost.closed.prediction import Forecast
from ttsc.compiler.cost.closed.timing import Prompt
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.prices import price_of
from ttsc.compiler.cost.search.evaluating import Objective, Predicted, Seen
from ttsc.compiler.cost.search.forecasting import ClosedForm
from ttsc.compiler.cost.search.frontier import dominates
from ttsc.compiler.cost.search.searching import search
from ttsc.compiler.cost.search.space import Space, axes_of
from ttsc.compiler.cost.workload import Question, Rewards, Verdicts, Workload, Writing
from ttsc.compiler.ir.nodes import Limit, Select
from ttsc.compiler.ir.rewrite import walk
from ttsc.driver import compile_source
from ttsc.grammar.source import Source
from ttsc.machines import costs_for

RUNS = int(os.environ.get("TTSC_PLAN_RUNS", "8"))

_HEAD = """use std.answers (number)

prompt pose(q: str) { user "{{ q }}" }
prompt grade(q: str, a: str) { user "{{ q }} {{ a }}" }
program p(q: str, n: int = 4 in 1..64, most: int = 256 in [32, 64, 96, 128, 192, 256, 384, 512]) -> str {
"""

PROGRAMS = {
    "vote": "return pose(q) |> sample(n, max_tokens=most) |> vote(by=number) }",
    "adaptive": "return pose(q) |> sample(n, max_tokens=most) |> vote(by=number, stop=adaptive, confidence=0.9) }",
    "verified": "return pose(q) |> sample(n, max_tokens=most) |> verify(c => grade(q, c.text), max_tokens=4)"
    " |> vote(by=number) }",
    "best": "let c = pose(q) |> sample(n, max_tokens=most) |> score(c => grade(q, c.text), max_tokens=4)"
    " |> best(by=score) return c.text }",
    "race": "let c = pose(q) |> sample(n, max_tokens=most) |> stop_first(1, order=tokens) |> one return c.text }",
}


def drawn(source: random.Random, kind: str) -> tuple[Space, ClosedForm]:
    compiled = compile_source(Source("p.tts", _HEAD + PROGRAMS[kind]))
    early = frozenset(
        each.result.id for each in walk(compiled.plan.program.body) if isinstance(each, Select) and each.early
    )
    pattern = recognise(compiled.built, early)
    assert pattern is not None
    a, b = source.uniform(0.3, 4), source.uniform(0.3, 4)
    right = source.uniform(0.3, 2)
    workload = Workload(
        "random",
        tuple(Question(source.betavariate(a, b)) for _ in range(12)),
        {
            "sample": Writing(Lengths.lognormal(source.uniform(40, 400), source.uniform(0.1, 1.2))),
            "judge": Writing(Lengths((2, 3))),
        },
        {"default": Verdicts(source.uniform(0.5, 1), source.uniform(0, 0.6))},
        {"default": Rewards(right, source.uniform(0.5, 2), -right, source.uniform(0.5, 2))},
        collision=source.uniform(0.05, 0.9),
    )
    prompts = {pattern.pool.node: Prompt(source.randint(20, 600), source.randint(10, 20))}
    if pattern.check is not None:
        prompts[pattern.check.node] = Prompt(700, 300)
    costs = costs_for()
    machine = replace(costs.machine, dollars_per_s=3 / 3600)
    forecast = Forecast(pattern, workload, dict.fromkeys(compiled.roles, machine), prompts, 64)
    prices = {role: price_of(machine, costs.shape, costs.hardware) for role in compiled.roles}
    return Space(axes_of(compiled.built.parameters, {})), ClosedForm(forecast, prices, {"q": "?"})


class Counted:
    """An evaluator that knows what it was asked."""

    def __init__(self, inner: ClosedForm) -> None:
        self._inner = inner
        self.asked: list[tuple[object, ...]] = []
        self.efforts = inner.efforts

    def __call__(self, setting: dict[str, object], effort: int) -> Predicted:
        self.asked.append(tuple(setting.values()))
        return self._inner(setting, effort)


@pytest.mark.parametrize("run", range(RUNS))
def test_the_plan_is_within_two_percent_of_the_best_there_is(run: int) -> None:
    source = random.Random(f"planner {run}")
    kind = list(PROGRAMS)[run % len(PROGRAMS)]
    space, evaluator = drawn(source, kind)
    [effort] = evaluator.efforts
    grid = {place: evaluator(space.setting(place), effort) for place in space.all()}
    some = sorted(each.tokens for each in grid.values())
    goal = source.choice(["accuracy", "accuracy", "latency", "cost"])
    if goal == "accuracy":
        objective = Objective("accuracy", (Limit("tokens", some[int(source.uniform(0.02, 1) * (len(some) - 1))]),))
    else:
        reached = max(each.accuracy or 0 for each in grid.values())
        objective = Objective(goal, (), reached * source.uniform(0.7, 0.999))
    best = max(grid.values(), key=objective.rank)
    counted = Counted(evaluator)
    found = search(space, counted, objective)
    assert found.best is not None
    wanted, got = abs(objective.value(best)), abs(objective.value(found.best.predicted))
    worse = wanted - got if goal == "accuracy" else got - wanted
    assert worse <= 0.02 * wanted, (kind, objective, best, found.best)
    assert objective.feasible(found.best.predicted)
    assert len(counted.asked) == len(set(counted.asked)) == found.evaluations, "nothing is evaluated twice"
    assert len(counted.asked) <= 0.6 * space.size
    check_frontier(found.frontier, found.seen)


def check_frontier(front: tuple[Seen, ...], seen: tuple[Seen, ...]) -> None:
    assert front
    for each in front:
        assert not any(dominates(other.predicted, each.predicted, "tokens") for other in seen)
    for other in seen:
        assert other in front or any(
            dominates(each.predicted, other.predicted, "tokens")
            or (each.predicted.tokens, each.predicted.accuracy) == (other.predicted.tokens, other.predicted.accuracy)
            for each in front
        )
