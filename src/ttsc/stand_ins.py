"""Stand-ins for host functions, so that a program can be simulated without them.

They go by what a function gives: a `bool` is a verdict on the candidate that is found in the arguments, a number a
reward of it, a text filler, a record or a list JSON that conforms, with the verdict where a field is named like one.
An oracle knows the truth.

A candidate is found by the marks in its text (`backends/simulator/latents.py`), or by the right answer standing there.
Verdicts are without error unless the workload says otherwise, under the function's name or `extern`.
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ttsc.backends.simulator.instances import About, instance
from ttsc.backends.simulator.latents import Answers, Latent, last_mark
from ttsc.backends.simulator.replies import drawn_reward, verdict_rates
from ttsc.backends.simulator.tokenizer import FILLER_WORDS
from ttsc.compiler.cost.workload import Rewards, Workload, of_kind
from ttsc.compiler.ir.nodes import ExternSignature, Program
from ttsc.compiler.values.schema import schema_text
from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, OptionalOf, Type
from ttsc.externs import Externs, offered
from ttsc.runtime.values import plain

_FILLER = re.compile(r"\b(?:" + "|".join(FILLER_WORDS) + r")\b|\s")
_TEXT_TOKENS = 16
"""Of a text that a stand-in gives, or of the texts in a record."""


def with_stand_ins(
    program: Program,
    given: Externs | None,
    workload: Workload,
    *,
    inputs: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
) -> dict[str, Callable[..., Any]]:
    """The host's functions, and stand-ins for what the program declares besides: those of the standard library, too,
    and those of which the workload has figures by their own names. A check of a solution finds nothing in filler.

    `inputs`: the parameters of each input, by which an argument tells which question it is about.
    """
    functions = offered(given)
    for signature in program.externs:
        measured = signature.name in workload.verdicts or signature.name in workload.rewards
        if measured or signature.name not in functions:
            functions[signature.name] = StandIn(signature, workload, inputs, seed)
    return functions


class StandIn:
    """One of them. Equal arguments give equal values."""

    def __init__(
        self, signature: ExternSignature, workload: Workload, inputs: Sequence[Mapping[str, Any]], seed: int
    ) -> None:
        self._signature = signature
        self._workload = workload
        self._seed = seed
        self._answers = [Answers(workload, place) for place in range(len(workload.questions))]
        self._places: dict[str, int] = {}
        for number, values in enumerate(inputs):
            for value in values.values():
                if isinstance(value, str) and value:
                    self._places.setdefault(value, number % len(self._answers))
        self.__name__ = signature.name

    def __call__(self, *arguments: object) -> Any:
        texts = [text for argument in arguments for text in _texts(plain(argument))]
        key = "\0".join([self._signature.name, *texts])
        chance = random.Random(zlib.crc32(key.encode("utf-8", "replace")) + self._seed)
        place = next((self._places[text] for text in texts if text in self._places), None)
        right = self._right(texts, place)
        answers = self._answers[place or 0]
        if self._signature.kind != "oracle":
            right = self._verdict(right, answers, chance)
        return self._value(self._signature.returns, right, answers, chance)

    def _right(self, texts: Sequence[str], place: int | None) -> bool:
        """Whether the candidate in the arguments is right: the last one, if it is complete."""
        for text in reversed(texts):
            found = last_mark(text)
            if found is not None:
                latent, rest = found
                return latent.right and bool(_FILLER.sub("", rest))
        known = self._answers if place is None else [self._answers[place]]
        return any(text.strip() == each.right or each.judged(text) for text in texts for each in known)

    def _verdict(self, right: bool, answers: Answers, chance: random.Random) -> bool:
        named = {name: each for name, each in self._workload.verdicts.items() if name != "default"}
        rates = of_kind(named, self._signature.name, "extern", "")
        if rates is None:
            return right
        accepted = verdict_rates(rates, answers.question.accuracy)
        return chance.random() >= rates.no_verdict and chance.random() < accepted[0 if right else 1]

    def _value(self, kind: Type, right: bool, answers: Answers, chance: random.Random) -> Any:
        if isinstance(kind, OptionalOf):
            kind = kind.item
        if kind == BOOL:
            return right
        if kind in (INT, FLOAT):
            rewards = of_kind(self._workload.rewards, self._signature.name, "extern", "") or Rewards()
            value = drawn_reward(rewards, right, chance, self._seed, 0)
            return round(value) if kind == INT else value
        if kind == STR and self._signature.kind == "oracle":
            return answers.right
        about = About(answers.right, Latent(right, 0 if right else 1, 0, chance.getrandbits(16)), right)
        return json.loads(instance(schema_text(kind), chance, about, _TEXT_TOKENS))


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for each in value.values() for text in _texts(each)]
        case list() | tuple():
            return [text for each in value for text in _texts(each)]
    return []
