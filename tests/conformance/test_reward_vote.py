"""Reward x voting (2502.06703): the six forms on hand-made step rewards; what best-of-n and its weighted vote choose.

max: argmax of the aggregated reward. vote: argmax over answers of the sum of the aggregated rewards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine

SOLUTIONS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("1", (0.90, 0.20, 0.85)),
    ("2", (0.60, 0.60)),
    ("3", (0.10, 0.30, 0.90)),
    ("2", (0.50, 0.45, 0.55)),
    ("4", (0.95, 0.90, 0.40)),
    ("3", (0.20, 0.50)),
    ("", (0.99, 0.99)),
)
"""Answer and step rewards; the last gives no answer and is left out."""
AGGREGATES: dict[str, Callable[[tuple[float, ...]], float]] = {
    "min": min,
    "last": lambda rewards: rewards[-1],
    "mean": lambda rewards: sum(rewards) / len(rewards),
}


def by_hand(aggregate: str, choose: str, drop: bool = True) -> str | None:
    reward = AGGREGATES[aggregate]
    valid = [(answer, reward(rewards)) for answer, rewards in SOLUTIONS if answer or not drop]
    if choose == "max":
        return max(valid, key=lambda each: each[1])[0] or None
    sums: dict[str, float] = {}
    for answer, value in valid:
        sums[answer] = sums.get(answer, 0.0) + value
    return max(sums, key=sums.__getitem__)


def engine() -> ScriptedEngine:
    """Solution i has as many steps as rewards; a step says which of which solution it is."""
    given: dict[int, str] = {}
    rewards: dict[str, float] = {}
    texts = []
    for i, (answer, values) in enumerate(SOLUTIONS):
        steps = [f"solution {i} step {j}" for j in range(len(values))]
        rewards |= dict(zip(steps, values, strict=True))
        texts.append("\n\n".join(steps) + (f"\n\\boxed{{{answer}}}" if answer else ""))

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        return given.setdefault(seed, texts[len(given)])

    def reward(text: str) -> float:
        last = max(rewards, key=text.rfind)
        return math.log(rewards[last] / (1 - rewards[last]))

    return ScriptedEngine(reply, reward=reward)


@cache
def strategy(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}")


def chosen(name: str, **parameters: Any) -> Any:
    return strategy(name).run(question="?", n=len(SOLUTIONS), max_tokens=256, engine=engine(), **parameters)


FORMS = [(aggregate, choose) for aggregate in AGGREGATES for choose in ("max", "vote")]


def test_the_forms_differ() -> None:
    assert len({by_hand(*form) for form in FORMS}) == 3


@pytest.mark.parametrize(("aggregate", "choose"), FORMS)
def test_each_form_chooses_as_by_hand(aggregate: str, choose: str) -> None:
    assert chosen("reward_vote", aggregate=aggregate, choose=choose).value == by_hand(aggregate, choose)


def test_best_and_weighted_take_the_last_reward() -> None:
    """Best-of-n takes the greatest reward whether or not it answers; the weighted vote lets only answers vote."""
    assert chosen("best_of_n").value is None is by_hand("last", "max", drop=False)
    assert chosen("weighted_best_of_n").value == by_hand("last", "vote")


def test_without_a_step_the_reward_is_minus_one() -> None:
    """Nothing is said but the answer after a delimiter: no step to reward, and any other solution is better."""
    texts = iter(["", "\\boxed{4}"])
    found = ttsc.compile(NO_ANSWER_NEEDED).run(
        question="?", engine=ScriptedEngine(lambda *_: next(texts, ""), reward=lambda text: -9.0)
    )
    assert found.value[0] == -1.0
    assert 0 < found.value[1] < 0.001


NO_ANSWER_NEEDED = """
use std.reward_vote (aggregated)
use std.task (solve)
model policy, prm
program rewards(question: str) -> list[float] {
    return solve(question)
        |> sample(2, max_tokens=16)
        |> score(prm, steps="\\n\\n", reduce=min, link=sigmoid)
        |> each(c => aggregated(c.scores, "min"))
}
"""
