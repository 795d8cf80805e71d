"""Certaindex (2412.20993) and multi-temperature voting (2510.02611): when answers agree enough, computed by hand.

Certaindex: 1 - H / log2(m), H = -sum p log2 p over the shares p of the m answers. Multi-temperature: the share of the
commonest answer at each temperature, and the share of temperatures with the commonest of these.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.pure import evaluate

HOT = [round(0.1 * i, 1) for i in range(1, 13)]


def bits(answers: Sequence[str]) -> float:
    return -sum(c / len(answers) * math.log2(c / len(answers)) for c in Counter(answers).values())


def leader(answers: Sequence[str]) -> str | None:
    """The commonest; of several the one that came first."""
    named = [answer for answer in answers if answer]
    return max(dict.fromkeys(named), key=Counter(named).__getitem__) if named else None


@cache
def strategy(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}")


def text(answer: str) -> str:
    return "\\boxed{" + answer + "}" if answer else "?"


def test_entropy_is_shannons_in_bits() -> None:
    draw = random.Random(1)
    for _ in range(50):
        answers = draw.choices("abcd", (0.5, 0.3, 0.1, 0.1), k=draw.randint(1, 30))
        assert math.isclose(evaluate("entropy", "", (tuple(answers),)), bits(answers), abs_tol=1e-12)  # type: ignore[arg-type]


def test_certaindex_ends_after_the_round_that_is_certain() -> None:
    draw = random.Random(2)
    for _ in range(12):
        answers = draw.choices(["4", "5", "6", ""], (0.75, 0.1, 0.05, 0.1), k=32)
        named = [[answer for answer in answers[:k] if answer] for k in range(4, 33, 4)]
        certain = [len(each) >= 2 and 1 - bits(each) / math.log2(len(each)) >= 0.8 - 1e-12 for each in named]
        rounds = certain.index(True) + 1 if True in certain else 8
        given: dict[int, str] = {}

        def reply(prompt: str, seed: int, sampling: Any, given: Any = given, answers: Any = answers) -> str:
            return str(given.setdefault(seed, text(answers[len(given)])))

        result = strategy("certaindex").run(question="?", engine=ScriptedEngine(reply))
        assert result.usage.requests == 4 * rounds
        assert result.value == leader(named[rounds - 1])


def test_temperatures_vote_once_each_and_end_it_when_all_agree() -> None:
    draw = random.Random(3)
    ended = set()
    for chance in (0.55, 0.8, 0.97, 1.0) * 2:
        said: dict[float, list[str]] = {0.0: [draw.choice(["4", "5", ""]) if chance < 1 else "4"]}
        said |= {t: ["4" if draw.random() < chance else draw.choice(["5", ""]) for _ in range(6)] for t in HOT}
        place: dict[tuple[float, int], int] = {}

        def reply(prompt: str, seed: int, sampling: Any, said: Any = said, place: Any = place) -> str:
            t = round(sampling.temperature, 1)
            index = place.setdefault((t, seed), sum(each[0] == t for each in place))
            return text(said[t][index])

        rounds = next((r for r in range(1, 4) if agreed(said, 2 * r)), 3)
        result = strategy("multi_temperature_vote").run(question="?", batch=2, rounds=3, engine=ScriptedEngine(reply))
        assert result.usage.requests == 1 + 24 * rounds
        assert result.value == across(said, 2 * rounds)
        ended.add(rounds)
    assert {1, 3} <= ended


def agreed(said: dict[float, list[str]], count: int) -> bool:
    """The reproduction's rule: 0.8 within each temperature, and all temperatures of one answer."""
    tops = [leader(answers[:count]) for answers in said.values()]
    shares = [
        answers[:count].count(top or "?") / len(answers[:count])
        for answers, top in zip(said.values(), tops, strict=True)
    ]
    return min(shares) >= 0.8 and len(set(tops)) == 1


def across(said: dict[float, list[str]], count: int) -> str | None:
    """A vote of the temperatures, those above 0 first: they have more samples."""
    order = [*HOT, 0.0] if count > 1 else [0.0, *HOT]
    return leader([leader(said[t][:count]) or "" for t in order])
