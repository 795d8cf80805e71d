"""Replies of simulated models that judge, or answer at once: yes or no, a grade, A or B, JSON, an answer."""

from __future__ import annotations

import random
import re

from ttsc.backends.simulator.case import Case
from ttsc.backends.simulator.instances import About, instance
from ttsc.backends.simulator.latents import Latent
from ttsc.backends.simulator.tokenizer import END, decoded, spelled
from ttsc.backends.simulator.writing import filler
from ttsc.compiler.cost.workload import Rewards, Verdicts, Writing, of_kind

GRADES = Rewards(8.0, 1.5, 4.5, 2.5, low=0.0, high=10.0, whole=True)
"""Of judges, where the workload has nothing for them."""
_EITHER = re.compile(r"\bA\b.{1,30}\bB\b", re.DOTALL)
_YES = re.compile(r"\byes\b|\b(?:is|are) (?:it|this|that|they) (?:right|correct|true)\b", re.IGNORECASE)
_SAME = re.compile(r"\b(?:same|equal|equivalent|identical|agree)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\b(?:grade|score|rate|rating|number|percent)\b|\d+ to \d+", re.IGNORECASE)


def answer_at_once(case: Case, boxed: bool) -> list[int]:
    """After a lead-in: the answer of the candidate, of those in the prompt, or a new one."""
    prior = case.prior()
    if prior is None:
        rank = 0 if case.chance.random() < case.accuracy else case.wrong()
    elif case.seen.marks:
        rank = prior.rank if prior.rank or prior.fine else case.wrong()
    else:
        rank = 0 if case.revise(prior) else prior.rank or case.wrong()
    ids = spelled(f"{case.answers.text(rank)}}}" if boxed else f" {case.answers.text(rank)}")
    own = _own_writing(case)
    return [*ids, *filler(case.chance.getrandbits(16), case.tokens - 1 - len(ids))] if own else ids


def reply(case: Case) -> list[int]:
    """What is asked for, at once; then other forms of a judgement, as far as there is room, and filler."""
    judge = case.origin.op == "judge"
    prompt = decoded(case.request.input_ids)
    forms = [("either", _EITHER), ("yes", _YES), ("number", _NUMBER)]
    asked = [name for name, pattern in forms if pattern.search(prompt)] if judge or case.seen.before else []
    if not asked:
        asked = ["yes", "number"] if judge else ["answer"]
    words: list[str] = []
    for name in asked if judge else asked[:1]:
        if name == "either":
            words.append("A" if _first_wins(case) else "B")
        elif name == "yes":
            words.append({True: "Yes", False: "No", None: "Hm"}[_accepts(case, _true(case, prompt))])
        elif name == "number":
            words.append(_grade(case))
        else:
            words += decoded(answer_at_once(case, False)).split()[:1]
    room = min(case.tokens, case.request.sampling.max_tokens) - 1
    ids = spelled(words[0])
    for word in words[1:]:
        more = spelled(" " + word)
        if len(ids) + len(more) <= room:
            ids += more
    own = _own_writing(case)
    if own is not None and own.answer != Writing(own.tokens).answer:
        ids = spelled(own.answer.format(answer=words[0]))
    return [*ids, *filler(case.chance.getrandbits(16), case.tokens - 1 - len(ids))] if judge or own else ids


def _own_writing(case: Case) -> Writing | None:
    """What the workload says of this node, or of judges: else it is about longer texts than a reply."""
    table, origin = case.workload.writing, case.origin
    names = (origin.node, f"judge:{origin.role}", "judge") if origin.op == "judge" else (origin.node,)
    return next((table[name] for name in names if name in table), None)


def _fine(case: Case, latent: Latent | None) -> bool:
    """Whether a candidate is right; without a mark, whether the right answer stands in the last turn."""
    if latent is not None:
        return latent.fine
    ids = case.request.input_ids
    ends = [place for place, each in enumerate(ids) if each == END]
    start = ends[-2] if len(ends) > 1 else 0
    return case.answers.judged(decoded(ids[start:]))


def _true(case: Case, prompt: str) -> bool:
    """Whether yes is the right reply: the candidate is right; or two candidates give the same answer, if that is
    what is asked.
    """
    seen = (*case.seen.before, *case.seen.marks)
    if len(seen) > 1 and _SAME.search(prompt):
        return seen[-1].rank == seen[-2].rank
    return _fine(case, seen[-1] if seen else None)


def _accepts(case: Case, true: bool) -> bool | None:
    """A verdict that errs as the workload says; None: no verdict."""
    origin = case.origin
    rates = of_kind(case.workload.verdicts, origin.node, origin.op, origin.role) or Verdicts()
    if case.chance.random() < rates.no_verdict:
        return None
    right, wrong = verdict_rates(rates, case.answers.question.accuracy)
    return case.chance.random() < (right if true else wrong)


def _grade(case: Case) -> str:
    seen = (*case.seen.before, *case.seen.marks)
    fine = _fine(case, seen[-1] if seen else None)
    value = _drawn(case, fine)
    return f"{value:.0f}" if _grades(case).whole else f"{value:.2f}"


def _grades(case: Case) -> Rewards:
    named = {name: each for name, each in case.workload.rewards.items() if name != "default"}
    origin = case.origin
    return of_kind(named, origin.node, origin.op, origin.role) or GRADES


def _drawn(case: Case, fine: bool) -> float:
    return drawn_reward(_grades(case), fine, case.chance, case.seed, case.origin.input)


def _first_wins(case: Case) -> bool:
    """Of two candidates the one of the better grade."""
    pair = [_fine(case, each) for each in case.seen.before[-2:]]
    grades = [_drawn(case, each) for each in pair]
    return len(grades) < 2 or grades[0] > grades[1] or (grades[0] == grades[1] and case.chance.random() < 0.5)


def json_reply(case: Case, schema: str) -> list[int]:
    seen = (*case.seen.before, *case.seen.marks)
    fine = _fine(case, seen[-1]) if seen else None
    right = case.chance.random() < case.accuracy
    rank = 0 if right else case.wrong()
    accepts = case.chance.random() < 0.5 if fine is None else bool(_accepts(case, fine))
    about = About(case.answers.text(rank), case.new(right, rank, 0), accepts)
    return spelled(instance(schema, case.chance, about, case.tokens - 1))


def drawn_reward(rewards: Rewards, fine: bool, chance: random.Random, seed: int, input_index: int) -> float:
    """A reward or a grade; what is common to an input's candidates depends on `seed` alone."""
    mean, sd = (rewards.right_mean, rewards.right_sd) if fine else (rewards.wrong_mean, rewards.wrong_sd)
    value = chance.gauss(mean, sd)
    if rewards.question_sd:
        value += random.Random(hash((seed, 2, input_index))).gauss(0, rewards.question_sd)
    value = value if rewards.low is None else max(value, rewards.low)
    value = value if rewards.high is None else min(value, rewards.high)
    return float(round(value)) if rewards.whole else value


def verdict_rates(verdicts: Verdicts, accuracy: float) -> tuple[float, float]:
    """The true-positive and the false-positive rate for an input of this accuracy."""
    right, wrong = verdicts.true_positive, verdicts.false_positive
    for edge, true_positive, false_positive in verdicts.by_accuracy:
        if accuracy >= edge:
            right, wrong = true_positive, false_positive
    return right, wrong
