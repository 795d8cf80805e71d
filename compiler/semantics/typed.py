"""The typed program: every name resolved, every expression with its type, every call bound to what it calls.

Sugar is gone here: pipes are calls, bare function names are lambdas, `and`/`or` are conditionals, and a text function
applied to candidates reads their text. The IR builder reads nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import CONTEXT, Interval, RecordType, Type
from ttsc.grammar.source import NOWHERE, Span

Constant = str | int | float | bool | None | Abstain | tuple["Constant", ...]


Effect = Literal["model", "extern", "environment", "store", "oracle", "random"]
"""What an expression does besides giving a value: asks a model, calls a host function, changes the world, reads or
appends to a store, sees a gold answer, draws random numbers.
"""


def _span() -> Span:
    return field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A named value. Two symbols of one name are different symbols.

    Stores and environments are variables that programs change where they stand: a store's symbol is what it holds so
    far (a list), an environment's is a bool that is there when its last call has ended.
    """

    name: str
    type: Type
    kind: Literal["parameter", "let", "var", "element", "store", "environment"]
    span: Span = _span()
    narrows: Symbol | None = None
    """The variable that this is, where it is known to have a value (`narrowing.py`)."""


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
    """`body` with one element bound, or two (`others`: what a comparison or a dependency adds). Its type is that of
    what it gives. In a lambda that takes pairs apart, `param` is the pair and the body reads its fields.
    """

    param: Symbol
    body: Expr
    span: Span = _span()
    others: tuple[Symbol, ...] = ()

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
class ProgramCall:
    """A call of a program from another; the builder inlines it."""

    program: Program
    args: tuple[Expr, ...]
    span: Span = _span()

    @property
    def type(self) -> Type:
        return self.program.returns


@dataclass(frozen=True, slots=True)
class RecordValue:
    """A record made of its fields' values, in declared order."""

    fields: tuple[Expr, ...]
    type: Type
    span: Span = _span()


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

    `arguments` holds every parameter: an expression, a lambda, the name of a choice or of a model role, a record type,
    or None (not given).
    """

    name: str
    source: Expr
    arguments: tuple[tuple[str, Expr | Lambda | str | RecordType | None], ...]
    type: Type
    span: Span = _span()


Expr = Const | Read | Pure | Conditional | PromptCall | ExternCall | ProgramCall | RecordValue | FunctionCall | Operator


# --- statements -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bind:
    """`let` or `var`: the symbol's first value. `offline`: computed once per distinct inputs, and kept."""

    symbol: Symbol
    value: Expr
    span: Span = _span()
    offline: bool = False


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
class For:
    """`body` for each element of `over` in order, with `element` bound; stops when `until` holds after a round."""

    element: Symbol
    over: Expr
    body: tuple[Statement, ...]
    until: Expr | None
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Return:
    value: Expr
    span: Span = _span()


Statement = Bind | Assign | If | Repeat | For | Return


# --- declarations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """`tunable`: the values an optimizer may choose, None if it may not."""

    symbol: Symbol
    required: bool
    default: Constant
    tunable: Interval | tuple[Constant, ...] | None
    oracle: bool = False

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
    kind: Literal["plain", "environment", "oracle"] = "plain"


@dataclass(frozen=True, slots=True)
class Store:
    """Items that outlive a run. `symbol` is shared by all programs that name the store."""

    name: str
    item: Type
    symbol: Symbol
    doc: str
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Limit:
    """One clause of a budget, in the unit of its resource: tokens, calls, seconds, FLOPs, US dollars."""

    resource: Literal["tokens", "calls", "latency", "flops", "eflops", "cost"]
    amount: float
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
    effects: frozenset[Effect] = frozenset()
    stores: tuple[Store, ...] = ()
    environment: Symbol | None = None
    budget: tuple[Limit, ...] = ()
    changes: frozenset[Symbol] = frozenset()
    """Stores that it, or a program it calls, appends to, and the environment if one acts on it."""


# --- tests ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scripted:
    """What a role says to prompts that hold `pattern` (to all, with None): texts in turn, or numbers for a judge of
    rewards; the last one again and again.
    """

    role: str
    pattern: str | None
    replies: tuple[str | float, ...]
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Stub:
    """What an extern gives in a test: a pure function of its parameters."""

    extern: Extern
    parameters: tuple[Symbol, ...]
    value: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class StubStore:
    store: Store
    items: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Expect:
    """`condition` is pure, over the test's names and `measures` (`calls`, `tokens`, …: ints known after the run)."""

    condition: Expr
    span: Span = _span()


@dataclass(frozen=True, slots=True)
class Test:
    """`body` binds names to what programs give (data only); `expects` must hold of them. `measures`: the symbols of the
    counters an expectation may read, by name.
    """

    title: str
    scripted: tuple[Scripted, ...]
    stubs: tuple[Stub, ...]
    stores: tuple[StubStore, ...]
    body: tuple[Bind, ...]
    expects: tuple[Expect, ...]
    measures: tuple[Symbol, ...]
    models: tuple[Model, ...]
    span: Span = _span()
    used_stores: tuple[Store, ...] = ()
