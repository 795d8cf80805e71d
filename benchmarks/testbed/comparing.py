"""Runs of the test bed's questions side by side: how many answers are right, what they took, and whether the last run
is better than the others by more than chance.

python -m benchmarks.testbed.comparing questions.jsonl defaults.jsonl planned.jsonl

questions.jsonl has the right answers (benchmarks/testbed/inputs.py), the others are what `ttsc run --out` wrote.
Intervals are Wilson's. Runs are compared by McNemar's exact test: of the inputs that one of two has right and the
other wrong, half would go either way if they were equally good.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

_Z = 1.96


@dataclass(frozen=True, slots=True)
class Run:
    """`right`: by input. `tokens`: prompt tokens that were computed, and decoded ones, of an input on average."""

    name: str
    right: tuple[bool, ...]
    tokens: float


def read(path: Path, golds: list[str]) -> Run:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = {row["input"]: row for row in lines}
    if sorted(rows) != list(range(len(golds))):
        raise SystemExit(f"{path} has {len(rows)} results for {len(golds)} questions")
    used = [row["usage"] for row in lines]
    tokens = sum(each["prefill_tokens"] + each["decoded_tokens"] for each in used) / len(golds)
    return Run(path.stem, tuple(rows[i]["value"] == gold for i, gold in enumerate(golds)), tokens)


def wilson(right: int, size: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    share, extra = right / size, _Z**2 / size
    half = _Z * math.sqrt(share * (1 - share) / size + extra / size / 4)
    return (share + extra / 2 - half) / (1 + extra), (share + extra / 2 + half) / (1 + extra)


def mcnemar(better: int, worse: int) -> float:
    """The chance of a split as uneven as this one or more, if both ways were equally likely."""
    total, fewer = better + worse, min(better, worse)
    ways = sum(math.comb(total, i) for i in range(fewer + 1))
    return min(1.0, ways / 2 ** (total - 1)) if total else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args()
    golds = [json.loads(line)["gold"] for line in given.questions.read_text(encoding="utf-8").splitlines()]
    runs = [read(path, golds) for path in given.runs]
    print(f"{f'{len(golds):,} inputs':32}{'right':>7}   95 % interval  tokens an input")
    for run in runs:
        low, high = wilson(sum(run.right), len(golds))
        share = f"{sum(run.right) / len(golds):.1%}"
        print(f"  {run.name:30}{share:>7}  {low:.1%} to {high:.1%}{run.tokens:>17,.0f}")
    last = runs[-1]
    for run in runs[:-1]:
        better = sum(ours and not theirs for ours, theirs in zip(last.right, run.right, strict=True))
        worse = sum(theirs and not ours for ours, theirs in zip(last.right, run.right, strict=True))
        chance = mcnemar(better, worse)
        print(f"{last.name} right where {run.name} is wrong: {better}; the other way: {worse}; p = {chance:.2g}")


if __name__ == "__main__":
    main()
