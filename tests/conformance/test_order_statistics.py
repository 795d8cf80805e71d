"""Races of n solutions: what first, last and shortest-thinking finish decode, and whom they let vote.

Numbers from the formulas of order statistics over the lengths L_1..L_n, eos included, with L_(k) the k-th smallest:
first k of n decode sum_i min(L_i, L_(k)); all n are decoded for the last k; E[L_(1)] = sum_{l >= 1} P(L >= l)^n.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine

LENGTHS = (31, 12, 25, 12, 40, 18, 9, 22)
ANSWERS = "56545455"
LAG = 2
"""Tokens beyond its due that each loser may decode: requests start a step apart, and an abort takes a step."""


def solution(answer: str, length: int) -> str:
    r"""`length` tokens of the script's engine: points, the five of \boxed{answer}, and eos."""
    return "." * (length - 6) + "\\boxed{" + answer + "}"


def engine(texts: Sequence[str]) -> ScriptedEngine:
    """An engine that gives each new seed the next text, and the rest of the text that a prompt has begun."""
    given: dict[int, str] = {}

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        begun = prompt.rpartition("<|assistant|>")[2]
        going_on = [text for text in given.values() if len(begun) > 10 and text.startswith(begun)]
        if going_on:
            return going_on[0][len(begun) :]
        return given.setdefault(seed, texts[len(given) % len(texts)])[len(begun) :]

    return ScriptedEngine(reply)


@cache
def strategy(name: str, level: ttsc.Level) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}", level=level)


def race(name: str, texts: Sequence[str], level: ttsc.Level = 2, **parameters: Any) -> Any:
    return strategy(name, level).run(question="?", engine=engine(texts), **parameters)


def majority(answers: Sequence[str]) -> str:
    """The commonest; of several the one that came first."""
    return max(dict.fromkeys(answers), key=Counter(answers).__getitem__)


def test_the_lengths_are_what_they_are_called() -> None:
    result = race("last_finish", [solution("5", length) for length in LENGTHS], n=8, max_tokens=64)
    assert result.usage.decoded_tokens == sum(LENGTHS)


@pytest.mark.parametrize("k", range(1, 9))
def test_the_first_k_decode_the_sum_of_minima(k: int) -> None:
    texts = [solution(answer, length) for answer, length in zip(ANSWERS, LENGTHS, strict=True)]
    bar = sorted(LENGTHS)[k - 1]
    first = sorted(range(8), key=lambda i: (LENGTHS[i], i))[:k]
    found = race("first_finish", texts, n=8, k=k, max_tokens=64)
    losers = sum(length > bar for length in LENGTHS)
    assert found.usage.aborted == losers
    assert 0 <= found.usage.decoded_tokens - sum(min(length, bar) for length in LENGTHS) <= LAG * (8 - k)
    assert found.value == majority([ANSWERS[i] for i in first])
    whole = race("first_finish", texts, 0, n=8, k=k, max_tokens=64)
    assert (whole.value, whole.usage.decoded_tokens) == (found.value, sum(LENGTHS))


@pytest.mark.parametrize("k", range(1, 9))
def test_the_last_k_are_the_longest(k: int) -> None:
    texts = [solution(answer, length) for answer, length in zip(ANSWERS, LENGTHS, strict=True)]
    found = race("last_finish", texts, n=8, k=k, max_tokens=64)
    longest = sorted(range(8), key=lambda i: (-LENGTHS[i], i))[:k]
    assert found.value == majority([ANSWERS[i] for i in longest])
    assert found.usage.decoded_tokens == sum(LENGTHS)


def test_all_of_n_is_the_majority_vote_first_and_last() -> None:
    texts = [solution(answer, length) for answer, length in zip("45545545", LENGTHS, strict=True)]
    values = {race(name, texts, n=8, k=8, max_tokens=64).value for name in ("first_finish", "last_finish")}
    assert values == {race("self_consistency", texts, n=8, max_tokens=64).value} == {"5"}


def test_who_is_cut_has_not_finished() -> None:
    texts = [solution("5", 12), solution("4", 40), solution("4", 31)]
    assert race("first_finish", texts, n=3, k=3, max_tokens=20).value == "5"
    assert race("last_finish", texts, n=3, k=1, max_tokens=20).value == "5"


def test_the_least_of_n_lengths_is_what_order_statistics_expect() -> None:
    """L uniform on 8..39, n = 4: E[L_(1)] = 8 + sum_{l = 9}^{39} ((40 - l) / 32)^4, and 4 E[L_(1)] tokens a run."""
    expected = 8 + sum(((40 - length) / 32) ** 4 for length in range(9, 40))
    draw = random.Random(7)
    spent = []
    for _ in range(60):
        lengths = [draw.randint(8, 39) for _ in range(4)]
        found = race("first_finish", [solution("5", length) for length in lengths], n=4, max_tokens=64)
        assert 0 <= found.usage.decoded_tokens - 4 * min(lengths) <= LAG * 3
        spent.append(found.usage.decoded_tokens / 4)
    mean = sum(spent) / len(spent)
    spread = math.sqrt(sum((each - mean) ** 2 for each in spent) / (len(spent) - 1) / len(spent))
    assert -4 * spread < mean - expected < 4 * spread + LAG * 3 / 4
    assert spread < 1


@pytest.mark.parametrize("m", [1, 3, 5])
def test_short_m_of_k_counts_the_thinking(m: int) -> None:
    """Whoever thinks shortest may answer at length: the race ends with the thinking."""
    thinking, answering = (25, 11, 31, 14, 18), (9, 30, 8, 20, 10)
    answers = "54545"
    texts = [
        "<think>\n" + "." * (think - 4) + "</think>" + solution(answer, length)
        for think, length, answer in zip(thinking, answering, answers, strict=True)
    ]
    found = race("shortest_thinking_vote", texts, k=5, m=m, max_thinking=64, max_answer=64)
    shortest = sorted(range(5), key=lambda i: (thinking[i], i))[:m]
    bar = sorted(thinking)[m - 1]
    assert found.value == majority([answers[i] for i in shortest])
    spent = sum(min(each, bar) for each in thinking) + sum(answering[i] for i in shortest)
    assert found.usage.decoded_tokens <= spent + LAG * (5 - m)
    assert found.usage.decoded_tokens > sum(min(each, bar) for each in thinking)
    assert found.usage.requests == 5 + m
    assert found.usage.aborted >= 5 - m  # and answers that the vote does not need
