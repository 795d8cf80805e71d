"""What models do on a kind of input: how long they write, how often they are right, how well verifiers tell.

A `Workload` is declared in a TOML file (`workload_file.py`) or measured by `ttsc calibrate`. It says nothing about
programs or engines. Kinds of requests are looked up by the node's id, then by "OP:ROLE", by the operation (`sample`,
`branch`, `refine`, `judge`), by the role, then `default`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ttsc.compiler.cost.distributions import Lengths

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AtTemperature:
    """What samples of one input are like at a temperature: as in `Question`."""

    temperature: float
    accuracy: float
    answers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One input, as far as it is known. `accuracy`: probability that one sample is right (of `Writing.temperature`'s
    setting). `answers`: the probability of each answer, by its text; empty if unknown. What they leave of the
    probability of being wrong is drawn by `Workload.collision`. The text "" stands for samples without an answer.
    `gold`: the right one, None if unknown: then the likeliest of `answers` counts as right. `weight`: how much it
    counts in means. `by_temperature`: of each temperature that was measured, ascending; empty: the same at all. Cooler
    samples of one input agree more, whether right or wrong, which no shift of accuracies says.
    """

    accuracy: float
    answers: tuple[tuple[str, float], ...] = ()
    gold: str | None = None
    prompt_tokens: int | None = None
    weight: float = 1.0
    by_temperature: tuple[AtTemperature, ...] = ()

    def at(self, temperature: float) -> Question:
        """The same input at one temperature: between two that were measured a mixture of both, beyond them as at the
        last.
        """
        rows = self.by_temperature
        if not rows:
            return self
        gold = self.gold
        if gold is None and self.answers:
            gold = max(self.answers, key=lambda each: each[1])[0]
        above = next((i for i, each in enumerate(rows) if each.temperature >= temperature), len(rows) - 1)
        high = rows[above]
        low = rows[above - 1] if above and temperature < high.temperature else high
        share = (temperature - low.temperature) / (high.temperature - low.temperature) if low is not high else 1.0
        mixed: dict[str, float] = {}
        for row, part in ((low, 1 - share), (high, share)):
            for text, chance in row.answers if part else ():
                mixed[text] = mixed.get(text, 0.0) + part * chance
        accuracy = (1 - share) * low.accuracy + share * high.accuracy
        return replace(self, accuracy=accuracy, answers=tuple(mixed.items()), gold=gold, by_temperature=())


@dataclass(frozen=True, slots=True)
class Writing:
    """What generations of one kind are like.

    tokens: of one request, up to and with the end of sequence or the stop string, before any max_tokens cuts it. steps:
    how many steps (up to a delimiter) a solution has that is written step by step. answer: how an answer ends the text,
    as Python's `str.format` with `{answer}`. temperature: that the figures hold for (None: any). skill: accuracy
    relative to `Question.accuracy`, on the logit scale: 0 is the same, for another model or temperature.
    by_temperature: (temperature, skill beyond that) of each temperature that was measured, ascending.
    """

    tokens: Lengths
    steps: Lengths | None = None
    answer: str = "\\boxed{{{answer}}}"
    temperature: float | None = None
    skill: float = 0.0
    by_temperature: tuple[tuple[float, float], ...] = ()

    def skill_at(self, temperature: float) -> float:
        """The skill at a temperature: between two that were measured in proportion, beyond them as at the last."""
        rows = self.by_temperature
        if not rows or temperature <= rows[0][0]:
            return self.skill + (rows[0][1] if rows else 0.0)
        for (low, at_low), (high, at_high) in zip(rows, rows[1:], strict=False):
            if temperature <= high:
                return self.skill + at_low + (at_high - at_low) * (temperature - low) / (high - low)
        return self.skill + rows[-1][1]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How a yes/no verifier errs: probability that it accepts a right and a wrong candidate.

    `by_accuracy`: (lower edge of `Question.accuracy`, true-positive rate, false-positive rate) for bins of difficulty,
    ascending; empty: the two rates for all. `no_verdict`: probability that it says neither.
    """

    true_positive: float = 0.8
    false_positive: float = 0.2
    by_accuracy: tuple[tuple[float, float, float], ...] = ()
    no_verdict: float = 0.0


@dataclass(frozen=True, slots=True)
class Rewards:
    """Raw outputs of a reward model (or grades of a judge): normal, with these means and standard deviations for right
    and wrong candidates; `question_sd` is common to all candidates of an input. For unfinished candidates "right" means
    that no step so far is wrong. Values outside of `low` to `high` become the nearer end; `whole`: rounded.
    """

    right_mean: float = 1.0
    right_sd: float = 1.0
    wrong_mean: float = -1.0
    wrong_sd: float = 1.0
    question_sd: float = 0.0
    low: float | None = None
    high: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Confidence:
    """Log-probabilities of tokens (natural logarithm): a candidate's mean is normal, with these means and standard
    deviations for right and wrong candidates, and its tokens vary around it.
    """

    right_mean: float = -0.3
    right_sd: float = 0.1
    wrong_mean: float = -0.5
    wrong_sd: float = 0.15


@dataclass(frozen=True, slots=True)
class Revisions:
    """What becomes of a candidate that is revised (refined, or continued after a forced text).

    fixes: probability that a wrong one becomes right; breaks: that a right one becomes wrong.
    """

    fixes: float = 0.1
    breaks: float = 0.05


@dataclass(frozen=True, slots=True)
class Workload:
    """`questions`: each stands for inputs like it; input i of a run is question i modulo their number.

    collision: probability that two wrong answers to one input agree. samples: how many samples stand behind a measured
    one; 0 for a declared one. hash: of all that it says (`workload_file.content_hash`).
    """

    name: str
    questions: tuple[Question, ...]
    writing: Mapping[str, Writing]
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    rewards: Mapping[str, Rewards] = field(default_factory=dict)
    revisions: Mapping[str, Revisions] = field(default_factory=dict)
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    collision: float = 0.3
    samples: int = 0
    hash: str = ""

    def question(self, input_index: int) -> Question:
        return self.questions[input_index % len(self.questions)]


def of_kind(table: Mapping[str, T], node: str, op: str, role: str) -> T | None:
    """The entry of a table that fits best; None if there is none, not even `default`."""
    for name in (node, f"{op}:{role}", op, role, "default"):
        if name in table:
            return table[name]
    return None
