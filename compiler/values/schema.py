"""Structured output: the JSON schema of a type, and values of that type read from what a model wrote.

A schema is made from a type and then travels as text, to the engine that constrains its output to it and to `parse`,
which checks what came back. Only the keywords written here are read again. Strict: no text for a number, no missing and
no further fields; but a whole number fits a float. Checking is pydantic's, which is imported on first use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, assert_never

from ttsc.compiler.values.evaluation import MAX_INTEGER, EvaluationFailed, Operation, text
from ttsc.compiler.values.types import (
    PAIR_FIELDS,
    STR,
    Allowed,
    Interval,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Scalar,
    Type,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "none": "null"}
_EXPECTED = {
    "string_type": "a text", "int_type": "a whole number", "float_type": "a number", "bool_type": "true or false",
    "list_type": "a list", "dict_type": "an object", "none_required": "null", "finite_number": "a finite number",
}  # fmt: skip
_BRACES = re.compile(r'\\.|["{}]', re.DOTALL)
_BRACKETS = re.compile(r'\\.|["\[\]]', re.DOTALL)

MAX_PARTS = 1_000
"""Parts of a text in balanced braces that are tried, from the first on."""


class Mismatch(Exception):
    """A text is not a value of the schema. The message says why, in words of the language."""


# --- writing ----------------------------------------------------------------------------------------------------------


def has_schema(type_: Type) -> bool:
    """Whether values of the type can be written as JSON."""
    try:
        schema_of(type_)
    except ValueError:
        return False
    return True


def schema_text(type_: Type) -> str:
    """The JSON schema of a type. `ValueError` if it holds something that is no data (a candidate, a tree, an image)."""
    return _written(schema_of(type_))


def constraints_text(type_: Type) -> str:
    """The same for `checked`: what is no data may be anything, since its type is right already."""
    return _written(schema_of(type_, opaque=True))


def _written(schema: Mapping[str, object]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def schema_of(type_: Type, allowed: Allowed | None = None, *, opaque: bool = False) -> dict[str, object]:
    match type_:
        case Scalar(name):
            if name in _NAMES:
                return {"type": _NAMES[name], **_limits(allowed)}
            if not opaque:
                raise ValueError(f"{name} is no data")
            return {}
        case OptionalOf(item):
            return {"anyOf": [schema_of(item, allowed, opaque=opaque), {"type": "null"}]}
        case ListOf(item, limit):
            schema: dict[str, object] = {"type": "array", "items": schema_of(item, allowed, opaque=opaque)}
            return schema if limit is None else {**schema, "maxItems": limit}
        case PairOf(first, second):
            return _object(tuple(zip(PAIR_FIELDS, (first, second), strict=True)), {}, opaque)
        case RecordType(_, fields, limits):
            return _object(fields, dict(limits), opaque)
    assert_never(type_)


def _object(fields: Sequence[tuple[str, Type]], limits: Mapping[str, Allowed], opaque: bool) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: schema_of(type_, limits.get(name), opaque=opaque) for name, type_ in fields},
        "required": [name for name, _ in fields],
        "additionalProperties": False,
    }


def _limits(allowed: Allowed | None) -> dict[str, object]:
    """Of a field's scalar; of the items where the field is a list. `none` is left to `anyOf`."""
    if allowed is None:
        return {}
    if isinstance(allowed, Interval):
        return {"minimum": allowed.low, "maximum": allowed.high}
    return {"enum": [value for value in allowed if value is not None]}


# --- reading ----------------------------------------------------------------------------------------------------------


def read(whole: str, schema: str) -> object:
    """The value in a text: the text itself as JSON, or the first part of it in balanced braces that fits.

    Around the JSON may be prose or a Markdown fence. For a list, brackets take the place of braces; other values must
    be the whole text. Braces within JSON strings do not count, nor do those after a backslash, and of the parts the
    first 1,000 are tried. Raises `Mismatch` with what is wrong with the whole text, or with the first part if there is
    one.
    """
    adapter = _adapter(schema)
    try:
        return _checked(adapter, whole.strip())
    except Mismatch as failure:
        reason = failure
    for number, part in enumerate(islice(_parts(whole, _kind(schema)), MAX_PARTS)):
        try:
            return _checked(adapter, part)
        except Mismatch as failure:
            reason = reason if number else failure
    raise reason


@lru_cache(maxsize=256)
def _kind(schema: str) -> object:
    return json.loads(schema).get("type")


def _parts(whole: str, kind: object) -> Iterator[str]:
    """Parts in balanced braces (or brackets), from left to right, not within one another. Linear in the text."""
    if kind not in ("object", "array"):
        return
    opening = "{" if kind == "object" else "["
    marks = _BRACES if kind == "object" else _BRACKETS
    depth = start = 0
    quoted = False
    for mark in marks.finditer(whole):
        token = mark.group()
        if token == '"':
            quoted = not quoted and depth > 0
        elif quoted or len(token) > 1:
            continue
        elif token == opening:
            start = start if depth else mark.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                yield whole[start : mark.end()]


