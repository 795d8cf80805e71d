"""The operators of the language as data: what they take, with the published or documented default.

To add one: a `Spec` here, its result type in `operator_types.py`, its lowering in `ir/build/`. Names of choices
are part of the language; everything that published code leaves implicit is a parameter with a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, OptionalOf, Type

ANY_NUMBER = FLOAT


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, written bare: `order=tokens`."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ElementFunction:
    """A function of one element: a lambda, a function's name, or the bare name of a candidate's field."""

    gives: str
    """For messages: what it should give."""


@dataclass(frozen=True, slots=True)
class TextFunction:
    """A function of generated text (`read=last_number`)."""

    gives: Type


@dataclass(frozen=True, slots=True)
class ModelRoleParameter:
    """The bare name of a declared model."""


@dataclass(frozen=True, slots=True)
class SameAsElement:
    """A value of the type of the source's elements."""


Kind = Type | Choice | ElementFunction | TextFunction | ModelRoleParameter | SameAsElement


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One parameter. `default` is a constant or the word of a choice; None with `required=False` means "not given"."""

    name: str
    kind: Kind
    required: bool = False
    default: str | int | float | bool | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """An operator. `source` says in words what is piped in."""

    name: str
    group: Literal["generation", "judgement", "selection", "control"]
    source: str
    parameters: tuple[ParameterSpec, ...]
    doc: str


def _generation(max_tokens: int, temperature: float) -> tuple[ParameterSpec, ...]:
    return (
        ParameterSpec("temperature", FLOAT, default=temperature, doc="0 is greedy"),
        ParameterSpec("top_p", FLOAT, default=1.0, doc="nucleus: smallest set of tokens with this probability"),
        ParameterSpec("top_k", INT, default=-1, doc="most probable tokens to draw from; -1: all"),
        ParameterSpec("min_p", FLOAT, default=0.0, doc="least probability relative to the most probable token"),
        ParameterSpec("max_tokens", INT, default=max_tokens, doc="tokens at most, per candidate"),
        ParameterSpec("model", ModelRoleParameter(), doc="the role that generates; the first declared"),
    )


_UNTIL = (
    ParameterSpec("until", OptionalOf(STR), default=None, doc="stop at this text"),
    ParameterSpec("delimiter", Choice(("keep", "drop")), default="keep", doc="whether the `until` text stays"),
)
_TIES = ParameterSpec("ties", Choice(("first", "last")), default="first", doc="which index wins a tie")
_COUNT = ParameterSpec("n", INT, required=True, doc="how many")
_READ_DOC = "reads the judge's text"

OPERATORS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec(
            "sample",
            "generation",
            "a Context or a list of them",
            (_COUNT, *_generation(1024, 0.7), *_UNTIL),
            "n independent continuations of a context",
        ),
        Spec(
            "branch",
            "generation",
            "a Candidate, a Context, or a list of them",
            (
                _COUNT,
                *_UNTIL,
                *_generation(1024, 0.7),
                ParameterSpec(
                    "finished",
                    Choice(("freeze", "drop", "continue")),
                    default="freeze",
                    doc="what happens to a candidate that ended by itself",
                ),
            ),
            "every candidate continued n ways, up to a delimiter: one step",
        ),
        Spec(
            "force",
            "generation",
            "a Candidate or a list of them",
            (ParameterSpec("text", STR, required=True, doc="appended as if the model had said it"),),
            "fixed text appended to what a candidate generated",
        ),
        Spec(
            "refine",
            "generation",
            "a Candidate or a list of them",
            (
                ParameterSpec("with", ElementFunction("a prompt"), required=True, doc="the turns to add"),
                *_generation(1024, 0.7),
            ),
            "the conversation goes on: more turns, and a new answer whose prefix is the old one",
        ),
        Spec(
            "verify",
            "judgement",
            "a list of candidates",
            (
                ParameterSpec(
                    "test",
                    ElementFunction("a bool, or a judge prompt"),
                    required=True,
                    doc="whether a candidate passes",
                ),
                ParameterSpec("read", TextFunction(OptionalOf(BOOL)), doc=_READ_DOC + "; default: the first yes or no"),
                *_generation(16, 0.0),
            ),
            "the candidates that pass a test: an extern, a condition, or a judge prompt",
        ),
        Spec(
            "score",
            "judgement",
            "a list of candidates",
            (
                ParameterSpec("by", ElementFunction("a number, or a judge prompt"), required=True, doc="the score"),
                ParameterSpec("read", TextFunction(OptionalOf(FLOAT)), doc=_READ_DOC + "; default: the last number"),
                ParameterSpec("otherwise", FLOAT, default=0.0, doc="the score of an unreadable judgement"),
                *_generation(16, 0.0),
            ),
            "every candidate with its score",
        ),
        Spec(
            "vote",
            "selection",
            "a list of candidates or of answers",
            (
                ParameterSpec("by", ElementFunction("a str or str?"), doc="a candidate's answer"),
                ParameterSpec("weight", ElementFunction("a number"), doc="a candidate's weight; 1 if not given"),
                ParameterSpec(
                    "max_weight",
                    OptionalOf(FLOAT),
                    default=None,
                    doc="weights lie in 0..max_weight; lets a weighted vote be decided early",
                ),
                _TIES,
                ParameterSpec(
                    "invalid",
                    Choice(("drop", "count")),
                    default="drop",
                    doc="a candidate without an answer: dropped, or a vote for having none",
                ),
                ParameterSpec("otherwise", STR, default="", doc="the result if nothing was voted for"),
            ),
            "the answer with most votes, or the greatest sum of weights",
        ),
        Spec(
            "best",
            "selection",
            "a list of candidates",
            (
                ParameterSpec("by", ElementFunction("a number"), default="score", doc="what is greatest"),
                _TIES,
                ParameterSpec("maximum", OptionalOf(FLOAT), default=None, doc="no key is greater: lets it stop early"),
            ),
            "the candidate with the greatest key",
        ),
        Spec(
            "keep",
            "selection",
            "a list of candidates",
            (
                _COUNT,
                ParameterSpec("by", ElementFunction("a number"), default="score", doc="what is greatest"),
                _TIES,
                ParameterSpec("maximum", OptionalOf(FLOAT), default=None, doc="no key is greater: lets it stop early"),
            ),
            "the n candidates with the greatest keys, greatest first",
        ),
        Spec(
            "stop_first",
            "selection",
            "a list of candidates",
            (
                ParameterSpec("n", INT, default=1, doc="how many finishers"),
                ParameterSpec(
                    "order",
                    Choice(("tokens", "time")),
                    default="tokens",
                    doc="first by fewest tokens (reproducible) or by arrival",
                ),
                ParameterSpec(
                    "truncated",
                    Choice(("exclude", "include")),
                    default="exclude",
                    doc="whether a candidate cut by max_tokens counts as finished",
                ),
            ),
            "the n candidates that finish first; the others are stopped",
        ),
        Spec(
            "one",
            "selection",
            "a list",
            (ParameterSpec("otherwise", SameAsElement(), doc="the result if the list is empty"),),
            "the first element",
        ),
        Spec(
            "each",
            "control",
            "a list",
            (ParameterSpec("do", ElementFunction("a value"), required=True, doc="what is done with each"),),
            "a value for each element",
        ),
        Spec(
            "filter",
            "control",
            "a list",
            (ParameterSpec("where", ElementFunction("a bool"), required=True, doc="which elements stay"),),
            "the elements for which it is true",
        ),
        Spec(
            "any",
            "selection",
            "a list",
            (ParameterSpec("where", ElementFunction("a bool"), doc="asked of each element"),),
            "whether it is true of any",
        ),
        Spec(
            "all",
            "selection",
            "a list",
            (ParameterSpec("where", ElementFunction("a bool"), doc="asked of each element"),),
            "whether it is true of all",
        ),
    )
}
