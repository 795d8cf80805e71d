"""Structured output: the JSON schema of a type, and values of that type read from what a model wrote.

A schema is made from a type and then travels as text, to the engine that constrains its output to it and to `parse`,
which checks what came back. Only the keywords written here are read again. Strict: no text for a number, no missing and
no further fields; but a whole number fits a float. Checking is pydantic's, which is imported on first use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never

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
_BRACES = re.compile(r'\\.|["{}]', re.DOTALL)
_BRACKETS = re.compile(r'\\.|["\[\]]', re.DOTALL)


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
    return json.dumps(schema_of(type_), ensure_ascii=False, separators=(",", ":"))


def schema_of(type_: Type, allowed: Allowed | None = None) -> dict[str, object]:
    match type_:
        case Scalar(name):
            if name not in _NAMES:
                raise ValueError(f"{name} is no data")
            return {"type": _NAMES[name], **_limits(allowed)}
        case OptionalOf(item):
            return {"anyOf": [schema_of(item, allowed), {"type": "null"}]}
        case ListOf(item, limit):
            schema: dict[str, object] = {"type": "array", "items": schema_of(item, allowed)}
            return schema if limit is None else {**schema, "maxItems": limit}
        case PairOf(first, second):
            return _object(tuple(zip(PAIR_FIELDS, (first, second), strict=True)), {})
        case RecordType(_, fields, limits):
            return _object(fields, dict(limits))
    assert_never(type_)


def _object(fields: Sequence[tuple[str, Type]], limits: Mapping[str, Allowed]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {name: schema_of(type_, limits.get(name)) for name, type_ in fields},
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
    be the whole text. Braces within JSON strings do not count. Raises `Mismatch` with what is wrong with the whole
    text, or with the first part in braces if there is one.
    """
    adapter = _adapter(schema)
    first: Mismatch | None = None
    try:
        return _checked(adapter, whole.strip())
    except Mismatch as failure:
        first = failure
    reason = None
    for part in _parts(whole, json.loads(schema).get("type")):
        try:
            return _checked(adapter, part)
        except Mismatch as failure:
            reason = reason or failure
    raise reason or first


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
        raise Mismatch(_reason(failure.errors(include_url=False, include_context=True)[0])) from failure


def _frozen(value: object) -> object:
    """The value as the language has it: lists as tuples."""
    if isinstance(value, dict):
        return {name: _frozen(each) for name, each in value.items()}
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    return value


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"not JSON: {error['ctx']['error']}"
    place = _place(error["loc"])
    match error["type"]:
        case "missing":
            return f"{place} is missing"
        case "extra_forbidden":
            return f"{place} is not a field"
    message = str(error["msg"]).replace("Input should be", "must be").replace("dictionary", "object")
    return f"{place} {message}" if message.startswith("must") else f"{place}: {message[:1].lower()}{message[1:]}"


def _place(location: Sequence[int | str]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"`{path.removeprefix('.')}`" if path else "the value"


@lru_cache(maxsize=256)
def _adapter(schema: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(_annotation(json.loads(schema)))


def _annotation(schema: Mapping[str, Any]) -> Any:
    """The Python type that pydantic checks."""
    from pydantic import ConfigDict, Field, Strict, with_config
    from typing_extensions import TypedDict

    if "anyOf" in schema:
        return _annotation(schema["anyOf"][0]) | None
    if "enum" in schema:
        return Literal[tuple(schema["enum"])]
    match schema["type"]:
        case "string":
            return Annotated[str, Strict()]
        case "integer":
            low, high = schema.get("minimum", -MAX_INTEGER), schema.get("maximum", MAX_INTEGER)
            return Annotated[int, Strict(), Field(ge=low, le=high)]
        case "number":
            low, high = schema.get("minimum"), schema.get("maximum")
            return Annotated[float, Strict(), Field(ge=low, le=high, allow_inf_nan=False)]
        case "boolean":
            return Annotated[bool, Strict()]
        case "null":
            return None
        case "array":
            return Annotated[list[_annotation(schema["items"])], Field(max_length=schema.get("maxItems"))]  # type: ignore[misc]
    fields = {name: _annotation(each) for name, each in schema["properties"].items()}
    return with_config(ConfigDict(extra="forbid"))(TypedDict("Record", fields))  # type: ignore[operator]


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


def _valid(value: object, *, attr: str) -> object:
    """The value itself if it fits the schema."""
    try:
        _checked(_adapter(attr), json.dumps(value))
    except Mismatch as failure:
        raise EvaluationFailed(str(failure)) from failure
    return value


SCHEMAS = (
    Operation("parse", _parse, 1, 1, None, foldable=False, total=True, uses_attr=True),
    Operation("parse_failure", _parse_failure, 1, 1, STR, foldable=False, total=True, uses_attr=True),
    Operation("checked", _valid, 1, 1, None, foldable=False, uses_attr=True),
)
"""attr is the JSON schema. `checked` is for values that a program makes: it fails with the reason."""
