"""Pure operations: values, failures, bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.pure import OPERATIONS, EvaluationFailed, evaluate, foldable, valid_pattern


@dataclass(frozen=True)
class Candidate:
    text: str
    score: float = 0.0
    scores: tuple[float, ...] = ()
    answer: str | None = None
    finished: bool = False
    secret: str = "s"


CASES = [
    ("add", (1, 2), 3), ("add", (1, 0.5), 1.5), ("add", ("a", "b"), "ab"), ("add", ((1,), [2]), (1, 2)),
    ("sub", (1, 2), -1), ("mul", (3, 4), 12), ("div", (1, 2), 0.5), ("floordiv", (7, 2), 3), ("mod", (7, 2), 1),
    ("neg", (3,), -3), ("eq", ("a", "a"), True), ("eq", (1, 1.0), True), ("eq", (True, 1), False),
    ("eq", ([1], (1,)), True), ("ne", (None, 1), True), ("lt", ("a", "b"), True), ("le", (2, 2), True),
    ("gt", (2, 1.5), True), ("ge", (1, 2), False), ("not", (False,), True), ("and", (True, False), False),
    ("or", (True, False), True), ("in", ("a", ("a", "b")), True), ("in", ("ab", "cab"), True),
    ("in", (True, (1, 2)), False), ("round", (2.5,), 2), ("round", (2.567, 1), 2.6), ("clamp", (5, 0, 3), 3),
    ("strip", (" a\n",), "a"), ("lower", ("A",), "a"), ("upper", ("a",), "A"), ("length", ("abc",), 3),
    ("length", ((1, 2),), 2), ("contains", ("abc", "b"), True), ("starts_with", ("abc", "ab"), True),
    ("ends_with", ("abc", "bc"), True), ("replace", ("aba", "a", "x"), "xbx"), ("find", ("a1b22", r"\d+"), "1"),
    ("find", ("k: v", r"(\w): (\w)", 2), "v"), ("find", ("abc", r"\d"), None), ("find", ("b", r"(a)?b", 1), None),
    ("find_last", ("a1b22", r"\d+"), "22"), ("find_last", ("", "x"), None), ("split", ("a,b", ","), ("a", "b")),
    ("split", (" a  b ",), ("a", "b")), ("join", (("a", "b"), "-"), "a-b"), ("head", ("abc", 2), "ab"),
    ("head", ((1, 2), 5), (1, 2)), ("to_str", (True,), "true"), ("to_str", (None,), "none"), ("to_str", (1.0,), "1.0"),
    ("to_str", (("é", 1),), '["é", 1]'), ("to_float", (" 1.5 ",), 1.5), ("to_float", ("1e5",), 1e5),
    ("to_float", ("x",), None), ("to_float", ("nan",), None), ("to_float", ("1e9999",), None), ("to_int", ("12",), 12),
    ("to_int", ("1.5",), None), ("to_int", ("9" * 30,), None), ("item", ((1, 2), -1), 2), ("list", (), ()),
    ("list", (1, 2), (1, 2)), ("count", ((1, 1, 2),), 3), ("count", ((1, 1, 2), 1), 2), ("sum", ((),), 0),
    ("sum", ((1, 2),), 3), ("sum", ((0.1,) * 10,), 1.0), ("mean", ((1, 2),), 1.5), ("mean", ((),), 0.0),
    ("minimum", ((2, 1),), 1),
    ("maximum", (("a", "b"),), "b"), ("or_else", (None, 1), 1), ("or_else", (0, 1), 0), ("one", ((1, 2),), 1),
    ("one", ((), 7), 7),
    ("abs", (-2,), 2), ("abs", (-0.5,), 0.5), ("exp", (0,), 1.0), ("log", (1,), 0.0), ("sqrt", (9,), 3.0),
    ("power", (2, 3), 8.0), ("power", (-2, 3), -8.0), ("power", (4, -0.5), 0.5), ("sigmoid", (0,), 0.5),
    ("sigmoid", (1e308,), 1.0), ("logit", (0.5,), 0.0), ("softmax", ((),), ()), ("softmax", ((3, 3),), (0.5, 0.5)),
    ("softmax", ((1e308, -1e308),), (1.0, 0.0)), ("product", ((),), 1), ("product", ((2, 3),), 6),
    ("product", ((2, 0.25),), 0.5), ("median", ((3, 1, 2),), 2.0), ("median", ((4, 1, 2, 3),), 2.5),
    ("entropy", ((),), 0.0), ("entropy", (("a", "a"),), 0.0), ("entropy", ((1, 2, 1.0, None),), 1.5),
    ("weibull_upper", ((),), ()), ("weibull_upper", ((0.5,) * 9,), (1.0,) * 9),
    ("weibull_upper", ((0.1, 0.9),), (1.0, 1.0)),
    ("variance", ((),), 0.0), ("variance", ((1, 3),), 1.0), ("percentile", (2, (1, 2, 2, 3)), 0.25),
    ("percentile", (9, (1, 2)), 1.0), ("conformal_p", (2, (1, 2, 2, 3)), 0.8), ("conformal_p", (2, ()), 1.0),
    ("windows", ((1, 2, 3, 6), 2), (1.5, 2.5, 4.5)), ("windows", ((1, 2), 3), (1.5,)), ("windows", ((), 3), ()),
    ("windows", ((0.1,) * 9, 3), (0.1,) * 7), ("lowest", ((3, 1, 2, 5), 0.5), (1.0, 2.0)), ("lowest", ((), 0.5), ()),
    ("lowest", ((3, 1), 0.1), (1.0,)), ("quantile", ((4, 1, 3, 2), 0.9), 3.7), ("quantile", ((2,), 0.3), 2.0),
    ("words", (" a  b\n",), ("a", "b")), ("lines", ("a\r\nb\n",), ("a", "b")), ("lines", ("",), ()),
    ("lines", ("\n\na",), ("", "", "a")), ("or_else", (ABSTAINED, 1), 1), ("eq", (None, ABSTAINED), False),
    ("eq", (ABSTAINED, ABSTAINED), True), ("eq", ({"a": 1}, {"a": True}), False), ("eq", ({"a": 1}, {"a": 1.0}), True),
    ("missing", (ABSTAINED,), True), ("missing", (0,), False), ("known", (3,), 3),
    ("to_str", (ABSTAINED,), "abstain"), ("to_str", ((ABSTAINED,),), '["abstain"]'),
]  # fmt: skip


@pytest.mark.parametrize(("op", "args", "expected"), CASES)
def test_values(op: str, args: tuple[object, ...], expected: object) -> None:
    result = evaluate(op, "", args)
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{42}.", "42"), (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"), (r"\boxed{1} then \fbox{2}", "2"),
        (r"\boxed{\boxed{5}}", "5"), (r"\boxed{7} and \boxed{8", "7"),
        (r"$\boxed 5$", "5"), (r"\boxed 5.", "5"),
        (r"\boxed{}", None), ("none", None), (r"\boxed{\{1, 2\}}", r"\{1, 2\}"), (r"\boxed {9}", "9"),
        (r"\boxed{1} or \boxed 2", "2"), (r"\boxedx{1}", None), ("}" * 5 + r"\boxed{a}", "a"),
        (r"\boxed{a\}b}", r"a\}b"),
    ],
)  # fmt: skip
def test_last_boxed(text: str, expected: str | None) -> None:
    assert evaluate("last_boxed", "", (text,)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 and 2", "2"), ("$1,234,567.50 total", "1234567.5"), ("is 5.", "5"), ("-0", "0"), ("7.0", "7"),
        ("007", "7"), ("3-5", "5"), ("x = -5", "-5"), ("(-5)", "-5"), ("none", None), (".5", "0.5"), ("1,2", "2"),
        ("-0.50", "-0.5"), ("12,3456", "3456"), ("−3", "-3"), ("f(2)-4", "4"), ("0.0", "0"), ("10", "10"),
        ("100", "100"), ("A4", "4"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_last_number(text: str, expected: str | None) -> None:
    assert evaluate("last_number", "", (text,)) == expected


@pytest.mark.parametrize(
    ("op", "args", "words"),
    [
        ("nosuch", (), "no operation"), ("add", (1,), "takes 2 arguments"), ("find", ("a",), "takes 2 to 3"),
        ("add", (1, "a"), "int and str"), ("add", (True, 1), "bool and int"), ("div", (1, 0), "division by zero"),
        ("mod", (1, 0), "division by zero"), ("lt", (1, "a"), "no result"), ("not", (1,), "no result"),
        ("item", ((1, 2), 2), "index 2 is outside of a list of 2"), ("item", ((), 0), "outside"),
        ("one", ((),), "no candidate is left"), ("maximum", ((),), "empty list"),
        ("minimum", ((1, "a"),), "no result"), ("find", ("a", "("), "invalid pattern"),
        ("find", ("a", "a", 3), "no group"), ("split", ("a", ""), "empty text"), ("replace", ("a", "", "b"), "empty"),
        ("head", ("a", -1), "negative"), ("mul", (2**40, 2**40), "out of range"),
        ("mul", (1e300, 1e300), "out of range"),
        ("add", ("a" * 600_000, "a" * 600_000), "longer"), ("add", ((1,) * 60_000, (1,) * 60_000), "longer"),
        ("replace", ("a" * 10_000, "a", "b" * 1_000), "longer"), ("join", (("a",) * 1_000, "b" * 2_000), "longer"),
        ("mul", ("a", 10**9), "no result"), ("clamp", (1, 3, 2), "above"), ("round", (float("inf"),), "no result"),
        ("exp", (1000,), "`exp` of 1000: number out of range"), ("log", (0,), "`log` of 0"),
        ("sqrt", (-1,), "`sqrt` of -1"), ("power", (10, 400), "out of range"), ("power", (0, -1), "division by zero"),
        ("power", (-8, 1 / 3), "whole exponents"), ("logit", (1.5,), "a probability, from 0 to 1"),
        ("softmax", ((1,), 0), "greater than 0"), ("product", ((2,) * 64,), "integer out of range"),
        ("median", ((),), "`median` of an empty list"), ("percentile", (1, ()), "`percentile` of an empty list"),
        ("windows", ((1,), 0), "at least 1"), ("lowest", ((1,), 0.0), "above 0"),
        ("quantile", ((1,), 2), "from 0 to 1"), ("quantile", ((), 0.5), "`quantile` of an empty list"),
        ("weibull_upper", ((-1,),), "`weibull_upper` of -1: it takes numbers of at least 0"),
        ("sigmoid", (True,), "no result for bool"), ("strip", (ABSTAINED,), "no result for abstain"),
        ("strip", ({"first": 1, "second": 2},), "no result for pair"), ("strip", ({"a": 1},), "no result for record"),
    ],
)  # fmt: skip
def test_failures(op: str, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(op, "", args)
    assert words in caught.value.message


def test_logit_is_finite_and_the_inverse_of_sigmoid() -> None:
    assert evaluate("logit", "", (0.99,)) == pytest.approx(math.log(99))
    assert evaluate("logit", "", (1,)) == pytest.approx(13.8155096) == -evaluate("logit", "", (0.0,))
    assert evaluate("sigmoid", "", (evaluate("logit", "", (0.2,)),)) == pytest.approx(0.2)
    assert evaluate("softmax", "", ((0, math.log(3)),)) == pytest.approx((0.25, 0.75))
    assert evaluate("softmax", "", ((0, math.log(3)), 0.5)) == pytest.approx((0.1, 0.9))


@pytest.mark.parametrize(
    ("attr", "expected"),
    [("last", 0.25), ("min", 0.25), ("max", 0.8), ("mean", 0.5), ("prod", 0.09), ("sum", 1.5), ("whole", 0.25)],
)
def test_reductions_of_step_rewards(attr: str, expected: float) -> None:
    assert evaluate("reduce_scores", attr, ((0.8, 0.45, 0.25),)) == pytest.approx(expected)
    assert evaluate("reduce_scores", attr, ((), -1)) == -1.0
    with pytest.raises(EvaluationFailed, match="no step of the candidate has a reward"):
        evaluate("reduce_scores", attr, ((),))


def test_a_reduction_must_be_known() -> None:
    with pytest.raises(EvaluationFailed, match="no reduction `first`"):
        evaluate("reduce_scores", "first", ((1.0,),))


def test_what_is_written_on_candidates() -> None:
    candidate = Candidate("t")
    assert evaluate("with_scores", "", (candidate, (1, 0.5), 0.5)) == Candidate("t", 0.5, (1.0, 0.5))
    assert evaluate("with_answer", "", (candidate, "a")) == Candidate("t", answer="a")
    for missing in (None, ABSTAINED):
        assert evaluate("with_answer", "", (Candidate("t", answer="a"), missing)) == candidate
    for op, value in (("with_answer", 1), ("with_score", "1")):
        with pytest.raises(EvaluationFailed):
            evaluate(op, "", (candidate, value))


def test_candidates() -> None:
    candidate = Candidate("t")
    assert evaluate("field", "text", (candidate,)) == "t"
    assert evaluate("field", "a", ({"a": 1},)) == 1
    assert evaluate("with_score", "", (candidate, 2)) == Candidate("t", 2.0)
    hidden = (("secret", candidate), ("__class__", candidate), ("text", "x"), ("b", {"a": 1}), ("text", None))
    for attr, value in hidden:
        with pytest.raises(EvaluationFailed):
            evaluate("field", attr, (value,))
    assert not foldable("field") and not foldable("with_score") and foldable("add") and not foldable("nosuch")


@pytest.mark.parametrize("pattern", [r"((a{1,1000}){1,1000}){1,1000}b", r"(\p{L}|\w)*?\d", r"(a+)+$"])
@pytest.mark.parametrize("op", ["find", "find_last"])
@pytest.mark.timeout(60)
def test_patterns_cannot_run_away(op: str, pattern: str) -> None:
    """Either there is an answer or the search is stopped; otherwise the test's timeout ends it."""
    try:
        found = evaluate(op, "", ("a" * 100_000, pattern))
    except EvaluationFailed as failure:
        assert "took longer" in failure.message
    else:
        assert found is None or isinstance(found, str)


