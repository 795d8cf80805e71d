"""What a scripted model says in a test: replies in turn, to the prompts that their pattern fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttsc.backends.protocol import RequestRefused, Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.pattern import PatternFailed, first_match

_SPOKEN = "<|assistant|>"
_SHOWN = 160


class _Row:
    """One `model ROLE "pattern" => replies`."""

    def __init__(self, scripted: typed.Scripted) -> None:
        self._pattern = scripted.pattern
        self.replies = scripted.replies
        self._next = 0

    def fits(self, prompt: str) -> bool:
        """Whether the pattern is in the prompt; its `.` matches line ends, too. Raises `PatternFailed`."""
        return self._pattern is None or first_match(prompt, f"(?s){self._pattern}") is not None

    def texts(self) -> tuple[str, ...]:
        return tuple(reply for reply in self.replies if isinstance(reply, str))

    def numbers(self) -> tuple[float, ...]:
        return tuple(reply for reply in self.replies if isinstance(reply, float))

    def turn(self, count: int) -> int:
        """Which of `count` replies is next; the last one comes again and again."""
        taken = min(self._next, count - 1)
        self._next += 1
        return taken


class Unscripted(RequestRefused):
    """A model was asked what the test does not say. The test has failed, whatever the run makes of it."""

    code = "T0002"


class Script:
    """The rows of one role, the ones with a pattern first. `unscripted`: what it was asked and could not answer."""

    def __init__(self, role: str, rows: Sequence[typed.Scripted]) -> None:
        self.role = role
        self._rows = [_Row(row) for row in sorted(rows, key=lambda row: row.pattern is None)]
        self.unscripted: list[Unscripted] = []

    def engine(self) -> ScriptedEngine:
        """The stub that says it."""
        return ScriptedEngine(self.reply, model=self.role, reward=self.reward)

    def reply(self, prompt: str, seed: int, sampling: Sampling) -> str:
        """The next reply; where the assistant has begun to speak, the rest of a reply that begins like that."""
        asked, _, begun = prompt.rpartition(_SPOKEN)
        row = self._row(asked, _Row.texts)
        if row is None:
            other = "numbers are rewards" if any(row.numbers() for row in self._rows) else ""
            raise self._unscripted(asked, "what it replies", '"…"', other)
        replies = row.texts()
        going_on = [reply for reply in replies if begun and reply != begun and reply.startswith(begun)]
        if going_on:
            return going_on[row.turn(len(going_on))][len(begun) :]
        return replies[row.turn(len(replies))]

    def reward(self, text: str) -> float:
        """The next number of the row that fits the text."""
        row = self._row(text, _Row.numbers)
        if row is None:
            other = "a reward is a number" if any(row.texts() for row in self._rows) else ""
            raise self._unscripted(text, "how it scores", "0.5", other)
        numbers = row.numbers()
        return numbers[row.turn(len(numbers))]

    def _row(self, prompt: str, of: Callable[[_Row], tuple[object, ...]]) -> _Row | None:
        try:
            return next((row for row in self._rows if of(row) and row.fits(prompt)), None)
        except PatternFailed as error:
            self.unscripted.append(Unscripted(f"a pattern of model '{self.role}' failed: {error}", "simplify it"))
            raise self.unscripted[-1] from None

    def _unscripted(self, prompt: str, what: str, example: str, other: str) -> Unscripted:
        shown = prompt if len(prompt) <= _SHOWN else "…" + prompt[-_SHOWN:]
        error = Unscripted(
            f"the test does not say {what}: model '{self.role}' was asked {shown!r}",
            f"add model {self.role} => [{example}], or a pattern that fits the prompt" + (other and f"; {other}"),
        )
        self.unscripted.append(error)
        return error
