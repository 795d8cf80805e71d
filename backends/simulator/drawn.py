"""Outcomes drawn from a workload.

What a request says follows from its prompt's marks (`latents.py`), the workload's figures for its kind, and a generator
seeded by the outcome seed, the request's own seed, the input and the prompt. At temperature 0 the request's seed
counts for nothing: the same prompt always gets the same.

A generation is one of these:

    JSON           if it has a schema
    a reply        of a judge, or where there is room for a few tokens only: yes or no, a grade, A or B, an answer
    an answer      where the open turn ends with a lead-in ("Answer:")
    a step         of a branch whose stop string is white space: by chance the last one, which gives the answer
    a solution     whole, or what is missing of one; also the revision of a candidate: refined, forced, or written anew
                   after a prompt that holds it
"""

from __future__ import annotations

import math
import random
import re

from ttsc.backends.protocol import EmbedRequest, GenerateRequest, Origin, RewardRequest, ScoreRequest, confidence
from ttsc.backends.simulator.case import WORDS, Case, skilled
from ttsc.backends.simulator.latents import Answers, Latent, sight
from ttsc.backends.simulator.outcomes import Decoded
from ttsc.backends.simulator.replies import answer_at_once, drawn_reward, json_reply, reply, verdict_rates
from ttsc.backends.simulator.solutions import solution, step
from ttsc.backends.simulator.tokenizer import ASSISTANT, END, MARK, decoded, spelled
from ttsc.backends.simulator.vectors import bag_of_words
from ttsc.backends.simulator.writing import settled
from ttsc.compiler.cost.workload import Confidence, Rewards, Verdicts, Workload, Writing, of_kind

BARE_TOKENS = 4
"""With so few tokens at most nobody explains anything: the reply comes at once."""
_NOWHERE = Origin("", "sample", "", 0, "", 0)
_LEAD_IN = re.compile(r"(?:\banswer\b(?:\s+is)?\s*:?|\\boxed\{)\s*$", re.IGNORECASE)


