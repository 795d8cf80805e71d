"""Types: assignability and joins. What the checker refuses is in `errors/semantics.tts`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    NONE,
    STR,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
    assignable,
    join,
)
from ttsc.driver import compile_source
from ttsc.grammar.source import Source

SCALARS = st.sampled_from([STR, INT, FLOAT, BOOL, NONE, CONTEXT, CANDIDATE, RecordType("R", (("a", INT),))])
TYPES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(ListOf), inner.filter(lambda t: t != NONE and not isinstance(t, OptionalOf)).map(OptionalOf)
    ),
    max_leaves=4,
)


@given(TYPES)
def test_a_type_fits_itself(a: Type) -> None:
    assert assignable(a, a)
    assert join(a, a) == a


@given(TYPES, TYPES, TYPES)
def test_fitting_is_transitive(a: Type, b: Type, c: Type) -> None:
    if assignable(a, b) and assignable(b, c):
        assert assignable(a, c)


@given(TYPES, TYPES)
def test_both_sides_fit_their_join(a: Type, b: Type) -> None:
    both = join(a, b)
    if both is None:
        assert not assignable(a, b) and not assignable(b, a)
    else:
        assert assignable(a, both) and assignable(b, both)


@pytest.mark.parametrize(
    ("value", "target", "fits"),
    [
        (INT, FLOAT, True),
        (FLOAT, INT, False),
        (CONTEXT, CANDIDATE, True),
        (CANDIDATE, CONTEXT, False),
        (ListOf(CONTEXT), ListOf(CANDIDATE), True),
        (STR, OptionalOf(STR), True),
        (OptionalOf(STR), STR, False),
        (NONE, OptionalOf(STR), True),
        (BOOL, INT, False),
    ],
)
def test_assignable(value: Type, target: Type, fits: bool) -> None:
    assert assignable(value, target) is fits


def test_no_operator_is_also_a_function() -> None:
    assert not set(OPERATORS) & set(FUNCTIONS)


@pytest.mark.parametrize(
    ("expression", "type_"),
    [
        ("q |> boxed", "str?"),
        ("f(q)", "Context"),
        ("f(q) |> sample(2)", "list[Candidate]"),
        ("f(q) |> sample(2) |> text", "list[str]"),
        ("f(q) |> sample(2) |> boxed", "list[str?]"),
        ("f(q) |> sample(2) |> each(tokens)", "list[int]"),
        ("f(q) |> sample(2) |> each(c => c.score > 1)", "list[bool]"),
        ("f(q) |> sample(2) |> best", "Candidate"),
        ("[f(q)] |> branch(3)", "list[Candidate]"),
        ("[1, 2.5]", "list[float]"),
        ("[q, none]", "list[str?]"),
        ("1 + 2", "int"),
        ("1 / 2", "float"),
        ("or_else(boxed(q), q)", "str"),
        ("sum([1, 2])", "int"),
        ("f(q) |> sample(1) |> one |> refine(f(q))", "Candidate"),
        ("f(q) |> sample(3) |> any(truncated)", "bool"),
    ],
)
def test_inferred_type(expression: str, type_: str) -> None:
    declarations = 'use std.answers (boxed)\nprompt f(q: str) { user "{{ q }}" }'
    text = f"{declarations}\nprogram p(q: str) -> {type_} {{ let x = {expression} return x }}"
    from ttsc.compiler.semantics import typed

    (bind, _) = compile_source(Source("t.tts", text)).checked.programs[0].body
    assert isinstance(bind, typed.Bind)
    assert str(bind.symbol.type) == type_
