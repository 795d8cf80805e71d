"""Symbolic natural numbers: their normal form, how they read, and that every simplification keeps the value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttsc.compiler.bounds.expr import (
    INFINITE,
    ONE,
    ZERO,
    Expr,
    Symbol,
    at_least,
    atom,
    ceil_div,
    constant,
    floor_div,
    maximum,
    minimum,
    minus,
    pairs,
    power,
    substitute,
)
from ttsc.compiler.bounds.show import show

N, M, T = (atom(Symbol(name, rank, low)) for rank, (name, low) in enumerate((("n", 1), ("m", 0), ("|tests|", 0))))


def value(e: Expr, **given: int) -> int | None:
    names = {"tests": "|tests|"}
    values = {names.get(name, name): number for name, number in given.items()}
    return substitute(e, lambda s: constant(values[s.name])).number


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (N * (M + ONE), "n * (m + 1)"),
        (constant(4) * N * T, "4 * n * |tests|"),
        (N + N, "2 * n"),
        (N * ZERO, "0"),
        (constant(1234567), "1,234,567"),
        (INFINITE, "unbounded"),
        (N * N + M, "n * n + m"),
        (maximum(N, constant(1)), "n"),
        (maximum(M, constant(1)), "max(m, 1)"),
        (maximum(M + T, M + N), "m + max(n, |tests|)"),
        (minimum(N * M, N * M + ONE), "n * m"),
        (minimum(INFINITE, M), "m"),
        (minus(N, ONE), "n - 1"),
        (minus(M, ONE), "max(0, m - 1)"),
        (minus(N, N + M), "0"),
        (ceil_div(constant(4) * N, constant(2)), "2 * n"),
        (ceil_div(N + M, constant(2)), "ceil((n + m) / 2)"),
        (floor_div(N, constant(2)), "floor(n / 2)"),
        (power(constant(2), M), "2 ** m"),
        (power(N, ONE), "n"),
        (constant(3) * pairs(N), "3 * n * (n - 1) / 2"),
        (pairs(constant(5)), "10"),
    ],
)
def test_reads_in_order(expression: Expr, text: str) -> None:
    assert show(expression) == text


def test_equal_sums_are_equal() -> None:
    assert (N + M) * (N + M) == N * N + constant(2) * N * M + M * M


def test_infinite() -> None:
    assert INFINITE * ZERO == ZERO
    assert (INFINITE + N).infinite
    assert maximum(N, INFINITE).infinite
    assert power(constant(2), constant(10_000)).infinite


def test_order_uses_what_symbols_are_at_least() -> None:
    assert at_least(N, ONE)
    assert not at_least(M, ONE)
    assert at_least(N * M, M)
    assert not at_least(M, N * M)


def test_an_expression_stays_small() -> None:
    """What would be longer than anybody reads is one unknown; what a loop carries never disappears in one."""
    total = ONE
    for number in range(60):
        total = total * (atom(Symbol(f"a{number}", number)) + ONE)
    assert total.size < 2_000
    assert "…" in show(total)
    carried = atom(Symbol("size", 2_000_000))
    for _ in range(60):
        total = (total + carried) * (carried + N)
    assert total.infinite


_LEAVES = st.sampled_from([N, M, T, ZERO, ONE, constant(2), constant(7)])
_BINARY: list[tuple[Callable[[Expr, Expr], Expr], Callable[[int, int], int]]] = [
    (lambda a, b: a + b, lambda a, b: a + b),
    (lambda a, b: a * b, lambda a, b: a * b),
    (maximum, max),
    (minimum, min),
    (minus, lambda a, b: max(0, a - b)),
    (lambda a, b: ceil_div(a, b + ONE), lambda a, b: -(-a // (b + 1))),
    (lambda a, b: floor_div(a, b + ONE), lambda a, b: a // (b + 1)),
    (lambda a, _: pairs(a), lambda a, _: a * (a - 1) // 2),
]


@given(st.data(), st.integers(1, 6), st.integers(0, 6), st.integers(0, 6))
def test_simplification_keeps_the_value(data: st.DataObject, n: int, m: int, tests: int) -> None:
    given_ = {"n": n, "m": m, "tests": tests}
    made = [(e, value(e, **given_) or 0) for e in data.draw(st.lists(_LEAVES, min_size=2, max_size=5))]
    for _ in range(data.draw(st.integers(1, 6))):
        (a, x), (b, y) = data.draw(st.sampled_from(made)), data.draw(st.sampled_from(made))
        symbolic, concrete = data.draw(st.sampled_from(_BINARY))
        made.append((symbolic(a, b), concrete(x, y)))
    for e, number in made:
        assert value(e, **given_) == number
    for a, x in made:
        for b, y in made:
            assert not at_least(a, b) or x >= y
