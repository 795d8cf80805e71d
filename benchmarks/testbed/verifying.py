"""How good a verifier is: does it prefer a problem's right solutions, and does choosing by it beat a vote.

`judged` says of each sample whether it is right (its answer, as a user would see it) and what the verifier gives it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.testbed.descent import padded
from benchmarks.testbed.model import EOS, Policy, Rewarder, encode
from benchmarks.testbed.pool import Asked
from benchmarks.testbed.task import answer_of

Verifier = Callable[[list[tuple[str, str]]], list[float]]
"""Questions and solutions to scores, the higher the better."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Over problems: the share that is right of single samples, of any, and of what each way chooses; by-problem lists
    of 0 and 1 (for single samples, the share) for intervals and paired tests.
    """

    single: tuple[float, ...]
    any: tuple[float, ...]
    majority: tuple[float, ...]
    best: tuple[float, ...]
    weighted: tuple[float, ...]
    within: float
    """The chance that, of a problem's right and wrong sample, the right one has the higher score."""


def judged(asked: Sequence[Asked], scores: Sequence[Sequence[float]]) -> Choice:
    """What a verifier's scores (in 0..1, as weights of a vote) choose of each problem's samples."""
    single, any_, majority, best, weighted = [], [], [], [], []
    won = pairs = 0.0
    for each, given in zip(asked, scores, strict=True):
        answers = [answer_of(text) for text in each.texts]
        right = [answer == each.problem.answer for answer in answers]
        votes = Counter(answer for answer in answers if answer is not None)
        weights: dict[str | None, float] = defaultdict(float)
        for answer, value in zip(answers, given, strict=True):
            weights[answer] += value
        single.append(sum(right) / len(right))
        any_.append(float(any(right)))
        majority.append(float(bool(votes) and votes.most_common(1)[0][0] == each.problem.answer))
        best.append(float(right[max(range(len(given)), key=given.__getitem__)]))
        weighted.append(float(max(weights, key=weights.__getitem__) == each.problem.answer))
        good = [value for value, ok in zip(given, right, strict=True) if ok]
        bad = [value for value, ok in zip(given, right, strict=True) if not ok]
        if good and bad:
            won += sum((g > b) + 0.5 * (g == b) for g in good for b in bad) / len(good) / len(bad)
            pairs += 1
    return Choice(*map(tuple, (single, any_, majority, best, weighted)), won / max(1.0, pairs))  # type: ignore[arg-type]


def step_likelihood(model: Policy) -> Verifier:
    """The likelihood of the least likely step under a model: of its characters and the line end."""

    def scores(pairs: list[tuple[str, str]]) -> list[float]:
        asked = [encode(question + "\n") for question, _ in pairs]
        rows = [[*a, *encode(solution), EOS] for a, (_, solution) in zip(asked, pairs, strict=True)]
        ids = padded(rows)
        logits = model(ids[:, :-1]).log_softmax(-1)
        given = logits.gather(-1, ids[:, 1:, None]).squeeze(-1)
        results = []
        for i, (a, (_, solution)) in enumerate(zip(asked, pairs, strict=True)):
            at, least = len(a) - 1, 0.0
            for line in (*solution.split("\n")[:-1], solution.split("\n")[-1]):
                least = min(least, float(given[i, at : at + len(line) + 1].sum()))
                at += len(line) + 1
            results.append(float(torch.tensor(least).exp()))
        return results

    return _in_batches(scores)


def reward(model: Rewarder) -> Verifier:
    """The probability of a reward model at the end of a solution."""

    def scores(pairs: list[tuple[str, str]]) -> list[float]:
        rows = [encode(question + "\n" + solution) for question, solution in pairs]
        given = model(padded(rows)).sigmoid()
        return [float(given[i, len(row) - 1]) for i, row in enumerate(rows)]

    return _in_batches(scores)


def _in_batches(scores: Verifier) -> Verifier:
    def all_of(pairs: list[tuple[str, str]]) -> list[float]:
        with torch.inference_mode():
            return [value for i in range(0, len(pairs), 256) for value in scores(pairs[i : i + 256])]

    return all_of


def scored(asked: Sequence[Asked], verifier: Verifier) -> list[list[float]]:
    """A verifier's scores of every sample, by problem."""
    given = verifier([(each.problem.question, text) for each in asked for text in each.texts])
    size = len(asked[0].texts)
    return [given[i : i + size] for i in range(0, len(given), size)]
