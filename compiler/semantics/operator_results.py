"""What operators give, from what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.substitute import Argument
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    FLOAT,
    INT,
    NEVER,
    NODE,
    POOL,
    STR,
    TREE,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
)

Arguments = Mapping[str, Argument]
Result = Callable[[Type, Type, Arguments], Type]
"""From the types of the source and of an element of it, and the arguments, to the type of the result."""


def result_type(name: str, source: Type, element: Type, arguments: Arguments) -> Type:
    """The type of a call of an operator whose arguments fit."""
    result = RESULTS[name]
    return result(source, element, arguments) if callable(result) else result


def _lifted(of: Type) -> Result:
    """`of`, or a list of it if a list is piped in."""
    return lambda source, _, __: _like(source, of) if isinstance(source, ListOf) else of


def _like(source: Type, item: Type) -> Type:
    """A list of `item` that is no longer than the source."""
    return ListOf(item, source.limit if isinstance(source, ListOf) else None)


def _same(source: Type, element: Type, _: Arguments) -> Type:
    return _like(source, element)


def _pool(source: Type, _: Type, __: Arguments) -> Type:
    return _like(source, CANDIDATE)


def _element(_: Type, element: Type, __: Arguments) -> Type:
    return element


def _at_most(name: str) -> Result:
    """Elements of the source, as many as the argument says at most."""

    def result(source: Type, element: Type, arguments: Arguments) -> Type:
        limit = source.limit if isinstance(source, ListOf) else None
        count = arguments.get(name)
        if isinstance(count, typed.Const) and isinstance(count.value, int):
            limit = count.value if limit is None else min(limit, count.value)
        return ListOf(element, limit)

    return result


def _given(name: str) -> Result:
    """A list of what a function gives."""

    def result(source: Type, _: Type, arguments: Arguments) -> Type:
        function = arguments[name]
        return _like(source, function.type) if isinstance(function, typed.Lambda) else NEVER

    return result


def _record(optional: Callable[[Arguments], bool]) -> Result:
    def result(source: Type, _: Type, arguments: Arguments) -> Type:
        record = arguments["record"]
        if not isinstance(record, RecordType):
            return NEVER
        of = OptionalOf(record) if optional(arguments) else record
        return _like(source, of) if isinstance(source, ListOf) else of

    return result


def _may_be_none(arguments: Arguments) -> bool:
    """Whether what stands for a missing result is not certainly a value."""
    otherwise = arguments.get("otherwise")
    if otherwise is None or isinstance(otherwise, (str, RecordType)):
        return False
    return str(otherwise.type) in ("none", "abstain") or isinstance(otherwise.type, OptionalOf)


def _vote(_: Type, __: Type, arguments: Arguments) -> Type:
    return OptionalOf(STR) if _may_be_none(arguments) else STR


RESULTS: dict[str, Type | Result] = {
    "sample": POOL,
    "branch": POOL,
    "refine": _lifted(CANDIDATE),
    "ask": _record(_may_be_none),
    "parse": _record(lambda _: True),
    "force": _lifted(CANDIDATE),
    "cut": _lifted(CANDIDATE),
    "verify": _pool,
    "score": _pool,
    "extract": _pool,
    "reward": FLOAT,
    "logprob": FLOAT,
    "perplexity": FLOAT,
    "choices": ListOf(FLOAT),
    "embed": _lifted(ListOf(FLOAT)),
    "vote": _vote,
    "best": _element,
    "keep": _at_most("n"),
    "maximal": _same,
    "distinct": _same,
    "cluster": lambda source, element, _: _like(source, _like(source, element)),
    "tournament": _element,
    "stop_first": POOL,
    "one": _element,
    "any": BOOL,
    "all": BOOL,
    "count": INT,
    "resample": POOL,
    "prune": _pool,
    "each": _given("do"),
    "filter": _same,
    "rewrite": _pool,
    "sort": _same,
    "shuffle": _same,
    "random": lambda source, _, __: source,
    "dag": _given("do"),
    "nearest": _at_most("k"),
    "select": ListOf(NODE),
    "expand": TREE,
    "backpropagate": TREE,
}
