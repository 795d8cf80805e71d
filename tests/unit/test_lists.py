"""Operations on lists, pairs and records; rounds of comparisons; dependencies."""

from __future__ import annotations

import pytest

from ttsc.compiler.values.dependencies import problem, valid_needs
from ttsc.compiler.values.pure import EvaluationFailed, evaluate, foldable


def pair(a: object, b: object) -> dict[str, object]:
    return {"first": a, "second": b}


CASES = [
    ("flatten", (((1, 2), (), (3,)),), (1, 2, 3)), ("flatten", ((),), ()), ("take", ((1, 2, 3), 2), (1, 2)),
    ("take", ((1,), 5), (1,)), ("drop", ((1, 2, 3), 2), (3,)), ("drop", ((1,), 5), ()), ("reverse", ((1, 2),), (2, 1)),
    ("reverse", ("ab",), "ba"), ("last", ((1, 2),), 2), ("last", ((), 7), 7), ("range", (3,), (0, 1, 2)),
    ("range", (2, 4), (2, 3)), ("range", (-1,), ()), ("range", (4, 2), ()), ("copies", ("x", 2), ("x", "x")),
    ("copies", ("x", 0), ()), ("pair", (1, "a"), pair(1, "a")),
    ("zip", ((1, 2), ("a", "b")), (pair(1, "a"), pair(2, "b"))), ("zip", ((), ()), ()),
    ("cross", ((1, 2), ("a", "b")), (pair(1, "a"), pair(1, "b"), pair(2, "a"), pair(2, "b"))),
    ("enumerate", (("a", "b"),), (pair(0, "a"), pair(1, "b"))), ("sort", ((3, 1, 2),), (1, 2, 3)),
    ("sort", (("a", "b", "c"), (2, 1, 1)), ("b", "c", "a")),
    ("sort", (("a", "b", "c"), ((True, 1), (False, 9), (True, 0))), ("b", "c", "a")),
    ("maximal", (("a", "b", "c"), (2, 1, 2.0)), ("a", "c")), ("maximal", ((), ()), ()),
    ("maximal", (("a", "b"), ((1, "x"), (1, "y"))), ("b",)), ("distinct", (("a", "b", "a"),), ("a", "b")),
    ("distinct", (("a", "b", "c"), (1, 1.0, True)), ("a", "c")),
    ("distinct", ((1, 2, 3), ({"k": (1,)}, {"k": (1,)}, {"k": (2,)})), (1, 3)),
    ("distinct", ((1, 2), (None, "none")), (1, 2)),
    ("pairs", ((1, 2, 3),), (pair(1, 2), pair(3, None))), ("pairs", ((),), ()),
    ("combinations", ((1, 2, 3),), (pair(1, 2), pair(1, 3), pair(2, 3))), ("combinations", ((1,),), ()),
    ("round_robin_wins", (("a", "b", "c"), (True, False, None)), (1.0, 0.5, 1.5)),
    ("depth", ((),), 0), ("depth", (((), (0,), (0, 1), ()),), 3), ("depth", (((1,), (2,), ()),), 3),
    ("depth", (((0, 9, -1),),), 1), ("depth", (((1,), (0,)),), 2), ("done", ("x",), True),
]  # fmt: skip


@pytest.mark.parametrize(("op", "args", "expected"), CASES)
def test_values(op: str, args: tuple[object, ...], expected: object) -> None:
    result = evaluate(op, "", args)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        ("last", ((),), "`last` of an empty list"), ("take", ((1,), -1), "`take` of a negative length"),
        ("drop", ((1,), -1), "`drop` of a negative length"), ("copies", (1, -1), "`copies` of a negative length"),
        ("zip", ((1,), ()), "`zip` of lists of 1 and 0 elements"), ("sort", ((1, 2), (1,)), "1 keys for 2 elements"),
        ("sort", ((1, "a"),), "no result"), ("sort", ((1, 2), (1, (1,))), "no result"),
        ("range", (10**9,), "list longer"), ("copies", (1, 10**9), "list longer"),
        ("cross", ((0,) * 1_000, (0,) * 1_000), "list longer"), ("combinations", ((0,) * 1_000,), "list longer"),
        ("flatten", (((0,) * 60_000,) * 2,), "list longer"), ("flatten", ((1,),), "no result"),
        ("distinct", ((1,), (object(),)), "values of object are no keys"),
        ("round_robin_wins", ((1, 2, 3), (True,)), "takes 3 comparisons, and 1 are there"),
    ],
)  # fmt: skip
def test_failures(op: str, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(op, "", args)
    assert words in caught.value.message


def test_records() -> None:
    record = evaluate("record", "a,b", (1, "x"))
    assert record == {"a": 1, "b": "x"} and evaluate("field", "b", (record,)) == "x"
    assert evaluate("field", "second", (evaluate("pair", "", (1, 2)),)) == 2
    with pytest.raises(EvaluationFailed, match="a record of 2 fields takes 2 values, not 1"):
        evaluate("record", "a,b", (1,))
    with pytest.raises(EvaluationFailed, match="the pair has no field `third`"):
        evaluate("field", "third", (pair(1, 2),))


@pytest.mark.parametrize("op", ["record", "pair", "zip", "cross", "enumerate", "pairs", "combinations", "parse"])
def test_what_no_constant_can_hold_is_not_folded(op: str) -> None:
    assert not foldable(op)


@pytest.mark.parametrize(
    ("needs", "valid", "words"),
    [
        ([[], [0], [1, 0, 1]], ((), (0,), (1, 0, 1)), None),
        ([[2], []], ((), ()), "element 0 needs element 2, and there are 2 (counted from 0)"),
        ([[-1]], ((),), "element 0 needs element -1"),
        ([[0]], ((),), "element 0 needs itself"),
        ([[1], [2], [0]], ((1,), (2,), ()), "element 2 needs element 0, which needs element 2 in turn"),
        ([[], [2], [1, 0]], ((), (2,), (0,)), "element 2 needs element 1"),
    ],
)
def test_invalid_dependencies(needs: list[list[int]], valid: object, words: str | None) -> None:
    assert valid_needs(needs) == valid
    assert problem(valid_needs(needs)) is None
    found = problem(needs)
    assert found is None if words is None else words in (found or "")


@pytest.mark.timeout(120)
def test_long_chains_and_wide_needs() -> None:
    """A walk that recursed would fail here, and one that looked at a node's needs again and again would not end."""
    n = 50_000
    assert evaluate("depth", "", ([[i + 1] for i in range(n)],)) == n
    assert evaluate("depth", "", ([list(range(1, n)), *([] for _ in range(n - 1))],)) == 2
