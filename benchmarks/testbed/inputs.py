"""Questions of the test bed with their answers, as inputs of a program: JSON lines on standard output.

python -m benchmarks.testbed.inputs --count 64 --seed 1 > dev.jsonl
"""

from __future__ import annotations

import argparse
import json
import random

from benchmarks.testbed.task import OPERATIONS, problem


def rows(count: int, seed: int, least: int = OPERATIONS[0], most: int = OPERATIONS[1]) -> list[dict[str, str]]:
    """`count` questions of `least` to `most` operations each, as many of each length as can be."""
    numbers = random.Random(seed)
    lengths = [least + i % (most - least + 1) for i in range(count)]
    made = [problem(numbers, operations) for operations in lengths]
    return [{"question": each.question, "gold": each.answer} for each in made]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=int, default=OPERATIONS[0], help="fewest operations")
    parser.add_argument("--most", type=int, default=OPERATIONS[1], help="most operations")
    given = parser.parse_args()
    for row in rows(given.count, given.seed, given.least, given.most):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
