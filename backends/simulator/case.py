"""One generation of a simulated model while its outcome is drawn: what is asked, what is in front of it, and chance."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from ttsc.backends.protocol import GenerateRequest, Origin
from ttsc.backends.simulator.latents import Answers, Latent, Sight
from ttsc.backends.simulator.tokenizer import FILLER_IDS, MARK, decoded, spelled
from ttsc.compiler.cost.workload import Revisions, Workload, Writing, of_kind

WORDS = frozenset(FILLER_IDS)


@dataclass(frozen=True, slots=True)
class Case:
    """One generation while its outcome is drawn. `tokens`: how long it will be, its last token included."""

    workload: Workload
    seed: int
    request: GenerateRequest
    origin: Origin
    chance: random.Random
    seen: Sight
    answers: Answers
    writing: Writing
    accuracy: float
    tokens: int

    def new(self, fine: bool, rank: int, step: int) -> Latent:
        return Latent(fine, rank, step, self.chance.getrandbits(16))

    def wrong(self) -> int:
        return self.answers.draw_wrong(self.chance.random(), self.request.sampling.temperature)

    def answer(self, rank: int) -> list[int]:
        """The end of a text that gives this answer; nothing for the answer ""."""
        text = self.answers.text(rank)
        if not text:
            return []
        end = self.writing.answer.format(answer=text)
        for stop in self.request.sampling.stop:
            if stop.isspace():
                end = end.replace(stop, " ")
        return spelled(" " + end)

    def prior(self) -> Latent | None:
        """The candidate that this one goes on with or starts from."""
        seen = self.seen
        if seen.marks:
            return seen.marks[-1]
        if self.origin.op == "refine" and seen.answered is not None:
            return seen.answered
        return self.chance.choice(seen.before) if seen.before else None

    def revised(self) -> bool:
        """Whether a candidate is taken up again, rather than continued: in a new turn, or after a forced text."""
        if not self.seen.marks:
            return True
        said = decoded([each for each in self.seen.tail if each not in WORDS]).strip()
        given = self.answers.text(self.seen.marks[-1].rank)
        return bool(said) and not _squeezed(self.writing.answer.format(answer=given)).startswith(_squeezed(said))

    def revise(self, prior: Latent) -> bool:
        """Whether the revision is right."""
        origin = self.origin
        rates = of_kind(self.workload.revisions, origin.node, origin.op, origin.role) or Revisions()
        drawn = self.chance.random()
        return drawn >= rates.breaks if prior.right else drawn < rates.fixes

    def begun(self, rank: int) -> list[int] | None:
        """What is missing of an answer that max_tokens cut; None if it had not begun."""
        text, answer = decoded(self.seen.tail), decoded(self.answer(rank))
        for length in range(len(answer), 1, -1):
            if text.endswith(answer[:length]):
                return spelled(answer[length:])
        return None

    def cut_off(self) -> bool:
        """Whether max_tokens cut what was written last, in the middle of a step."""
        ids = self.request.input_ids
        return bool(ids) and (ids[-1] in WORDS or ids[-1] >= MARK)


def skilled(accuracy: float, skill: float) -> float:
    """An accuracy moved by `skill` on the logit scale."""
    if not skill or not 0 < accuracy < 1:
        return accuracy
    return 1 / (1 + math.exp(-(math.log(accuracy / (1 - accuracy)) + skill)))


def _squeezed(text: str) -> str:
    return "".join(text.split())