class WorkloadOutcomes:
    """The `Outcomes` of a workload. `seed`: another one, another sample of the same."""

    def __init__(self, workload: Workload, seed: int = 0) -> None:
        self.workload = workload
        self._seed = seed
        self._answers: dict[int, Answers] = {}

    def answers(self, input_index: int) -> Answers:
        """What can be answered to one input."""
        place = input_index % len(self.workload.questions)
        if place not in self._answers:
            self._answers[place] = Answers(self.workload, place)
        return self._answers[place]

    # --- generation ---

    def decode(self, request: GenerateRequest) -> Decoded:
        case = self._case(request)
        said = _said(case)
        if not (request.logprobs or request.confidences):
            return said
        marks = sight((ASSISTANT, *said.ids)).marks or case.seen.marks
        logprobs = self._logprobs(marks[-1] if marks else None, case.origin, len(said.ids), case.chance)
        sure = tuple(_confidence(each, request.confidences) for each in logprobs) if request.confidences else None
        return Decoded(said.ids, said.finish, said.matched, logprobs if request.logprobs else None, sure)

    def _case(self, request: GenerateRequest) -> Case:
        origin, sampling = request.origin or _NOWHERE, request.sampling
        drawn = 0 if sampling.temperature == 0 or sampling.seed is None else sampling.seed + 1
        chance = random.Random(hash((self._seed, drawn, origin.input, request.input_ids)))
        writing, answers = self._writing(origin), self.answers(origin.input)
        return Case(
            workload=self.workload,
            seed=self._seed,
            request=request,
            origin=origin,
            chance=chance,
            seen=sight(request.input_ids),
            answers=answers,
            writing=writing,
            accuracy=skilled(answers.at(sampling.temperature).accuracy, writing.skill_at(sampling.temperature)),
            tokens=max(1, writing.tokens.draw(chance)),
        )

    def _writing(self, origin: Origin) -> Writing:
        """Of this kind; of the first kind there is if the workload has neither it nor a default."""
        table = self.workload.writing
        found = of_kind(table, origin.node, origin.op, origin.role)
        return found if found is not None else table[min(table)]

    # --- scores ---

    def rewards(self, request: RewardRequest) -> tuple[float, ...]:
        origin, ids = request.origin or _NOWHERE, request.input_ids
        latent, answers = _latest(ids), self.answers(origin.input)
        fine = latent.fine if latent is not None else answers.judged(decoded(ids))
        chance = random.Random(hash((self._seed, 1, origin.input, ids)))
        rewards = of_kind(self.workload.rewards, origin.node, origin.op, origin.role) or Rewards()
        return (drawn_reward(rewards, fine, chance, self._seed, origin.input),)

    def scores(self, request: ScoreRequest) -> tuple[float, ...]:
        origin, ids = request.origin or _NOWHERE, request.input_ids
        count = len(ids) - request.start
        chance = random.Random(hash((self._seed, 3, origin.input, request.start, ids)))
        latent = _latest(ids)
        if origin.op == "choices" and count:
            total = self._choice(decoded(ids[request.start :]).strip(), latent, origin, chance)
            return (total, *[0.0] * (count - 1))
        return self._logprobs(latent, origin, count, chance)

    def _choice(self, text: str, latent: Latent | None, origin: Origin, chance: random.Random) -> float:
        """How probable a given text is as what comes next: a verdict on the candidate, or an answer."""
        answers, word = self.answers(origin.input), text.lower()
        if latent is not None and word in ("yes", "true", "no", "false"):
            rates = of_kind(self.workload.verdicts, origin.node, "judge", origin.role) or Verdicts()
            right, wrong = verdict_rates(rates, answers.question.accuracy)
            drawn = random.Random(hash((self._seed, 4, origin.input, latent.mark()))).random()
            accepts = drawn < (right if latent.fine else wrong)
            return math.log(0.9 if accepts == (word in ("yes", "true")) else 0.1)
        share = answers.question.accuracy if text == answers.right else (1 - answers.question.accuracy) / 4
        return min(-1e-4, math.log(max(share, 1e-3)) + chance.gauss(0, 0.1))

    def _logprobs(self, latent: Latent | None, origin: Origin, count: int, chance: random.Random) -> tuple[float, ...]:
        """Each exponential, with the mean that was drawn for the candidate."""
        figures = of_kind(self.workload.confidence, origin.node, origin.op, origin.role) or Confidence()
        fine = latent is None or latent.fine
        mean, sd = (figures.right_mean, figures.right_sd) if fine else (figures.wrong_mean, figures.wrong_sd)
        of_candidate = random.Random(hash((self._seed, 5, 0 if latent is None else latent.mark())))
        level = min(-1e-4, of_candidate.gauss(mean, sd))
        return tuple(level * chance.expovariate(1.0) for _ in range(count))

    def embed(self, request: EmbedRequest) -> tuple[float, ...]:
        """Of what is neither filler nor a mark: candidates with the same answer are near each other."""
        content = [each for each in request.input_ids if each not in WORDS and each < MARK]
        return bag_of_words(decoded(content or request.input_ids))


def _said(case: Case) -> Decoded:
    sampling, op = case.request.sampling, case.origin.op
    if sampling.schema is not None:
        return settled(json_reply(case, sampling.schema), sampling, True)
    stepwise = op == "branch" and any(stop.isspace() for stop in sampling.stop)
    if op == "judge" or (sampling.max_tokens <= BARE_TOKENS and not stepwise):
        return settled(reply(case), sampling, True)
    lead_in = _LEAD_IN.search(decoded(case.seen.tail[-16:])) if case.seen.tail else None
    if lead_in is not None:
        return settled(answer_at_once(case, lead_in.group().rstrip().endswith("{")), sampling, True)
    if stepwise:
        return step(case)
    if not sampling.stop or op == "branch":
        return settled(solution(case, 1), sampling, True)
    stop = sampling.stop[0]
    closing = spelled(stop if stop[0].isspace() else " " + stop)
    return settled([*solution(case, len(closing)), *closing], sampling, False)


def _confidence(logprob: float, most: int) -> float:
    """Of a token of this log-probability that is the most probable one, where the others of the `most` most probable
    ones share what is left.
    """
    rest = max(1e-9, 1 - math.exp(logprob)) / max(1, most - 1)
    return confidence([logprob, *[math.log(rest)] * (most - 1)])


def _latest(ids: tuple[int, ...]) -> Latent | None:
    """The mark of what the assistant said last, or else of what stands last in the conversation."""
    end = len(ids)
    while end and ids[end - 1] in (END, ASSISTANT):
        end -= 1
    seen = sight(ids[:end])
    return seen.marks[-1] if seen.marks else seen.before[-1] if seen.before else None
