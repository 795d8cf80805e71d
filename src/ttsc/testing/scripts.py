"""What a scripted model says in a test: replies in turn, to the prompts that their pattern fits."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ttsc.backends.protocol import RequestRefused, Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.semantics import typed

_SPOKEN = "<|assistant|>"
_SHOWN = 160


class _Row:
    """One `model ROLE "pattern" => replies`."""

    def __init__(self, scripted: typed.Scripted) -> None:
        self._pattern = None if scripted.pattern is None else re.compile(scripted.pattern, re.DOTALL)
        self.replies = scripted.replies
        self._next = 0

    def fits(self, prompt: str) -> bool:
        return self._pattern is None or self._pattern.search(prompt) is not None

    def texts(self) -> tuple[str, ...]:
        return tuple(reply for reply in self.replies if isinstance(reply, str))

    def numbers(self) -> tuple[float, ...]:
        return tuple(reply for reply in self.replies if isinstance(reply, float))

    def turn(self, count: int) -> int:
        """Which of `count` replies is next; the last one comes again and again."""
        taken = min(self._next, count - 1)
        self._next += 1
        return taken


class Script:
    """The rows of one role, the ones with a pattern first."""

    def __init__(self, role: str, rows: Sequence[typed.Scripted]) -> None:
        self._role = role
        self._rows = [_Row(row) for row in sorted(rows, key=lambda row: row.pattern is None)]

    def engine(self) -> ScriptedEngine:
        """The stub that says it."""
        return ScriptedEngine(self.reply, model=self._role, reward=self.reward)

    def reply(self, prompt: str, seed: int, sampling: Sampling) -> str:
        """The next reply; where the assistant has begun to speak, the rest of a reply that begins like that."""
        asked, _, begun = prompt.rpartition(_SPOKEN)
        row = next((row for row in self._rows if row.texts() and row.fits(asked)), None)
        if row is None:
            raise self._unscripted(asked, "what it replies")
        replies = row.texts()
        going_on = [reply for reply in replies if begun and reply != begun and reply.startswith(begun)]
        if going_on:
            return going_on[row.turn(len(going_on))][len(begun) :]
        return replies[row.turn(len(replies))]

    def reward(self, text: str) -> float:
        """The next number of the row that fits the text."""
        row = next((row for row in self._rows if row.numbers() and row.fits(text)), None)
        if row is None:
            raise self._unscripted(text, "how it scores")
        numbers = row.numbers()
        return numbers[row.turn(len(numbers))]

    def _unscripted(self, prompt: str, what: str) -> RequestRefused:
        shown = prompt if len(prompt) <= _SHOWN else "…" + prompt[-_SHOWN:]
        return RequestRefused(
            f"the test does not say {what}: model '{self._role}' was asked {shown!r}",
            f'add model {self._role} => ["…"], or a pattern that fits the prompt',
        )
