"""The numbers of the cards: how good each of the test bed's models is, on problems that no training drew by its seed.

python -m benchmarks.testbed.evaluate [--count 200] [NAME…]

Samples at temperature 1 (the judge's at 0.7), through torch, from a seed: a few minutes a model on a core. Intervals
are Wilson's of 95 % for shares of problems; shares of samples have none, for a problem's samples hang together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import cache

from benchmarks.testbed import fusing, judging, revising
from benchmarks.testbed.comparing import wilson
from benchmarks.testbed.model import EOS, decode, encode, restored, restored_rewarder
from benchmarks.testbed.pool import MODELS, MOST, Asked, drawn
from benchmarks.testbed.sampling import sampled
from benchmarks.testbed.task import answer_of, arithmetic_right, steps_right
from benchmarks.testbed.verifying import Choice, Verifier, judged, reward, scored, step_likelihood

_SEED, _OPERATIONS, _SAMPLES = 11, (6, 6), 16


@cache
def _policys(count: int) -> tuple[Asked, ...]:
    """What the policy answers to `count` problems of six operations."""
    return tuple(drawn(count, _SAMPLES, _SEED, _OPERATIONS))


def share(values: Sequence[float]) -> str:
    """Of problems, with its interval."""
    low, high = wilson(round(sum(values)), len(values))
    return f"{sum(values) / len(values):.1%} ({low:.1%} to {high:.1%})"


def solver(name: str, count: int) -> None:
    asked = _policys(count) if name == "policy" else drawn(count, 4, _SEED, _OPERATIONS, name)
    texts = [(each.problem, text) for each in asked for text in each.texts]
    right = sum(text == problem.solution for problem, text in texts) / len(texts)
    steps = [arithmetic_right(line) for _, text in texts for line in text.split("\n") if "=" in line]
    lucky = sum(answer_of(t) == p.answer and t != p.solution for p, t in texts) / len(texts)
    print(f"  samples all of whose steps are right {right:.1%}, steps right by themselves {_mean(steps)}")
    print(f"  right answers after a wrong step {lucky:.1%} of samples")


def _choices(choice: Choice) -> None:
    single = sum(choice.single) / len(choice.single)
    print(f"  of the policy's {_SAMPLES} samples, single {single:.1%}, any {share(choice.any)}")
    print(f"  majority {share(choice.majority)}, best {share(choice.best)}, weighted vote {share(choice.weighted)}")
    print(f"  within-problem AUC {choice.within:.3f}")


def likelihood(name: str, count: int) -> None:
    asked = _policys(count)
    _choices(judged(asked, scored(asked, step_likelihood(restored(MODELS / name)))))


def rates(asked: Sequence[Asked], scores: Sequence[Sequence[float]]) -> None:
    """How often a verifier (its score above a half) accepts what is right and what is wrong, by what is wrong first."""
    said: dict[str, list[bool]] = {"right": [], "wrong": [], "wrong, first in a subtraction": []}
    for each, given in zip(asked, scores, strict=True):
        for text, score in zip(each.texts, given, strict=True):
            steps = steps_right(each.problem, text)
            kinds = ["right" if text == each.problem.solution else "wrong"]
            at = steps.index(False) if False in steps else -1
            if 0 <= at < len(each.problem.operations) and each.problem.operations[at][0] == "-":
                kinds.append("wrong, first in a subtraction")
            for kind in kinds:
                said[kind].append(score > 0.5)
    for kind, accepted in said.items():
        print(f"  accepts {_mean(accepted)} of {len(accepted)} samples that are {kind}")


def rewarder(name: str, count: int) -> None:
    asked = _policys(count)
    scores = scored(asked, reward(restored_rewarder(MODELS / name)))
    rates(asked, scores)
    _choices(judged(asked, scores))


def verdicts(name: str, seed: int, temperature: float = 0.7) -> Verifier:
    """A judge's verdicts as scores: 1 for y, 0 for n or none."""
    model = restored(MODELS / name)

    def scores(pairs: list[tuple[str, str]]) -> list[float]:
        prompts = [encode(f"{question}\n{solution}{judging.MARK}") for question, solution in pairs]
        made = sampled(model, prompts, 2, seed, temperature)
        return [float(decode(ids) == "y") for ids in made]

    return scores


