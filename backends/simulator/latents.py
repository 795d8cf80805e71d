"""What a simulated model knows of candidates: whether they are right, which answer they give, where they went wrong.

Every step of a candidate begins with a mark (`tokenizer.py`) that holds its `Latent`. Whatever later has the text in
front of it (a judge, a reward model, a revision, a host function) reads from the marks what it is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ttsc.backends.simulator.tokenizer import ASSISTANT, END, MARK
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import Question, Workload

_MARK = re.compile("[\u2880-\u28ff][\u2800-\u28ff]{3}")
MOST_STEPS = 63
MOST_RANK = 255
_KINDS = (("A", "B", "C", "D", "E"), ("yes", "no"), ("true", "false"))
"""Answers of which there are few: a wrong one is another of the same kind.
"""


@dataclass(frozen=True, slots=True)
class Latent:
    """`fine`: no step up to this one is wrong. `rank`: the answer in the end, 0 the right one, from 1 the wrong ones;
    of an unfinished solution that is fine it is what will come of it if nothing else is drawn. `step`: of this one,
    from 0. `chance`: 16 bits, drawn once, from which whatever else there is to know of the candidate follows.
    """

    fine: bool
    rank: int
    step: int
    chance: int

    @property
    def right(self) -> bool:
        return self.rank == 0 and self.fine

    @property
    def share(self) -> float:
        """The chance as a number from 0 up to 1."""
        return (self.chance + 0.5) / 65536

    def mark(self) -> int:
        """The id of its token."""
        step, rank = min(self.step, MOST_STEPS), min(self.rank, MOST_RANK)
        return MARK | self.fine << 30 | step << 24 | rank << 16 | self.chance


@lru_cache(maxsize=65536)
def latent_of(mark: int) -> Latent:
    return Latent(bool(mark >> 30 & 1), mark >> 16 & 0xFF, mark >> 24 & 0x3F, mark & 0xFFFF)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a request has in front of it. `before`: the last mark of each candidate in the turns before, oldest first.
    `marks`: those of the turn that is open; `tail`: the ids of that turn after the last of them, or all of them.
    `answered`: the last mark in the latest turn of the assistant before, if it has any. `written`: how many tokens of
    the open turn there are.
    """

    before: tuple[Latent, ...]
    marks: tuple[Latent, ...]
    tail: tuple[int, ...]
    answered: Latent | None
    written: int


@lru_cache(maxsize=512)  # siblings have one prompt
def sight(ids: tuple[int, ...]) -> Sight:
    """`ids` are a conversation; the open turn is what follows the last token that begins one of the assistant's."""
    signs = [(place, each) for place, each in enumerate(ids) if each >= MARK or each <= ASSISTANT]
    opened = max((place for place, each in signs if each == ASSISTANT), default=-1)
    before: list[Latent] = []
    inside: list[Latent] = []
    answered: Latent | None = None
    turn, start = END, opened + 1
    for place, each in signs:
        if each <= ASSISTANT:
            turn = each
            continue
        latent = latent_of(each)
        if place > opened:
            inside.append(latent)
            start = place + 1
            continue
        if before and latent.step:
            before.pop()
        before.append(latent)
        if turn == ASSISTANT:
            answered = latent
    return Sight(tuple(before), tuple(inside), tuple(ids[start:]), answered, len(ids) - opened - 1)


def last_mark(text: str) -> tuple[Latent, str] | None:
    """The last mark in a text, and what follows it."""
    match = None
    for match in _MARK.finditer(text):  # noqa: B007  (the last one is wanted)
        pass
    if match is None:
        return None
    first, second, third, fourth = (ord(each) - 0x2800 for each in match.group())
    return latent_of(first << 24 | second << 16 | third << 8 | fourth), text[match.end() :]


# --- answers --------------------------------------------------------------------------------------------------------