def _checked(adapter: TypeAdapter[Any], part: str) -> object:
    from pydantic import ValidationError

    try:
        return _frozen(adapter.validate_json(part))
    except ValidationError as failure:
        raise Mismatch(_reason(failure.errors(include_url=False)[0])) from failure


def _frozen(value: object) -> object:
    """The value as the language has it: lists as tuples."""
    if isinstance(value, dict):
        return {name: _frozen(each) for name, each in value.items()}
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    return value


def _reason(error: Mapping[str, Any]) -> str:
    """What pydantic found, in words of the language."""
    kind, found = error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"not JSON: {found['error']}"
    place = _place(error["loc"])
    match kind:
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            return f"{place} is not a field"
        case "too_long":
            return f"{place} has {found['actual_length']} items, and at most {found['max_length']} are allowed"
        case "greater_than_equal":
            return f"{place} must be at least {found['ge']:g}"
        case "less_than_equal":
            return f"{place} must be at most {found['le']:g}"
        case "not_allowed":
            return f"{place} must be {found['allowed']}"
    return f"{place} must be {_EXPECTED[kind]}" if kind in _EXPECTED else f"{place} does not fit: {error['msg']}"


def _place(location: Sequence[int | str]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"`{path.removeprefix('.')}`" if path else "the value"


@lru_cache(maxsize=256)
def _adapter(schema: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(_annotation(json.loads(schema)))


def _annotation(schema: Mapping[str, Any]) -> Any:
    """The Python type that pydantic checks."""
    from pydantic import AfterValidator, ConfigDict, Field, Strict, with_config
    from typing_extensions import TypedDict

    if not schema:
        return Any
    if "anyOf" in schema:
        return _annotation(schema["anyOf"][0]) | None
    annotation: Any
    match schema["type"]:
        case "string":
            annotation = Annotated[str, Strict()]
        case "integer":
            low, high = schema.get("minimum", -MAX_INTEGER), schema.get("maximum", MAX_INTEGER)
            annotation = Annotated[int, Strict(), Field(ge=low, le=high)]
        case "number":
            low, high = schema.get("minimum"), schema.get("maximum")
            annotation = Annotated[float, Strict(), Field(ge=low, le=high, allow_inf_nan=False)]
        case "boolean":
            annotation = Annotated[bool, Strict()]
        case "null":
            annotation = None
        case "array":
            item: Any = _annotation(schema["items"])
            annotation = Annotated[list[item], Field(max_length=schema.get("maxItems"))]
        case _:
            fields = {name: _annotation(each) for name, each in schema["properties"].items()}
            made: Any = TypedDict  # a type checker knows it with written fields only
            annotation = with_config(ConfigDict(extra="forbid"))(made("Record", fields))
    return Annotated[annotation, AfterValidator(_one_of(schema["enum"]))] if "enum" in schema else annotation


def _one_of(allowed: Sequence[object]) -> Callable[[object], object]:
    from pydantic_core import PydanticCustomError

    def check(value: object) -> object:
        if value not in allowed:
            names = " or ".join(json.dumps(each, ensure_ascii=False) for each in allowed)
            raise PydanticCustomError("not_allowed", "not one of the allowed values", {"allowed": names})
        return value

    return check


# --- operations -------------------------------------------------------------------------------------------------------


def _parse(whole: object, *, attr: str) -> object:
    try:
        return read(text(whole), attr)
    except Mismatch:
        return None


def _parse_failure(whole: object, *, attr: str) -> str:
    """Why `parse` gives none; empty if it gives a value."""
    try:
        read(text(whole), attr)
    except Mismatch as failure:
        return str(failure)
    return ""


def _require(value: object, reason: object, *, attr: str) -> object:
    """The value, or a failure that says what is missing (`attr`) and why."""
    if value is None:
        raise EvaluationFailed(f"{attr}: {reason}" if reason else attr)
    return value


def _valid(value: object, *, attr: str) -> object:
    """The value itself if it fits the schema."""
    from pydantic import ValidationError

    try:
        _adapter(attr).validate_python(value)
    except ValidationError as failure:
        raise EvaluationFailed(_reason(failure.errors(include_url=False)[0])) from failure
    return value


SCHEMAS = (
    Operation("parse", _parse, 1, 1, None, foldable=False, total=True, uses_attr=True),
    Operation("require", _require, 2, 2, None, foldable=False, uses_attr=True),
    Operation("parse_failure", _parse_failure, 1, 1, STR, foldable=False, total=True, uses_attr=True),
    Operation("checked", _valid, 1, 1, None, foldable=False, uses_attr=True),
)
"""attr is the JSON schema; of `require` it is the message. `checked` is for values that a program makes: it fails with
the reason.
"""