def judge(name: str, count: int) -> None:
    asked = [Asked(each.problem, each.texts[:4], each.ended[:4]) for each in _policys(count)]
    several = [scored(asked, verdicts(name, seed)) for seed in range(4)]
    rates(asked, several[0])
    flat = [[x for row in each for x in row] for each in several]
    split = sum(len(set(row)) > 1 for row in zip(*flat, strict=True)) / len(flat[0])
    print(f"  of four verdicts on one sample, not all the same: {split:.1%}")
    mean = [[sum(x) / len(x) for x in zip(*rows, strict=True)] for rows in zip(*several, strict=True)]
    print("  the mean of four verdicts, of four samples:")
    choice = judged(asked, mean)
    print(f"  majority {share(choice.majority)}, best {share(choice.best)}; within-problem AUC {choice.within:.3f}")


def reviser(name: str, count: int) -> None:
    model, asked = restored(MODELS / name), _policys(count)
    for attempts in (0, 1, 3, 5):
        prompts = [
            encode(each.problem.question + "\n" + "".join(text + revising.MARK for text in each.texts[:attempts]))
            for each in asked
        ]
        made = sampled(model, prompts, 400, _SEED)
        solutions = [decode(ids).split(revising.MARK) for ids in made]
        first = [float(answer_of(each[0]) == a.problem.answer) for each, a in zip(solutions, asked, strict=True)]
        whole = [ids[-1] == EOS for ids in made]
        last = [float(answer_of(s[-1]) == a.problem.answer) for s, a in zip(solutions, asked, strict=True)]
        on = {ok: [len(s) > 1 for s, f in zip(solutions, first, strict=True) if bool(f) == ok] for ok in (True, False)}
        print(f"  after {attempts} attempts of the policy: first solution right {share(first)}, last {share(last)};")
        print(
            f"    thinks on after a right one {_mean(on[True])}, after a wrong one {_mean(on[False])}; "
            f"ends within 400 tokens {_mean(whole)}, {sum(map(len, solutions)) / len(solutions):.1f} solutions each"
        )


def fuser(name: str, count: int) -> None:
    model, asked = restored(MODELS / name), _policys(count)
    for attempts in (0, 1, 2, 4, 5, 8):
        prompts = [encode(fusing.before(list(each.texts[:attempts]), each.problem.question)) for each in asked]
        found = []
        for temperature in (1.0, 0.0):
            made = sampled(model, prompts, MOST, _SEED, temperature)
            right = [float(answer_of(decode(ids)) == a.problem.answer) for ids, a in zip(made, asked, strict=True)]
            found.append(f"{share(right)} at temperature {temperature:g}")
        print(f"  after {attempts} attempts of the policy: right {', '.join(found)}")


def _mean(values: Sequence[bool]) -> str:
    return f"{sum(values) / max(1, len(values)):.1%}"


EVALUATIONS: dict[str, tuple[Callable[[str, int], None], ...]] = {
    "policy": (solver, likelihood),
    "strong": (solver, likelihood),
    "large": (solver, likelihood),
    "prm": (rewarder,),
    "prm_weak": (rewarder,),
    "prm_biased": (rewarder,),
    "judge": (judge,),
    "reviser": (reviser,),
    "fuser": (fuser,),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *EVALUATIONS], metavar="NAME", help="all, unless named")
    parser.add_argument("--count", type=int, default=200, help="problems, each of six operations")
    given = parser.parse_args()
    for name in given.names or EVALUATIONS:
        print(f"{name}, {given.count} problems")
        for evaluation in EVALUATIONS[name]:
            evaluation(name, given.count)


if __name__ == "__main__":
    main()
