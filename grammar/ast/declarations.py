"""Declarations of the syntax tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Literal_

from ttsc.grammar.ast.nodes import (
    Expr,
    Let,
    Literal,
    Name,
    Statement,
    TypeExpr,
    span_field,
)
from ttsc.grammar.source import Span


@dataclass(frozen=True, slots=True)
class Use:
    """`use std.answers (boxed, number)`, `use std.beam_search (beam_search) for lib.task`

    `task`: the file that stands in for `std.task` in the used file.
    """

    path: tuple[str, ...]
    names: tuple[Name, ...]
    task: tuple[str, ...] | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Model:
    """`model policy = "smollm2-135m"`: a role, bound at run time or by its default. `model a, b` makes two of these."""

    name: Name
    default: str | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Range:
    """`low..high`, both included: the values a tunable may take."""

    low: int | float
    high: int | float
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Choices:
    """`[a, b, c]`: the values a tunable may take, one by one."""

    values: tuple[Literal, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Parameter:
    """`name: type [= default] [in low..high | in [a, b]]`; with `in` it is a tunable.

    `oracle`: known in evaluation only.
    """

    name: Name
    type: TypeExpr
    default: Expr | None
    tunable: Range | Choices | None
    span: Span = span_field()
    oracle: bool = False


@dataclass(frozen=True, slots=True)
class PromptTurn:
    """`system "…"`, `user "…"`, `assistant "…"`: a sandboxed Jinja template over the prompt's parameters."""

    role: str
    template: Literal
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Prompt:
    name: Name
    parameters: tuple[Parameter, ...]
    turns: tuple[PromptTurn, ...]
    doc: str | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Field:
    """`name: type [in low..high | in [a, b]]` of a record; `allowed` are the values it may have."""

    name: Name
    type: TypeExpr
    span: Span = span_field()
    allowed: Range | Choices | None = None


@dataclass(frozen=True, slots=True)
class Record:
    name: Name
    fields: tuple[Field, ...]
    doc: str | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Extern:
    """`[environment | oracle] extern name(params) -> type`: a typed function that the host supplies.

    An `environment` has side effects: its calls keep their order and are never made twice or in vain. An `oracle` knows
    the answer: evaluation only.
    """

    name: Name
    parameters: tuple[Parameter, ...]
    returns: TypeExpr
    doc: str | None
    span: Span = span_field()
    modifier: Literal_["environment", "oracle"] | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """`function name(params) -> type = expression`: pure, inlined where used; may not call a model or itself."""

    name: Name
    parameters: tuple[Parameter, ...]
    returns: TypeExpr
    body: Expr
    doc: str | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Limit:
    """One clause of a budget: `tokens <= 20k`, `latency <= 30s`, `cost <= $0.05`. `unit` as written, or ""."""

    resource: Name
    amount: int | float
    unit: str
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Program:
    name: Name
    parameters: tuple[Parameter, ...]
    returns: TypeExpr
    body: tuple[Statement, ...]
    doc: str | None
    span: Span = span_field()
    budget: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """`store name: type`: items that outlive a run."""

    name: Name
    item: TypeExpr
    doc: str | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Scripted:
    """`model role ["pattern"] => replies`: what a role says in a test, to prompts that hold the pattern."""

    role: Name
    pattern: str | None
    replies: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Stub:
    """`extern name(a, b) = value`: what an extern gives in a test."""

    name: Name
    parameters: tuple[Name, ...]
    value: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class StubStore:
    """`store name = items`: what a store holds when a test begins."""

    name: Name
    items: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect condition`"""

    condition: Expr
    span: Span = span_field()


TestItem = Scripted | Stub | StubStore | Let | Expect


@dataclass(frozen=True, slots=True)
class Test:
    """`test "title" { … }`: a scripted model, calls of programs, and what must hold."""

    title: str
    items: tuple[TestItem, ...]
    doc: str | None
    span: Span = span_field()


Declaration = Use | Model | Prompt | Record | Extern | Function | Program | Store | Test


@dataclass(frozen=True, slots=True)
class Module:
    """A file: an optional docstring, then declarations. A docstring before a declaration belongs to it."""

    doc: str | None
    declarations: tuple[Declaration, ...]
    span: Span = span_field()