class Answers:
    """The answers to one question. Right is rank 0; the wrong ones follow by likelihood: those that the workload names,
    then made-up ones.

    Made-up answers to questions without a known one are numbers that tell question and rank (`judged`).
    """

    def __init__(self, workload: Workload, place: int) -> None:
        self.question: Question = workload.questions[place]
        listed = sorted(self.question.answers, key=lambda each: -each[1])
        gold = self.question.gold if self.question.gold is not None else listed[0][0] if listed else None
        self._base = 256 * (place + 4)
        self.right = str(self._base) if gold is None else gold
        texts = {text: share for text, share in listed if share > 0}
        for row in self.question.by_temperature:
            texts |= {text: 0.0 for text, _ in row.answers if text not in texts}
        self._named = [text for text in texts if text != gold][:MOST_RANK]
        self._ratio = (1 - workload.collision) / (1 + workload.collision)
        self._wrong: dict[float, tuple[float, ...]] = {}
        self._at: dict[float, Question] = {}

    def at(self, temperature: float) -> Question:
        if temperature not in self._at:
            self._at[temperature] = self.question.at(temperature)
        return self._at[temperature]

    def wrong(self, temperature: float) -> tuple[float, ...]:
        """The chance of each rank from 1 on, given that a sample is wrong."""
        if temperature not in self._wrong:
            question = self.at(temperature)
            chances = dict(question.answers)
            named = [chances.get(text, 0.0) for text in self._named]
            rest = max(0.0, 1 - question.accuracy - sum(named)) if sum(named) else 1.0
            total = rest + sum(named)
            shares = [share / total for share in named]
            left = max(0.0, 1 - sum(shares))
            while len(shares) < MOST_RANK and left > 1e-9:
                shares.append(left * (1 - self._ratio))
                left *= self._ratio
            self._wrong[temperature] = tuple(shares)
        return self._wrong[temperature]

    @property
    def texts(self) -> frozenset[str]:
        """All answers that are ever given."""
        return frozenset(self.text(rank) for rank in range(MOST_RANK + 1))

    def draw_wrong(self, share: float, temperature: float) -> int:
        """The rank of a wrong answer, by a number from 0 to 1."""
        wrong = self.wrong(temperature)
        for rank, each in enumerate(wrong, 1):
            share -= each
            if share < 0:
                return rank
        return max(1, len(wrong))

    def text(self, rank: int) -> str:
        if rank == 0:
            return self.right
        if rank <= len(self._named):
            return self._named[rank - 1]
        return _other(self.right, rank, {self.right, *self._named})

    def judged(self, text: str) -> bool:
        """Whether the right answer stands in a text, as a word of its own."""
        if not self.right:
            return False
        return re.search(rf"(?<![\w.]){re.escape(self.right)}(?!\w|\.\d)", text) is not None


def _other(right: str, rank: int, taken: set[str]) -> str:
    """A wrong answer of the kind of the right one: another number, another letter, the other of yes and no."""
    for kind in _KINDS:
        others = [each for each in kind if each.lower() != right.lower()]
        if len(others) < len(kind):
            return others[rank % len(others)]
    try:
        number = float(right.replace(",", ""))
    except ValueError:
        return f"{right} {rank}"
    step = rank
    while (other := f"{number + step:.10g}") in taken:
        step += MOST_RANK
    return other


# --- steps ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def step_survival(steps: Lengths, accuracy: float) -> float:
    """The chance that a step does not go wrong, so that whole solutions come out right as often as `accuracy`.

    E[s ** J] = accuracy, J the number of steps.
    """
    if accuracy <= 0 or accuracy >= 1:
        return float(accuracy >= 1)
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        reached = sum(middle**each for each in steps.values) / len(steps.values)
        low, high = (middle, high) if reached < accuracy else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=4096)
def last_step(steps: Lengths, done: int) -> float:
    """The chance that the step after `done` ones is the last."""
    left = steps.survival(done)
    return 1.0 if left <= 0 else 1 - steps.survival(done + 1) / left
