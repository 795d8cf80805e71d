"""Inputs: what fits the declared types, and what is said of what doesn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttsc.compiler.ir.nodes import Parameter, Value
from ttsc.compiler.values.types import BOOL, CANDIDATE, FLOAT, INT, STR, Interval, ListOf, OptionalOf, RecordType, Type
from ttsc.errors import InputError
from ttsc.inputs import bind, from_text, parse_object, read_file

CASE = RecordType("Case", (("call", STR), ("expected", INT), ("note", OptionalOf(STR))))


def parameter(name: str, kind: Type, **more: Any) -> Parameter:
    return Parameter(Value(f"%{name}", kind), name, **more)


QUESTION = parameter("question", STR)
N = parameter("n", INT, default=8, required=False, tunable=Interval(1, 64))


def problems(parameters: list[Parameter], values: dict[str, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as caught:
        bind(parameters, values)
    return [(problem.code, problem.message, problem.hint) for problem in caught.value.problems]


def test_defaults_fill_what_is_not_given() -> None:
    assert bind([QUESTION, N], {"question": "?"}) == {"question": "?", "n": 8}


def test_every_problem_is_reported_at_once() -> None:
    found = problems([QUESTION, N], {"qestion": "?", "n": 300})
    assert [code for code, _, _ in found] == ["E0502", "E0501", "E0504"]
    assert found[0][2] == "did you mean 'question'?"
    assert found[2][1] == "parameter 'n' is 300, outside of 1..64"


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (INT, "8", "parameter 'x' must be an int, got the str \"8\""),
        (INT, True, "parameter 'x' must be an int, got the bool true"),
        (INT, 1.0, "parameter 'x' must be an int, got the float 1.0"),
        (STR, 3, "parameter 'x' must be a str, got the int 3"),
        (STR, None, "parameter 'x' must be a str, got none"),
        (BOOL, 1, "parameter 'x' must be a bool, got the int 1"),
        (FLOAT, float("nan"), "parameter 'x' must be a finite number, got nan"),
        (ListOf(STR), "ab", "parameter 'x' must be a list[str], got the str \"ab\""),
        (ListOf(STR), ["a", 2], "parameter 'x'[1] must be a str, got the int 2"),
        (ListOf(ListOf(INT)), [[1], [2, "3"]], "parameter 'x'[1][1] must be an int, got the str \"3\""),
        (CASE, {"call": "f()"}, "parameter 'x' lacks the field 'expected'"),
        (CASE, {"call": "f()", "expected": 1, "note": None, "exp": 2}, "parameter 'x' has an unknown field 'exp'"),
        (ListOf(CASE), [{"call": "f", "expected": "1", "note": None}],
         "parameter 'x'[0].expected must be an int, got the str \"1\""),
        (CANDIDATE, "text", "parameter 'x' is a Candidate, which can't be given from outside"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind: Type, value: Any, message: str) -> None:
    found = problems([parameter("x", kind)], {"x": value})
    assert [(code, text) for code, text, _ in found][:1] == [("E0503", message)]


def test_an_int_will_do_for_a_float_and_none_for_an_optional() -> None:
    given_values = {"a": 1, "b": None, "c": {"call": "f()", "expected": 1, "note": None}}
    bound = bind([parameter("a", FLOAT), parameter("b", OptionalOf(STR)), parameter("c", CASE)], given_values)
    assert bound == given_values
    assert isinstance(bound["a"], float)


def test_choices_are_a_range_too() -> None:
    mode = parameter("mode", STR, tunable=("short", "long"))
    assert bind([mode], {"mode": "long"}) == {"mode": "long"}
    assert problems([mode], {"mode": "middle"})[0][1] == 'parameter \'mode\' is "middle", outside of ["short", "long"]'


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(STR, "7", "7"), (INT, "7", 7), (FLOAT, "0.5", 0.5), (BOOL, "true", True), (ListOf(STR), '["a"]', ["a"]),
     (OptionalOf(STR), "none", None), (OptionalOf(STR), "x", "x"), (STR, "none", "none")],
)  # fmt: skip
def test_a_setting_is_read_by_its_type(kind: Type, text: str, value: Any) -> None:
    assert from_text([parameter("x", kind)], "x", text) == value


def test_a_setting_that_is_no_value_says_so() -> None:
    with pytest.raises(InputError, match=r"'n': .eight. is not an int"):
        from_text([N], "n", "eight")
    with pytest.raises(InputError, match="did you mean 'n'"):
        from_text([N], "nn", "8")


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is not JSON at character 2"), ("[1]", "is a list of 1, not an object")]
)
def test_an_input_that_is_no_object_says_so(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_object(text, "--input")


def test_a_file_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"question": "a"}\n\n{"question": \n', encoding="utf-8")
    with pytest.raises(InputError, match=r"in\.jsonl:3 is not JSON"):
        read_file(file)
    with pytest.raises(InputError, match="can't read inputs"):
        read_file(tmp_path / "none.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(value=JSON)
def test_whatever_is_given_is_a_value_or_an_input_error(value: Any) -> None:
    for kind in (STR, INT, FLOAT, BOOL, ListOf(INT), OptionalOf(ListOf(STR)), CASE):
        try:
            bound = bind([parameter("x", kind)], {"x": value})
        except InputError as error:
            assert all(problem.message.startswith("parameter 'x'") for problem in error.problems)
        else:
            assert bound["x"] == value
