"""QAlign (2504.03790): its states come from p(y) in proportion to p_policy(y) * exp(R(y) / beta), on six words.

A word is one or two signs, then an end, which is a token too. A move keeps the first i tokens, i uniform among the
tokens, draws the rest anew, and is accepted with min(1, exp((R' - R) / beta + log|y| - log|y'|)). The test writes down
the whole matrix of this rule.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import product
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine

END = 0.4
PLUS = 0.7
TASK = 'prompt solve(question: str) { user "{{ question }}" }\nfunction answer(text: str) -> str? = text\n'
BETA = 0.8
WORDS = [signs for n in (1, 2) for signs in product("+-", repeat=n)]


def reward(word: str) -> float:
    return {"+": 0.0, "-": 0.9, "++": 0.6, "+-": -0.5, "-+": 1.0, "--": 0.2}[word]


def token_chances(begun: str) -> dict[str, float]:
    """Of the next token; the empty one ends. Never before the first, always after the second."""
    if len(begun) == 2:
        return {"": 1.0}
    end = END if begun else 0.0
    return {"": end, "+": (1 - end) * PLUS, "-": (1 - end) * (1 - PLUS)}


def completion(begun: str, word: str) -> float:
    """The policy's probability of ending up with the word after this beginning."""
    if not word.startswith(begun):
        return 0.0
    chance = 1.0
    for i in range(len(begun), len(word)):
        chance *= token_chances(word[:i])[word[i]]
    return chance * token_chances(word)[""]


def kernel() -> dict[str, dict[str, float]]:
    words = ["".join(word) for word in WORDS]
    found: dict[str, dict[str, float]] = {}
    for y in words:
        row = dict.fromkeys(words, 0.0)
        size = len(y) + 1
        for i, new in product(range(size), words):
            ratio = (reward(new) - reward(y)) / BETA + math.log(size) - math.log(len(new) + 1)
            row[new] += completion(y[:i], new) / size * min(1.0, math.exp(max(-20.0, min(20.0, ratio))))
        row[y] += 1.0 - math.fsum(row.values())
        found[y] = row
    return found


def after(start: dict[str, float], moves: int) -> dict[str, float]:
    rows = kernel()
    at = start
    for _ in range(moves):
        at = {y: math.fsum(at[x] * rows[x][y] for x in rows) for y in rows}
    return at


def target() -> dict[str, float]:
    weights = {y: completion("", y) * math.exp(reward(y) / BETA) for y in kernel()}
    return {y: w / math.fsum(weights.values()) for y, w in weights.items()}


def spoken(prompt: str, seed: int, sampling: Sampling) -> str:
    rng = random.Random(seed)
    begun = prompt.rpartition("<|assistant|>")[2].removesuffix("<|end|>")
    whole = begun
    while True:
        chances = token_chances(whole)
        token = rng.choices(list(chances), list(chances.values()))[0]
        if not token:
            return whole[len(begun) :]
        whole += token


def world() -> ScriptedEngine:
    return ScriptedEngine(
        spoken, reward=lambda shown: reward(shown.rpartition("<|assistant|>")[2].removesuffix("<|end|>"))
    )


def states(steps: int, seeds: range, chains: int = 32) -> list[list[str]]:
    """The state of each chain after each number of moves."""
    program = ttsc.compile("std:qalign", "walk", task=TASK)
    engine = world()
    found: list[list[str]] = []
    for seed in seeds:
        given: dict[str, Any] = {"steps": steps, "chains": chains, "beta": BETA, "temperature": 1.0, "max_tokens": 16}
        value: Any = program.run(question="?", engine=engine, seed=seed, **given).value
        texts = [each["text"] if isinstance(each, dict) else each.text for each in value]
        found += [texts[chain::chains] for chain in range(chains)]
    return found


def test_the_published_rule_keeps_the_tilted_distribution() -> None:
    assert after(target(), 1) == pytest.approx(target(), abs=1e-12)
    far = max(abs(completion("", y) - p) for y, p in target().items())
    assert far > 0.1, "the policy's own distribution is another one"
    assert after({y: completion("", y) for y in kernel()}, 60) == pytest.approx(target(), abs=1e-6)


def test_states_are_distributed_as_the_rule_says() -> None:
    """Independent chains, so binomial intervals: 4 standard errors. Before the first move, and after one and two."""
    chains = states(2, range(7))
    for moves in (0, 1, 2):
        wanted = after({y: completion("", y) for y in kernel()}, moves)
        counts = Counter(chain[moves] for chain in chains)
        for word, chance in wanted.items():
            error = math.sqrt(chance * (1 - chance) / len(chains))
            assert abs(counts[word] / len(chains) - chance) < 4 * error, (moves, word)
