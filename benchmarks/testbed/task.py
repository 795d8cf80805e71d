"""The test bed's task: chains of arithmetic modulo 97, left to right, with every step written down and checkable.

    Q:78+41-33*05          the problem: two-digit numbers, zero-padded; no precedence
    78+41=22               one step a line, each from the result of the one before
    22-33=86
    86*05=42
    A:42                   the answer, then the end of the sequence

97 is prime: modulo a composite number a product may absorb an error made before it, and a wrong chain ends well.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

MODULUS = 97
OPERATIONS = 3, 7
"""Fewest and most operations of a problem."""
_STEP = re.compile(r"(\d\d)([-+*])(\d\d)=(\d\d)")
_ANSWER = re.compile(r"A:(\d\d)\Z")


@dataclass(frozen=True, slots=True)
class Problem:
    """`first`, then `(operator, operand)` for each operation."""

    first: int
    operations: tuple[tuple[str, int], ...]

    @property
    def question(self) -> str:
        """`Q:78+41-33`, without a line end."""
        return f"Q:{self.first:02d}" + "".join(f"{sign}{operand:02d}" for sign, operand in self.operations)

    @property
    def steps(self) -> tuple[str, ...]:
        """The right steps, in order."""
        lines, value = [], self.first
        for sign, operand in self.operations:
            result = apply(value, sign, operand)
            lines.append(f"{value:02d}{sign}{operand:02d}={result:02d}")
            value = result
        return tuple(lines)

    @property
    def answer(self) -> str:
        """Two digits."""
        return self.steps[-1][-2:]

    @property
    def solution(self) -> str:
        """The steps, a line each, and the answer, without an end."""
        return "".join(f"{step}\n" for step in self.steps) + f"A:{self.answer}"


def apply(value: int, sign: str, operand: int) -> int:
    """One operation modulo 97."""
    match sign:
        case "+":
            return (value + operand) % MODULUS
        case "-":
            return (value - operand) % MODULUS
    return (value * operand) % MODULUS


def problem(numbers: random.Random, operations: int) -> Problem:
    """A random problem: `*` (by 2 to 12) in 60 of 100 operations, `+` and `-` in 20 each."""
    chain: list[tuple[str, int]] = []
    for _ in range(operations):
        drawn = numbers.random()
        if drawn < 0.6:
            chain.append(("*", numbers.randint(2, 12)))
        else:
            chain.append(("+" if drawn < 0.8 else "-", numbers.randint(1, 96)))
    return Problem(numbers.randint(1, 96), tuple(chain))


def steps_right(asked: Problem, text: str) -> tuple[bool, ...]:
    """For each line of a solution that is not the answer: whether it is a right step *from where the chain stood*.

    A step that computes rightly from a wrong value is wrong, as is one too many.
    """
    lines = [line for line in text.split("\n") if line and not line.startswith("A:")]
    right = asked.steps
    return tuple(i < len(right) and line == right[i] for i, line in enumerate(lines))


def answer_of(text: str) -> str | None:
    """The two digits of the last line, or None."""
    found = _ANSWER.search(text)
    return found[1] if found else None


def arithmetic_right(line: str) -> bool:
    """Whether a step's own arithmetic is right, wherever its first number comes from."""
    found = _STEP.fullmatch(line)
    return found is not None and apply(int(found[1]), found[2], int(found[3])) == int(found[4])