def test_valid_pattern() -> None:
    assert valid_pattern(r"(?P<answer>\d+)") is None
    for pattern in ("(", "[", "(?P<x", "a" * 3000, "(" * 1000 + ")" * 1000, r"\L<x>"):
        assert valid_pattern(pattern)


@pytest.mark.timeout(120)
def test_answers_are_linear_in_the_text() -> None:
    """Anything worse would not end within the test's timeout."""
    for part in (r"\boxed{", "{", "1,", "\\", r"\boxed ", "-", "}", r"\boxed{1"):
        text = part * (600_000 // len(part))
        assert evaluate("last_boxed", "", (text,)) is None
        assert evaluate("last_number", "", (text,)) == ("1" if "1" in part else None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
)


ATTRIBUTES = ("", "text", "a,b", "last", "average", '{"type":"integer"}', '{"type":"object"}', "{}", "3")


@settings(deadline=None)  # the first call of some operations imports what it needs
@given(st.sampled_from(sorted(OPERATIONS)), st.sampled_from(ATTRIBUTES), st.lists(VALUES, max_size=4))
def test_nothing_but_evaluation_failed_escapes(op: str, attr: str, args: list[object]) -> None:
    try:
        evaluate(op, attr, args)
    except EvaluationFailed as failure:
        assert failure.message


def test_every_builtin_function_of_the_language_has_a_meaning() -> None:
    for name, signature in FUNCTIONS.items():
        if name == "text":  # a field of the candidate
            continue
        operation = OPERATIONS[name]
        assert operation.least <= len(signature.parameters) - signature.optional
        assert operation.most is None or operation.most >= len(signature.parameters)
