"""What a pure operation gives is never outside of what its bound says, for values of every kind."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from ttsc.compiler.bounds.domain import Abstract, Fields, Items, Nothing, Number, Plain, Text
from ttsc.compiler.bounds.operations import applied
from ttsc.compiler.bounds.sources import measured, utf8
from ttsc.compiler.values.pure import EvaluationFailed, evaluate
from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, ListOf, OptionalOf, PairOf, Type

TEXTS = ListOf(STR)
INTS = ListOf(INT)
PAIR = PairOf(STR, STR)
STRATEGIES: dict[str, st.SearchStrategy[object]] = {
    "s": st.text(alphabet='ab ß\n"12.é', max_size=10),
    "i": st.integers(-9, 9),
    "n": st.integers(0, 6),
    "m": st.integers(1, 9),
    "p": st.floats(0.01, 1),
    "f": st.floats(-50, 50),
    "x": st.lists(st.text(alphabet="ab ß", max_size=4), max_size=5).map(tuple),
    "y": st.lists(st.integers(-9, 9), max_size=5).map(tuple),
    "z": st.lists(st.floats(-9, 9), max_size=5).map(tuple),
    "xx": st.lists(st.lists(st.text(max_size=3), max_size=3).map(tuple), max_size=3).map(tuple),
    "o": st.one_of(st.none(), st.text(max_size=5)),
}
CASES: tuple[tuple[str, str, str, Type], ...] = (
    *((op, "", "i i", INT) for op in ("add", "sub", "mul", "floordiv", "mod")),
    *((op, "", "f f", FLOAT) for op in ("add", "sub", "mul", "div", "floordiv", "mod", "power")),
    *((op, "", "i f", FLOAT) for op in ("add", "sub", "mul", "div")),
    ("neg", "", "i", INT), ("neg", "", "f", FLOAT), ("abs", "", "f", FLOAT), ("round", "", "f", INT),
    ("round", "", "f i", FLOAT), ("clamp", "", "i i i", INT), ("clamp", "", "f f f", FLOAT), ("exp", "", "f", FLOAT),
    ("log", "", "f", FLOAT), ("sqrt", "", "f", FLOAT), ("logit", "", "f", FLOAT), ("sigmoid", "", "f", FLOAT),
    ("softmax", "", "z", ListOf(FLOAT)), ("sum", "", "y", INT), ("sum", "", "z", FLOAT), ("product", "", "y", INT),
    ("mean", "", "z", FLOAT), ("median", "", "y", FLOAT), ("variance", "", "z", FLOAT), ("minimum", "", "y", INT),
    ("windows", "", "z m", ListOf(FLOAT)), ("lowest", "", "z p", ListOf(FLOAT)),
    ("maximum", "", "z", FLOAT), ("minimum", "", "x", STR), ("percentile", "", "f z", FLOAT),
    ("entropy", "", "x", FLOAT), ("weibull_upper", "", "z", ListOf(FLOAT)),
    ("conformal_p", "", "f z", FLOAT), ("add", "", "s s", STR), ("add", "", "x x", TEXTS), ("strip", "", "s", STR),
    ("lower", "", "s", STR), ("upper", "", "s", STR), ("replace", "", "s s s", STR), ("split", "", "s", TEXTS),
    ("split", "", "s s", TEXTS), ("lines", "", "s", TEXTS), ("words", "", "s", TEXTS), ("join", "", "x", STR),
    ("join", "", "x s", STR), ("head", "", "s n", STR), ("head", "", "x n", TEXTS), ("to_str", "", "s", STR),
    ("to_str", "", "i", STR), ("to_str", "", "f", STR), ("to_str", "", "x", STR), ("to_int", "", "s", OptionalOf(INT)),
    ("to_float", "", "s", OptionalOf(FLOAT)), ("last_number", "", "s", OptionalOf(STR)), ("length", "", "s", INT),
    ("length", "", "x", INT), ("count", "", "x", INT), ("count", "", "x s", INT), ("item", "", "x i", STR),
    ("item", "", "s i", STR), ("list", "", "s s", TEXTS), ("one", "", "x", STR), ("one", "", "x s", STR),
    ("last", "", "x", STR), ("flatten", "", "xx", TEXTS), ("take", "", "x n", TEXTS), ("drop", "", "x n", TEXTS),
    ("reverse", "", "x", TEXTS), ("reverse", "", "s", STR), ("range", "", "n", INTS), ("range", "", "i i", INTS),
    ("copies", "", "s n", TEXTS), ("copies", "", "x n", ListOf(TEXTS)),
    ("pair", "", "s s", PAIR), ("zip", "", "x x", ListOf(PAIR)),
    ("cross", "", "x x", ListOf(PAIR)), ("enumerate", "", "x", ListOf(PairOf(INT, STR))), ("sort", "", "x", TEXTS),
    ("maximal", "", "x x", TEXTS), ("distinct", "", "x", TEXTS), ("pairs", "", "x", ListOf(PAIR)),
    ("combinations", "", "x", ListOf(PAIR)), ("round_robin_wins", "", "x y", ListOf(FLOAT)),
    ("cluster_by", "", "x x", ListOf(TEXTS)), ("nearest_words", "", "x x s n", TEXTS), ("or_else", "", "o s", STR),
    ("missing", "", "o", BOOL), ("eq", "", "s s", BOOL), ("record", "a,b", "s i", PAIR), ("depth", "", "xx", INT),
)  # fmt: skip


def covers(bound: Abstract, value: object) -> bool:
    """Whether a value is within a bound."""
    match bound:
        case Text(tokens, chars, optional):
            if value is None:
                return optional
            if not isinstance(value, str):
                return False
            return _within(utf8(value), tokens.number) and _within(len(value), chars.number)
        case Number(high, low):
            if isinstance(value, bool) or not isinstance(value, int | float):
                return value is None
            return _within(value, high.number) and (low is None or value >= (low.number or 0))
        case Items(length, item):
            if not isinstance(value, tuple):
                return False
            return _within(len(value), length.number) and all(covers(item, each) for each in value)
        case Fields(fields):
            return isinstance(value, Mapping) and all(covers(each, value[name]) for name, each in fields)
        case Nothing():
            return value is None
        case Plain():
            return isinstance(value, bool)
    return False


def _within(value: float, most: int | None) -> bool:
    return most is None or value <= most


@pytest.mark.parametrize("case", CASES, ids=[f"{op}({kinds})" for op, _, kinds, _ in CASES])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_results_are_within_their_bounds(case: tuple[str, str, str, Type], data: st.DataObject) -> None:
    op, attr, kinds, type_ = case
    args = [data.draw(STRATEGIES[kind]) for kind in kinds.split()]
    try:
        value = evaluate(op, attr, args)
    except EvaluationFailed:
        return
    bound = applied(op, attr, [measured(arg) for arg in args], type_)
    note(f"{op} {args} -> {value!r}: {bound}")
    assert covers(bound, value)
