"""What numbers of a program can be: a range for each, as far as it is known before running.

`ranges(program)` follows numbers through operations, maps, branches and loops, into the scores of candidates and out of
them again, so that a decision rule learns its bounds from the program: that a sigmoid is at most 1, that a record's
grade lies in 0..10. Bounds hold exactly, rounding included: an operation whose result could round beyond its bound has
none. NaN lies in no range and in every one; the rules leave it out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ttsc.compiler.ir.known import UNKNOWN, Both, Items, Known, Range, Row, Scored
from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
    Dag,
    Draw,
    Extern,
    Generate,
    If,
    Map,
    Node,
    Program,
    Pure,
    Repeat,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import results
from ttsc.compiler.values.types import CANDIDATE, CONTEXT, INT, Interval, ListOf, OptionalOf, RecordType, Type

_ROUNDS = 4
"""How often a loop is gone through before what still grows counts as unknown."""
_DEEP = 3
"""Loops inside of so many loops are gone through once, with nothing known."""


_UNIT = Range(0.0, 1.0)
_SOME = Range(0.0)
_ZERO = Range(0.0, 0.0)


def ranges(program: Program) -> dict[str, Known]:
    """What is known of each value of a program, by its id."""
    found = _Ranges()
    for parameter in program.parameters:
        known: Known = UNKNOWN
        match parameter.tunable:
            case Interval(low, high):
                known = Range(float(low), float(high))
            case tuple() as choices:
                known = _hulled([_constant(each) for each in choices])
        found.known[parameter.value.id] = known
    found.block(program.body)
    return found.known


def element(known: Known) -> Known:
    """What is known of each element of a list."""
    match known:
        case Items(each):
            return each
        case Row(parts) if parts:
            return _hulled(parts)
    return UNKNOWN


def hull(a: Known, b: Known) -> Known:
    """What holds of both."""
    match a, b:
        case Range(), Range():
            return Range(min(a.low, b.low), max(a.high, b.high))
        case Scored(x), Scored(y):
            return Scored(hull(x, y))
        case Both(), Both():
            return Both(hull(a.first, b.first), hull(a.second, b.second))
        case Row(x), Row(y) if len(x) == len(y):
            return Row(tuple(map(hull, x, y)))
        case (Items() | Row(), Items() | Row()):
            empty = [each for each in (a, b) if isinstance(each, Row) and not each.parts]
            if empty:
                return b if a is empty[0] else a
            return Items(hull(element(a), element(b)))
    return UNKNOWN


def _hulled(parts: Sequence[Known]) -> Known:
    if not parts:
        return UNKNOWN
    result = parts[0]
    for each in parts[1:]:
        result = hull(result, each)
    return result


def _constant(value: Constant) -> Known:
    match value:
        case bool():
            return UNKNOWN
        case int() | float():
            return Range(float(value), float(value))
        case tuple():
            return Row(tuple(map(_constant, value)))
    return UNKNOWN


class _Ranges:
    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self._depth = 0

    def of(self, value: Value) -> Known:
        return self.known.get(value.id, UNKNOWN)

    def block(self, block: Block) -> list[Known]:
        for node in block.nodes:
            self._node(node)
        return [self.of(value) for value in block.yields]

    def _node(self, node: Node) -> None:
        match node:
            case If():
                sides = (self.block(node.then), self.block(node.otherwise))
                self._set(node.results, [hull(a, b) for a, b in zip(*sides, strict=True)])
            case Repeat():
                self._repeat(node)
            case Map():
                over = element(self.of(node.over))
                self._set(node.body.params, [over])
                (value,) = self.block(node.body)
                self._set((node.result,), [Items(over if node.mode == "filter" else value)])
            case Dag():
                self._set(node.body.params, [element(self.of(node.over)), UNKNOWN])
                (value,) = self.block(node.body)
                self._set((node.result,), [Items(value)])
            case Const():
                self._set((node.result,), [_constant(node.value)])
            case Turn():
                self._set((node.result,), [Scored(_ZERO)])
            case Generate(finished="freeze"):
                source = self.of(node.source)
                frozen = element(source) if isinstance(node.source.type, ListOf) else source
                self._set((node.result,), [Items(hull(Scored(_ZERO), frozen))])
            case Generate():
                self._set((node.result,), [Items(Scored(_ZERO))])
            case Select():
                self._set((node.result,), [self._selected(node)])
            case Draw(op="shuffle", args=args):
                self._set((node.result,), [Items(element(self.of(args[0])))])
            case Draw(op="random", args=args):
                top = self.of(args[0])
                self._set((node.result,), [Range(0.0, top.high) if isinstance(top, Range) else _SOME])
            case Draw(op="resample", args=args):
                parts = [element(self.of(args[0])), *map(self.of, args[4:])]
                self._set((node.result,), [Items(_hulled(parts))])
            case Pure():
                self._set((node.result,), [_operation(node, [self.of(arg) for arg in node.args])])
            case Extern():
                self._set((node.result,), [UNKNOWN])
            case _:
                self._set(results(node), [UNKNOWN] * len(results(node)))

    def _set(self, values: Sequence[Value], known: Sequence[Known]) -> None:
        for value, each in zip(values, known, strict=True):
            self.known[value.id] = each

    def _repeat(self, node: Repeat) -> None:
        """What holds at the start and after each round."""
        self._depth += 1
        deep = self._depth > _DEEP
        state = [UNKNOWN if deep else self.of(value) for value in node.init]
        for turn in range(_ROUNDS + 1):
            self._set(node.body.params, state)
            following = [hull(a, b) for a, b in zip(state, self.block(node.body), strict=False)]
            if following == state:
                break
            late = turn >= _ROUNDS - 1
            state = [UNKNOWN if late and a != b else b for a, b in zip(state, following, strict=True)]
        else:
            state = [UNKNOWN] * len(state)
            self._set(node.body.params, state)
            self.block(node.body)
        self._depth -= 1
        self._set(node.results, state)

    def _selected(self, node: Select) -> Known:
        match node.op:
            case "best":
                return element(self.of(node.over))
            case "keep" | "stop_first" | "leading":
                return Items(element(self.of(node.over)))
        return UNKNOWN


# --- operations -------------------------------------------------------------------------------------------------------


def _operation(node: Pure, args: list[Known]) -> Known:
    if node.op == "field":
        return _field(node.attr, node.args[0].type, args[0])
    known = _OPERATIONS.get(node.op)
    if known is not None:
        return known(args)
    if all(isinstance(arg, Range) for arg in args):
        arithmetic = _ARITHMETIC.get(node.op)
        if arithmetic is not None:
            return _sound(arithmetic([arg for arg in args if isinstance(arg, Range)]))
    if node.op == "reduce_scores":
        return _reduced(node.attr, args)
    return _SOME if node.result.type == INT and node.op in ("length", "count") else UNKNOWN


def _sound(found: Range) -> Known:
    return UNKNOWN if math.isnan(found.low) or math.isnan(found.high) else found


def _field(name: str, of: Type, known: Known) -> Known:
    kind = of.item if isinstance(of, OptionalOf) else of
    if isinstance(kind, RecordType):
        match dict(kind.allowed).get(name):
            case Interval(low, high):
                within: Known = Range(float(low), float(high))
            case tuple() as choices:
                within = _hulled([_constant(each) for each in choices if each is not None])
            case _:
                return UNKNOWN
        return Items(within) if isinstance(kind.field(name), ListOf) else within
    if isinstance(known, Both):
        return {"first": known.first, "second": known.second}.get(name, UNKNOWN)
    if kind in (CANDIDATE, CONTEXT):
        if name == "score":
            return known.score if isinstance(known, Scored) else UNKNOWN
        return _SOME if name in ("tokens", "index") else UNKNOWN
    return UNKNOWN


def _reduced(attr: str, args: list[Known]) -> Known:
    """One number of step rewards; beside it what there is if there are none."""
    each = element(args[0])
    match attr:
        case "last" | "whole" | "min" | "max":
            found = each
        case "mean":
            found = _mean(each)
        case "prod":
            found = _product(each)
        case _:
            found = _summed(each)
    return hull(found, args[1]) if len(args) > 1 else found


def _mean(each: Known) -> Known:
    """Sums of whole bounds are exact, so their means are; others may round past."""
    if not isinstance(each, Range):
        return UNKNOWN
    low = each.low if _whole(each.low) else math.nextafter(math.nextafter(each.low, -math.inf), -math.inf)
    high = each.high if _whole(each.high) else math.nextafter(math.nextafter(each.high, math.inf), math.inf)
    return Range(low, high)


def _whole(number: float) -> bool:
    return not math.isfinite(number) or (number.is_integer() and abs(number) < 2**31)


def _product(each: Known) -> Known:
    return _UNIT if isinstance(each, Range) and each.low >= 0 and each.high <= 1 else UNKNOWN


def _summed(each: Known) -> Known:
    if not isinstance(each, Range):
        return UNKNOWN
    return Range(0.0 if each.low >= 0 else -math.inf, 0.0 if each.high <= 0 else math.inf)


def _exponential(args: list[Known]) -> Known:
    return _UNIT if isinstance(args[0], Range) and args[0].high <= 0 else _SOME


def _multiplied(args: list[Range]) -> Range:
    a, b = args
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(math.nan, math.nan) if any(map(math.isnan, corners)) else Range(min(corners), max(corners))


def _divided(args: list[Range]) -> Range:
    """By a number that is known."""
    a, b = args
    if b.low != b.high or b.low == 0 or not math.isfinite(b.low):
        return Range()
    ends = (a.low / b.low, a.high / b.low)
    return Range(min(ends), max(ends))


def _absolute(args: list[Range]) -> Range:
    low, high = args[0].low, args[0].high
    return Range(0.0 if low <= 0 <= high else min(abs(low), abs(high)), max(abs(low), abs(high)))


_ARITHMETIC: dict[str, Callable[[list[Range]], Range]] = {
    "add": lambda a: Range(a[0].low + a[1].low, a[0].high + a[1].high),
    "sub": lambda a: Range(a[0].low - a[1].high, a[0].high - a[1].low),
    "neg": lambda a: Range(0.0 - a[0].high, 0.0 - a[0].low),
    "mul": _multiplied,
    "div": _divided,
    "abs": _absolute,
}
"""Of numbers. Each bound is what the operation itself makes of bounds, so it rounds as the operation does."""


def _joined(args: list[Known]) -> Known:
    """The sum of two numbers, or two lists one after the other."""
    if all(isinstance(arg, Range) for arg in args):
        return _sound(_ARITHMETIC["add"]([arg for arg in args if isinstance(arg, Range)]))
    if not all(isinstance(arg, Items | Row) for arg in args):
        return UNKNOWN
    return Items(_hulled([element(arg) for arg in args if arg != Row(())]))


_OPERATIONS: dict[str, Callable[[list[Known]], Known]] = {
    "sigmoid": lambda _: _UNIT,
    "softmax": lambda _: Items(_UNIT),
    "percentile": lambda _: _UNIT,
    "conformal_p": lambda _: _UNIT,
    "variance": lambda _: _SOME,
    "entropy": lambda _: _SOME,
    "weibull_upper": lambda _: Items(_UNIT),
    "clamp": lambda a: Range(a[1].low, a[2].high) if isinstance(a[1], Range) and isinstance(a[2], Range) else UNKNOWN,
    "exp": _exponential,
    "sqrt": lambda _: _SOME,
    "add": _joined,
    "or_else": lambda a: hull(a[0], a[1]),
    "known": lambda a: a[0],
    "require": lambda a: a[0],
    "checked": lambda a: a[0],
    "with_score": lambda a: Scored(a[1]),
    "with_scores": lambda a: Scored(a[2]),
    "with_answer": lambda a: a[0],
    **dict.fromkeys(("minimum", "maximum", "median", "quantile"), lambda a: element(a[0])),
    "mean": lambda a: hull(_mean(element(a[0])), _ZERO),
    "sum": lambda a: _summed(element(a[0])),
    "product": lambda a: _product(element(a[0])),
    "list": lambda a: Row(tuple(a)),
    "item": lambda a: element(a[0]),
    "one": lambda a: _hulled([element(a[0]), *a[1:]]),
    "last": lambda a: _hulled([element(a[0]), *a[1:]]),
    "copies": lambda a: Items(a[0]),
    "flatten": lambda a: Items(element(element(a[0]))),
    "pair": lambda a: Both(a[0], a[1]),
    "zip": lambda a: Items(Both(element(a[0]), element(a[1]))),
    "cross": lambda a: Items(Both(element(a[0]), element(a[1]))),
    "enumerate": lambda a: Items(Both(_SOME, element(a[0]))),
    "combinations": lambda a: Items(Both(element(a[0]), element(a[0]))),
    **dict.fromkeys(
        ("take", "drop", "reverse", "sort", "maximal", "distinct", "lowest", "windows"),
        lambda a: Items(element(a[0])),
    ),
}
