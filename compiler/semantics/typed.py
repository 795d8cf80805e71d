"""The typed program: every name resolved, every expression with its type, every call bound to what it calls.

Sugar is gone here: pipes are calls, bare function names are lambdas, `and`/`or` are conditionals, and a text function
applied to candidates reads their text. The IR builder reads nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ttsc.compiler.values.types import CONTEXT, Type
from ttsc.grammar.source import NOWHERE, Span

Constant = str | int | float | bool | None | tuple["Constant", ...]


def _span() -> Span:
    return field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A named value. Two symbols of one name are different symbols."""

    name: str
    type: Type
    kind: Literal["parameter", "let", "var", "element"]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Const:
    value: Constant
    type: Type
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Read:
    symbol: Symbol
    span: Span = _span()

    @property
    def type(self) -> Type:
        return self.symbol.type


@dataclass(frozen=True, slots=True)
class Pure:
    """A deterministic operation of `values/pure.py`."""

    op: str
    args: tuple[Expr, ...]
    type: Type
    attr: str = ""
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Conditional:
    condition: Expr
    then: Expr
    otherwise: Expr
    type: Type
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Lambda:
    """`body` with one element bound. Its type is that of what it gives."""

    param: Symbol
    body: Expr
    span: Span = _span()

    @property
    def type(self) -> Type:
        return self.body.type


@dataclass(frozen=True, slots=True)
class PromptCall:
    """A prompt with its arguments: a new conversation, or, in `refine`, more turns of one."""

    prompt: Prompt
    args: tuple[Expr, ...]
    span: Span = _span()

    @property
    def type(self) -> Type:
        return CONTEXT


@dataclass(frozen=True, slots=True)
class ExternCall:
    extern: Extern
    args: tuple[Expr, ...]
    span: Span = _span()

    @property
    def type(self) -> Type:
        return self.extern.returns


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a pure function; the builder inlines it."""

    function: Function
    args: tuple[Expr, ...]
    span: Span = _span()

    @property
    def type(self) -> Type:
        return self.function.returns


@dataclass(frozen=True, slots=True)
class Operator:
    """A generation, judgement or selection (see `operators.py`). `source` is what is piped in.

    `arguments` holds every parameter: an expression, a lambda, the name of a choice or of a model role, or None (not
    given).
    """

    name: str
    source: Expr
    arguments: tuple[tuple[str, Expr | Lambda | str | None], ...]
    type: Type
    span: Span = _span()


Expr = Const | Read | Pure | Conditional | PromptCall | ExternCall | FunctionCall | Operator


# --- statements -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bind:
    """`let` or `var`: the symbol's first value."""

    symbol: Symbol
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Assign:
    symbol: Symbol
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Repeat:
    count: Expr
    body: tuple[Statement, ...]
    until: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = _span()


Statement = Bind | Assign | If | Repeat | Return


# --- declarations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Range:
    low: int | float
    high: int | float


@dataclass(frozen=True, slots=True)
class Parameter:
    """`tunable`: the values an optimizer may choose, None if it may not."""

    symbol: Symbol
    required: bool
    default: Constant
    tunable: Range | tuple[Constant, ...] | None

    @property
    def name(self) -> str:
        return self.symbol.name

    @property
    def type(self) -> Type:
        return self.symbol.type


@dataclass(frozen=True, slots=True)
class Turn:
    """`variables`: the prompt's parameters its template reads; `dynamic`: whether it is more than literal text."""

    role: Literal["system", "user", "assistant"]
    template: str
    variables: tuple[str, ...] = ()
    dynamic: bool = False
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    parameters: tuple[Parameter, ...]
    turns: tuple[Turn, ...]
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Extern:
    name: str
    parameters: tuple[Parameter, ...]
    returns: Type
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    parameters: tuple[Parameter, ...]
    returns: Type
    body: Expr
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Model:
    """A role; `default` is the model it is bound to unless told otherwise."""

    name: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    returns: Type
    models: tuple[Model, ...]
    body: tuple[Statement, ...]
    span: Span = _span()
