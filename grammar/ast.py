"""The syntax tree of a `.tts` file: what was written, before anything is known about it.

Nodes are immutable, compare by structure (spans left out) and have no behaviour. The tree is also the reader's summary
of the language: declarations, statements, expressions, types, in this order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as Literal_

from ttsc.grammar.source import Span


def _span() -> Span:
    return field(compare=False, repr=False)  # type: ignore[no-any-return]


# --- types ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType:
    """`str`, `int`, `float`, `bool`, `Context`, `Candidate`, or a record's name."""

    name: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ListType:
    """`list[T]`, or `list[T, limit]`: at most so many."""

    item: TypeExpr
    span: Span = _span()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class OptionalType:
    """`T?`"""

    item: TypeExpr
    span: Span = _span()


TypeExpr = NamedType | ListType | OptionalType


# --- expressions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, `true`, `false` or `none`."""

    value: str | int | float | bool | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class ListExpr:
    items: tuple[Expr, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Attribute:
    """`value.name`"""

    value: Expr
    name: str
    name_span: Span = _span()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Index:
    """`value[index]`"""

    value: Expr
    index: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Keyword:
    """`name=value` in a call."""

    name: str
    value: Expr
    name_span: Span = _span()
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Call:
    callee: Expr
    args: tuple[Expr, ...]
    keywords: tuple[Keyword, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Pipe:
    """`value |> stage`: the stage is a name, an attribute or a call, and takes `value` as its first argument."""

    value: Expr
    stage: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Lambda:
    """`x => body` or `(x, y) => body`"""

    params: tuple[Name, ...]
    body: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Unary:
    """`not x`, `-x`"""

    op: str
    operand: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Binary:
    """`or and == != < <= > >= in + - * / // %`"""

    op: str
    left: Expr
    right: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Conditional:
    """`then if condition else otherwise`"""

    then: Expr
    condition: Expr
    otherwise: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Abstain:
    """`abstain`: the answer of one who gives none."""

    span: Span = _span()


Expr = Literal | Abstain | Name | ListExpr | Attribute | Index | Call | Pipe | Lambda | Unary | Binary | Conditional


# --- statements -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Let:
    """`let name[: type] = value`: bound once. `offline let`: computed once per distinct inputs and kept."""

    name: Name
    type: TypeExpr | None
    value: Expr
    span: Span = _span()
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Var:
    """`var name[: type] = value`: may be assigned again. Without a value it must be assigned before it is read."""

    name: Name
    type: TypeExpr | None
    value: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assign:
    """`name = value`"""

    name: Name
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Add:
    """`name += value`: a variable becomes longer or greater, or a store gets an item."""

    name: Name
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class If:
    """`if c { … } else if d { … } else { … }`; an `else if` is an `If` alone in `otherwise`."""

    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat count { … } [until condition]`: at most `count` rounds; the condition is read after each."""

    count: Expr
    body: tuple[Statement, ...]
    until: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class For:
    """`for x in xs { … } [until condition]`: a round for each element, in order; `for a, b in pairs` takes pairs apart."""

    names: tuple[Name, ...]
    over: Expr
    body: tuple[Statement, ...]
    until: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = _span()


Statement = Let | Var | Assign | Add | If | Repeat | For | Return


# --- declarations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """`use std.answers (boxed, number)`"""

    path: tuple[str, ...]
    names: tuple[Name, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Model:
    """`model policy = "smollm2-135m"`: a role, bound at run time or by its default. `model a, b` makes two of these."""

    name: Name
    default: str | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Range:
    """`low..high`, both included: the values a tunable may take."""

    low: int | float
    high: int | float
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Choices:
    """`[a, b, c]`: the values a tunable may take, one by one."""

    values: tuple[Literal, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Parameter:
    """`name: type [= default] [in low..high | in [a, b]]`; with `in` it is a tunable. `oracle`: known in evaluation only."""

    name: Name
    type: TypeExpr
    default: Expr | None
    tunable: Range | Choices | None
    span: Span = _span()
    oracle: bool = False


@dataclass(frozen=True, slots=True)
class PromptTurn:
    """`system "…"`, `user "…"`, `assistant "…"`: a sandboxed Jinja template over the prompt's parameters."""

    role: str
    template: Literal
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Prompt:
    name: Name
    parameters: tuple[Parameter, ...]
    turns: tuple[PromptTurn, ...]
    doc: str | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Field:
    """`name: type [in low..high | in [a, b]]` of a record; `allowed` are the values it may have."""

    name: Name
    type: TypeExpr
    span: Span = _span()
    allowed: Range | Choices | None = None


@dataclass(frozen=True, slots=True)
class Record:
    name: Name
    fields: tuple[Field, ...]
    doc: str | None
    span: Span = _span()


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
    span: Span = _span()
    modifier: Literal_["environment", "oracle"] | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """`function name(params) -> type = expression`: pure, inlined where used; may not call a model or itself."""

    name: Name
    parameters: tuple[Parameter, ...]
    returns: TypeExpr
    body: Expr
    doc: str | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Limit:
    """One clause of a budget: `tokens <= 20k`, `latency <= 30s`, `cost <= $0.05`. `unit` as written, or ""."""

    resource: Name
    amount: int | float
    unit: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Program:
    name: Name
    parameters: tuple[Parameter, ...]
    returns: TypeExpr
    body: tuple[Statement, ...]
    doc: str | None
    span: Span = _span()
    budget: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Store:
    """`store name: type`: items that outlive a run."""

    name: Name
    item: TypeExpr
    doc: str | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Scripted:
    """`model role ["pattern"] => replies`: what a role says in a test, to prompts that hold the pattern."""

    role: Name
    pattern: str | None
    replies: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Stub:
    """`extern name(a, b) = value`: what an extern gives in a test."""

    name: Name
    parameters: tuple[Name, ...]
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class StubStore:
    """`store name = items`: what a store holds when a test begins."""

    name: Name
    items: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Expect:
    """`expect condition`"""

    condition: Expr
    span: Span = _span()


TestItem = Scripted | Stub | StubStore | Let | Expect


@dataclass(frozen=True, slots=True)
class Test:
    """`test "title" { … }`: a scripted model, calls of programs, and what must hold."""

    title: str
    items: tuple[TestItem, ...]
    doc: str | None
    span: Span = _span()


Declaration = Use | Model | Prompt | Record | Extern | Function | Program | Store | Test


@dataclass(frozen=True, slots=True)
class Module:
    """A file: an optional docstring, then declarations. A docstring before a declaration belongs to it."""

    doc: str | None
    declarations: tuple[Declaration, ...]
    span: Span = _span()
