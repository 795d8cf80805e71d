"""Host functions of `checked_vote.tts`: what can be said of a solution line by line."""

import re

import ttsc

_STEP = re.compile(r"(\d\d)([-+*])(\d\d)=(\d\d)")
_MODULUS = 97


def _right(line: str) -> bool:
    """Whether a step's own arithmetic is right, wherever its first number comes from."""
    found = _STEP.fullmatch(line)
    if found is None:
        return False
    first, sign, second, result = int(found[1]), found[2], int(found[3]), int(found[4])
    value = first + second if sign == "+" else first - second if sign == "-" else first * second
    return value % _MODULUS == result


def _steps(solution: str) -> list[str]:
    return [line for line in solution.split("\n") if line and not line.startswith("A:")]


@ttsc.extern
def check(question: str, solution: str) -> bool:
    """Whether the last step is right by itself and gives the answer. What went wrong before it is not seen."""
    lines = [line for line in solution.split("\n") if line]
    return len(lines) > 1 and _right(lines[-2]) and lines[-1] == f"A:{lines[-2][-2:]}"


@ttsc.extern
def grade(question: str, solution: str) -> float:
    """The share of the question's operations that have a step which is right by itself."""
    wanted = len(re.findall(r"[-+*]", question))
    return min(1.0, sum(map(_right, _steps(solution))) / max(1, wanted))
