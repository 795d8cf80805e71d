"""Types, expressions and statements of the syntax tree."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttsc.grammar.source import Span


def span_field() -> Span:
    """The place of a node, which is no part of what it is."""
    return field(compare=False, repr=False)  # type: ignore[no-any-return]


# --- types ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedType:
    """`str`, `int`, `float`, `bool`, `Context`, `Candidate`, or a record's name."""

    name: str
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class ListType:
    """`list[T]`, or `list[T, limit]`: at most so many."""

    item: TypeExpr
    span: Span = span_field()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class OptionalType:
    """`T?`"""

    item: TypeExpr
    span: Span = span_field()


TypeExpr = NamedType | ListType | OptionalType


# --- expressions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, `true`, `false` or `none`."""

    value: str | int | float | bool | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Name:
    id: str
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class ListExpr:
    items: tuple[Expr, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Attribute:
    """`value.name`"""

    value: Expr
    name: str
    name_span: Span = span_field()
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Index:
    """`value[index]`"""

    value: Expr
    index: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Keyword:
    """`name=value` in a call."""

    name: str
    value: Expr
    name_span: Span = span_field()
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Call:
    callee: Expr
    args: tuple[Expr, ...]
    keywords: tuple[Keyword, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Pipe:
    """`value |> stage`: the stage is a name, an attribute or a call, and takes `value` as its first argument."""

    value: Expr
    stage: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Lambda:
    """`x => body` or `(x, y) => body`"""

    params: tuple[Name, ...]
    body: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Unary:
    """`not x`, `-x`"""

    op: str
    operand: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Binary:
    """`or and == != < <= > >= in + - * / // %`"""

    op: str
    left: Expr
    right: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Conditional:
    """`then if condition else otherwise`"""

    then: Expr
    condition: Expr
    otherwise: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Abstain:
    """`abstain`: the answer of one who gives none."""

    span: Span = span_field()


Expr = Literal | Abstain | Name | ListExpr | Attribute | Index | Call | Pipe | Lambda | Unary | Binary | Conditional


# --- statements -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Let:
    """`let name[: type] = value`: bound once. `offline let`: computed once per distinct inputs and kept."""

    name: Name
    type: TypeExpr | None
    value: Expr
    span: Span = span_field()
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Var:
    """`var name[: type] = value`: may be assigned again. Without a value it must be assigned before it is read."""

    name: Name
    type: TypeExpr | None
    value: Expr | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Assign:
    """`name = value`"""

    name: Name
    value: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Add:
    """`name += value`: a variable becomes longer or greater, or a store gets an item."""

    name: Name
    value: Expr
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class If:
    """`if c { … } else if d { … } else { … }`; an `else if` is an `If` alone in `otherwise`."""

    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat count { … } [until condition]`: at most `count` rounds; the condition is read after each."""

    count: Expr
    body: tuple[Statement, ...]
    until: Expr | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class For:
    """`for x in xs { … } [until condition]`: a round for each element, in order.

    `for a, b in pairs` takes pairs apart.
    """

    names: tuple[Name, ...]
    over: Expr
    body: tuple[Statement, ...]
    until: Expr | None
    span: Span = span_field()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = span_field()


Statement = Let | Var | Assign | Add | If | Repeat | For | Return
