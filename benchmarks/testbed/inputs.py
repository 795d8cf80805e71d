"""Questions of the test bed with their answers, as inputs of a program: JSON lines on standard output.

python -m benchmarks.testbed.inputs --count 64 --seed 1 > dev.jsonl
python -m benchmarks.testbed.inputs --count 1000 --seed 2 --without dev.jsonl --no-gold > test.jsonl
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Collection
from pathlib import Path

from benchmarks.testbed.task import OPERATIONS, Problem, problem


def rows(
    count: int, seed: int, least: int = OPERATIONS[0], most: int = OPERATIONS[1], without: Collection[str] = ()
) -> list[dict[str, str]]:
    """`count` questions of `least` to `most` operations each, as many of each length as can be; none of `without`."""
    numbers = random.Random(seed)
    lengths = [least + i % (most - least + 1) for i in range(count)]
    made = [_other_than(without, numbers, operations) for operations in lengths]
    return [{"question": each.question, "gold": each.answer} for each in made]


def _other_than(without: Collection[str], numbers: random.Random, operations: int) -> Problem:
    while (made := problem(numbers, operations)).question in without:
        pass
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=int, default=OPERATIONS[0], help="fewest operations")
    parser.add_argument("--most", type=int, default=OPERATIONS[1], help="most operations")
    parser.add_argument("--without", type=Path, help="a file of questions that may not come again")
    parser.add_argument("--no-gold", action="store_true", help="questions alone, as `ttsc run` takes them")
    given = parser.parse_args()
    known = given.without.read_text(encoding="utf-8").splitlines() if given.without else []
    others = {json.loads(line)["question"] for line in known}
    for row in rows(given.count, given.seed, given.least, given.most, others):
        print(json.dumps({"question": row["question"]} if given.no_gold else row))


if __name__ == "__main__":
    main()
