"""What a caller can do wrong: a missing file, a wrong parameter, an extern that isn't there.

Errors *in a program* are `CompileError`s; errors of an engine are `EngineError`s. These are about how a program is
used. Codes: E0501 missing parameter, E0502 unknown parameter, E0503 wrong type, E0504 outside its range, E0505
unreadable input, E0506 missing extern, E0507 extern with another signature, E0508 no such program, E0509 no such
file, E0510 wrong option, E0511 used in the wrong place, E0512 an oracle outside of evaluation, E0514 no picture, E0515
a store that can't be used, E0516 a budget that can't be kept, E0517 a journal and E0518 a trace that can't be used,
E0519 a package that isn't installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `message`: what, lower case, no full stop; `hint`: what to do."""

    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.message}" + (f"\nhint: {self.hint}" if self.hint else "")


class UsageError(Exception):
    """A program was used in a way it can't be; every problem that was found, never empty. CLI exit code 2."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "a UsageError without a problem explains nothing"
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class InputError(UsageError, ValueError):
    """An input doesn't fit a program's parameters."""


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest known word, or `otherwise`."""
    from difflib import get_close_matches

    words = list(known)
    near = get_close_matches(word, words, n=1, cutoff=0.6) or [each for each in words if len(word) > 2 and word in each]
    return f"did you mean '{near[0]}'?" if near else otherwise
