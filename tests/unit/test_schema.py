"""JSON schemas of types, and values read from what a model wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from ttsc.compiler.values.pure import EvaluationFailed, evaluate
from ttsc.compiler.values.schema import MAX_PARTS, constraints_text, has_schema, schema_text
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    FLOAT,
    IMAGE,
    INT,
    STR,
    TREE,
    Interval,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Type,
)

PART = RecordType("Part", (("name", STR), ("schema", BOOL)))
STEP = RecordType(
    "Step",
    (
        ("text", STR), ("grade", INT), ("kind", STR), ("weight", FLOAT), ("parts", ListOf(PART, 2)),
        ("note", OptionalOf(STR)), ("level", OptionalOf(INT)),
    ),
    (("grade", Interval(0, 10)), ("kind", ("a", "b")), ("weight", Interval(0.5, 1)), ("level", (1, 2, None))),
)  # fmt: skip
GOOD: dict[str, Any] = {
    "text": "x", "grade": 3, "kind": "a", "weight": 1, "parts": [{"name": "p", "schema": True}], "note": None,
    "level": 2,
}  # fmt: skip
VALUE = {**GOOD, "weight": 1.0, "parts": ({"name": "p", "schema": True},)}


def parsed(type_: Type, text: str) -> object:
    return evaluate("parse", schema_text(type_), (text,))


def reason(type_: Type, text: str) -> object:
    return evaluate("parse_failure", schema_text(type_), (text,))


def test_the_schema_of_a_record() -> None:
    assert json.loads(schema_text(STEP)) == {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "grade": {"type": "integer", "minimum": 0, "maximum": 10},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "weight": {"type": "number", "minimum": 0.5, "maximum": 1},
            "parts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "schema": {"type": "boolean"}},
                    "required": ["name", "schema"],
                    "additionalProperties": False,
                },
                "maxItems": 2,
            },
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "level": {"anyOf": [{"type": "integer", "enum": [1, 2]}, {"type": "null"}]},
        },
        "required": ["text", "grade", "kind", "weight", "parts", "note", "level"],
        "additionalProperties": False,
    }


def test_properties_are_in_declared_order() -> None:
    names = [name for name, _ in STEP.fields]
    assert list(json.loads(schema_text(STEP))["properties"]) == names
    assert list(parsed(STEP, json.dumps(dict(reversed(GOOD.items()))))) == names  # type: ignore[call-overload]


def test_the_schema_of_a_pair() -> None:
    assert parsed(PairOf(INT, STR), '{"first": 1, "second": "a"}') == {"first": 1, "second": "a"}


@pytest.mark.parametrize("type_", [CANDIDATE, TREE, IMAGE, ListOf(CANDIDATE), RecordType("R", (("c", CANDIDATE),))])
def test_types_that_are_no_data(type_: Type) -> None:
    assert not has_schema(type_) and has_schema(STEP)
    with pytest.raises(ValueError, match="is no data"):
        schema_text(type_)


@pytest.mark.parametrize(
    "around",
    ["{}", " {}\n", "Here:\n```json\n{}\n```\nDone.", "Let {{x}} be: {}", "\\{{ {}", "{} and {{", "{} {}"],
)
def test_where_the_value_may_stand(around: str) -> None:
    assert parsed(STEP, around.format(*[json.dumps(GOOD)] * 2)) == VALUE


def test_braces_in_strings_do_not_count() -> None:
    value = {**GOOD, "text": 'a } " { \\ {'}
    assert parsed(STEP, f"so {json.dumps(value)}.") == {**VALUE, "text": value["text"]}


def test_lists_and_scalars() -> None:
    assert parsed(ListOf(STR), 'It is ["a]", "b"], see [1].') == ("a]", "b")
    assert parsed(ListOf(ListOf(INT)), "[[1], []]") == ((1,), ())
    assert parsed(INT, " 3 ") == 3 and parsed(INT, "it is 3") is None
    assert parsed(FLOAT, "3") == 3.0 and isinstance(parsed(FLOAT, "3"), float)
    assert parsed(OptionalOf(STR), "null") is None and reason(OptionalOf(STR), "null") == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grade": 11}, "`grade` must be at most 10"), ({"grade": -1}, "`grade` must be at least 0"),
        ({"grade": True}, "`grade` must be a whole number"), ({"grade": "3"}, "`grade` must be a whole number"),
        ({"grade": 3.0}, "`grade` must be a whole number"), ({"weight": 0.4}, "`weight` must be at least 0.5"),
        ({"weight": "1"}, "`weight` must be a number"), ({"weight": float("nan")}, "`weight` must be a finite number"),
        ({"kind": "c"}, '`kind` must be "a" or "b"'), ({"kind": None}, "`kind` must be a text"),
        ({"level": 3}, "`level` must be 1 or 2"), ({"level": True}, "`level` must be a whole number"),
        ({"parts": [VALUE["parts"][0]] * 3}, "`parts` has 3 items, and at most 2 are allowed"),
        ({"parts": {}}, "`parts` must be a list"), ({"parts": [1]}, "`parts[0]` must be an object"),
        ({"parts": [VALUE["parts"][0], {"name": "x"}]}, "`parts[1].schema` is missing"),
        ({"parts": [{"name": "x", "schema": 0}]}, "`parts[0].schema` must be true or false"),
        ({"more": 1}, "`more` is not a field"),
    ],
)  # fmt: skip
def test_what_does_not_fit(change: dict[str, object], words: str) -> None:
    text = json.dumps({**GOOD, **change})
    assert parsed(STEP, text) is None
    assert reason(STEP, text) == words
    assert reason(STEP, f"Sure: {text}") == words


def test_a_missing_field_is_missing_even_if_optional() -> None:
    text = json.dumps({name: value for name, value in GOOD.items() if name != "note"})
    assert reason(STEP, text) == "`note` is missing"


def test_what_is_no_json() -> None:
    assert str(reason(STEP, "no answer")).startswith("not JSON: ")
    assert reason(STEP, "[1]") == "the value must be an object"
    assert reason(INT, "9" * 30) == "the value must be at most 9.22337e+18"


@pytest.mark.parametrize("text", ["{" * 200_000, "{}" * 50_000, '{"a":' * 50_000, '"{' * 50_000, "[" * 200_000])
@pytest.mark.timeout(60)
def test_hostile_text(text: str) -> None:
    assert parsed(STEP, text) is None


def test_only_the_first_parts_are_tried() -> None:
    assert parsed(STEP, "{}" * (MAX_PARTS - 1) + json.dumps(GOOD)) == VALUE
    assert parsed(STEP, "{}" * MAX_PARTS + json.dumps(GOOD)) is None


def test_checked_values_of_a_program() -> None:
    type_ = RecordType("R", (("c", CANDIDATE), ("g", INT), ("l", ListOf(INT, 2))), (("g", Interval(0, 3)),))
    attr = constraints_text(type_)
    value = {"c": object(), "g": 3, "l": (1, 2)}
    assert evaluate("checked", attr, (value,)) is value
    for change, words in (({"g": 4}, "`g` must be at most 3"), ({"l": (1, 2, 3)}, "`l` has 3 items")):
        with pytest.raises(EvaluationFailed, match=words):
            evaluate("checked", attr, ({**value, **change},))


def test_a_required_value() -> None:
    assert evaluate("require", "no answer", (0, "")) == 0
    for reason_, words in (("`a` is missing", "no answer: `a` is missing"), ("", "no answer")):
        with pytest.raises(EvaluationFailed) as caught:
            evaluate("require", "no answer", (None, reason_))
        assert caught.value.message == words


def test_pydantic_is_loaded_on_first_use() -> None:
    code = (
        "import sys\nfrom ttsc.compiler.values.pure import evaluate"
        "\nfrom ttsc.compiler.values.schema import schema_text"
        "\nfrom ttsc.compiler.values.types import INT; text = schema_text(INT); print('pydantic' in sys.modules)"
        "\nevaluate('parse', text, ('1',)); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
