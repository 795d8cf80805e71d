"""How an operator is described: what it is given, what its parameters may be, and within which limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ttsc.compiler.values.types import (
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    STR,
    TREE,
    ListOf,
    OptionalOf,
    Type,
    assignable,
)

Group = Literal["generation", "judgement", "selection", "control", "search"]


# --- what a parameter may be ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, written bare: `order=tokens`."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ElementFunction:
    """A function of one element: a lambda, a function's name, a field, or an expression over fields.

    `types`: what it may give; anything if empty. `key`: it may also give a bool, or a list of numbers and bools, which
    are compared one after the other.
    """

    gives: str
    types: tuple[Type, ...] = ()
    key: bool = False


@dataclass(frozen=True, slots=True)
class PairFunction:
    """A function of two elements: `(a, b) => …`."""

    gives: str
    types: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class DependencyFunction:
    """A function of an element and the list of what those it needs gave: `(x, found) => …`."""

    gives: str


@dataclass(frozen=True, slots=True)
class TextFunction:
    """A function of generated text (`read=last_number`). `types`: what it may give."""

    gives: str
    types: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Scorer:
    """A function of one element, a judge prompt, or a model: `prm`, `role.perplexity`, `role.logprob`."""

    gives: str
    types: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class ModelRoleParameter:
    """The bare name of a declared model."""


@dataclass(frozen=True, slots=True)
class RecordParameter:
    """The bare name of a declared record."""


@dataclass(frozen=True, slots=True)
class SameAsElement:
    """A value of the type of the source's elements."""


@dataclass(frozen=True, slots=True)
class SameAsRecord:
    """A record of the kind that is asked for, or none."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A value, or a list of values that the candidates take in turn."""

    of: Type


@dataclass(frozen=True, slots=True)
class Either:
    """A value of one of these types."""

    types: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """A record of the engine's own options. With `grid`, or a list of records that the candidates take in turn."""

    grid: bool = False


Kind = (
    Type
    | Choice
    | ElementFunction
    | PairFunction
    | DependencyFunction
    | TextFunction
    | Scorer
    | ModelRoleParameter
    | RecordParameter
    | SameAsElement
    | SameAsRecord
    | Grid
    | Either
    | EngineOptions
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Constants outside `low..high` are errors; values known only at run time are checked there."""

    low: float
    high: float
    words: str


COUNT = Limits(1, 100_000, "at least 1")


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One parameter. `default` is a constant or the word of a choice; None with `required=False` means "not given".

    `static`: a decision rule must know it before anything runs.
    """

    name: str
    kind: Kind
    required: bool = False
    default: str | int | float | bool | None = None
    doc: str = ""
    limits: Limits | None = None
    static: bool = False


# --- what is piped in -----------------------------------------------------------------------------------------------

Takes = Callable[[Type], Type | None]
"""From the type of what is piped in to the type of one element of it, or None if it does not fit."""


def contexts(type_: Type) -> Type | None:
    """A Context or a list of them."""
    item = _item(type_)
    return CONTEXT if type_ == CONTEXT or item == CONTEXT else None


def candidates(type_: Type) -> Type | None:
    """A Candidate, a Context, or a list of them."""
    item = _item(type_)
    if item is not None:
        return item if assignable(item, CANDIDATE) else None
    return type_ if assignable(type_, CANDIDATE) else None


def pools(type_: Type) -> Type | None:
    """A list of candidates."""
    item = _item(type_)
    return item if item is not None and assignable(item, CANDIDATE) else None


def answers(type_: Type) -> Type | None:
    """A list of candidates or of answers."""
    item = _item(type_)
    return item if item is not None and (item == CANDIDATE or assignable(item, OptionalOf(STR))) else None


def lists(type_: Type) -> Type | None:
    """A list."""
    return _item(type_)


def texts(type_: Type) -> Type | None:
    """A text, a Candidate, or a list of them."""
    item = _item(type_) or type_
    return item if item == STR or assignable(item, CANDIDATE) else None


def prefixes(type_: Type) -> Type | None:
    """A Context or a Candidate."""
    return type_ if assignable(type_, CANDIDATE) else None


def figures(type_: Type) -> Type | None:
    """A number."""
    return type_ if type_ in (INT, FLOAT) else None


def trees(type_: Type) -> Type | None:
    """A Tree."""
    return CANDIDATE if type_ == TREE else None


def _item(type_: Type) -> Type | None:
    return type_.item if isinstance(type_, ListOf) else None


@dataclass(frozen=True, slots=True)
class Spec:
    """An operator. `source` says in words what is piped in, `takes` what fits."""

    name: str
    group: Group
    source: str
    parameters: tuple[ParameterSpec, ...]
    doc: str
    takes: Takes

    def parameter(self, name: str) -> ParameterSpec:
        return next(p for p in self.parameters if p.name == name)


# --- parameters that many operators have ----------------------------------------------------------------------------

TEMPERATURE = Limits(0, 100, "0 (greedy) or more")


def generation(max_tokens: int, temperature: float, *, grid: bool = False) -> tuple[ParameterSpec, ...]:
    """The options of whatever generates. With `grid` each may be a list, of which candidate i takes element i modulo
    its length: where a generation has several candidates.
    """

    def kind(of: Type) -> Kind:
        return Grid(of) if grid else of

    return (
        ParameterSpec("temperature", kind(FLOAT), default=temperature, doc="0 is greedy", limits=TEMPERATURE),
        ParameterSpec(
            "top_p",
            kind(FLOAT),
            default=1.0,
            doc="nucleus: smallest set of tokens with this probability",
            limits=Limits(1e-9, 1, "above 0 and at most 1"),
        ),
        ParameterSpec(
            "top_k",
            kind(INT),
            default=-1,
            doc="most probable tokens to draw from; -1: all",
            limits=Limits(-1, 10_000_000, "-1 (all) or more"),
        ),
        ParameterSpec(
            "min_p",
            kind(FLOAT),
            default=0.0,
            doc="least probability relative to the most probable token",
            limits=Limits(0, 1, "from 0 to 1"),
        ),
        ParameterSpec(
            "max_tokens",
            kind(INT),
            default=max_tokens,
            doc="tokens at most, per candidate",
            limits=Limits(1, 10_000_000, "at least 1"),
        ),
        ParameterSpec("model", ModelRoleParameter(), doc="the role that generates; the first declared"),
        ParameterSpec("schema", RecordParameter(), doc="a record: the text is its JSON, enforced while decoding"),
        ParameterSpec("engine", EngineOptions(grid), doc="a record of the engine's own options, by name"),
    )


NUMBER = (FLOAT,)
N = ParameterSpec("n", INT, required=True, doc="how many", limits=COUNT)
TIES = ParameterSpec(
    "ties", Choice(("first", "last", "random")), default="first", doc="which index wins a tie; random is seeded"
)
READ_DOC = "reads the judge's text"
