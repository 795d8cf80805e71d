"""What a program is given: values checked against the types, limits, ranges and defaults that it declares.

A record is an object; fields that may be none may be left out. A picture is a file's path, bytes or base 64
(`images.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ttsc.backends.protocol import Image
from ttsc.compiler.ir.nodes import Constant, Parameter
from ttsc.compiler.values.types import IMAGE, Allowed, ListOf, OptionalOf, PairOf, RecordType, Scalar, Type
from ttsc.errors import InputError, Problem, did_you_mean
from ttsc.images import EXAMPLE as IMAGE_EXAMPLE
from ttsc.images import ImageRefused, read_image
from ttsc.runtime.externs import may_be, range_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SHOWN_CHARACTERS = 40


def bind(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every parameter: those given, checked, and the defaults of the others.

    Raises `InputError` with every problem: E0501 missing, E0502 unknown, E0503 of another type, E0504 outside its
    range.
    """
    problems: list[Problem] = []
    names = [parameter.name for parameter in parameters]
    for name in given:
        if name not in names:
            takes = f"the program takes {_listed(names)}" if names else "the program takes no parameters"
            problems.append(Problem("E0502", f"unknown parameter '{name}'", did_you_mean(name, names, takes)))
    bound: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name in given:
            value, found = _check(parameter, given[parameter.name])
            problems.extend(found or _other_than_known(parameter, value))
            bound[parameter.name] = value
        elif parameter.required:
            hint = f"give it as `{parameter.name}=…` ({parameter.value.type})"
            problems.append(Problem("E0501", f"missing parameter '{parameter.name}'", hint))
        else:
            bound[parameter.name] = parameter.default
    if problems:
        raise InputError(*problems)
    return bound


def from_text(parameters: Sequence[Parameter], name: str, text: str) -> Any:
    """The value that `--set name=text` means: text for a `str`, else a number, `true`/`false`, `none` or JSON.

    Raises `InputError` for a name that is no parameter or a text that is no value of its type.
    """
    known = {parameter.name: parameter for parameter in parameters}
    parameter = known.get(name)
    if parameter is None:
        hint = did_you_mean(name, known, f"the program takes {_listed(list(known))}" if known else "")
        raise InputError(Problem("E0502", f"unknown parameter '{name}'", hint))
    kind = parameter.value.type
    if isinstance(kind, OptionalOf):
        if text == "none":
            return None
        kind = kind.item
    if kind == Scalar("str") or (kind == IMAGE and not text.startswith("{")):
        return text
    value, problem = parse_line(text)
    if problem is not None:
        raise InputError(Problem("E0503", f"parameter '{name}': {_short(text)} is not {_a(kind)}", _example(kind)))
    return value


def parse_line(text: str) -> tuple[Any, str | None]:
    """The JSON value of a text, and where it is none (` at character 3`, or "" if that says nothing)."""
    try:
        return json.loads(text), None
    except json.JSONDecodeError as error:
        return None, f" at character {error.pos + 1}"
    except (ValueError, RecursionError):
        return None, ""


def parse_object(text: str, where: str) -> dict[str, Any]:
    """One JSON object: parameter names and values. Raises `InputError` (E0505) that says `where`."""
    value, problem = parse_line(text)
    if problem is not None:
        hint = 'an input looks like {"question": "How much is 17 + 25?"}'
        raise InputError(Problem("E0505", f"{where} is not JSON{problem}", hint))
    if not isinstance(value, dict):
        hint = 'write an object of parameters, as in {"question": "…"}'
        raise InputError(Problem("E0505", f"{where} is {_kind(value)}, not an object", hint))
    return value


def read_lines(lines: Iterable[str], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The inputs of a JSON-lines text, each with its place (`file:line`); empty lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{where}:{number}"
            yield place, parse_object(line, place)


def read_file(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every input of a JSON-lines file. Raises `InputError` (E0505) for a file that can't be read or a line that is
    no input.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            return list(read_lines(lines, str(path)))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(
            Problem("E0505", f"can't read inputs from '{path}': {reason}", "name a JSON-lines file")
        ) from None


def conform(kind: Type, value: Any, what: str) -> tuple[Any, tuple[Problem, ...]]:
    """`value` as a value of type `kind`, and what is wrong with it (E0503), each message beginning with `what`."""
    from pydantic import ValidationError

    if _inner(kind):
        hint = "call this program from another one"
        return value, (Problem("E0503", f"{what} is {_a(kind)}, which can't be given from outside", hint),)
    try:
        return _completed(kind, _adapter(kind, repr(kind)).validate_python(value)), ()
    except ValidationError as error:
        return value, tuple(_translate(kind, detail, what) for detail in error.errors(include_url=False))


def _completed(kind: Type, value: Any) -> Any:
    """The value with none in the fields that were left out."""
    match kind:
        case OptionalOf(item) if value is not None:
            return _completed(item, value)
        case ListOf(item):
            return [_completed(item, each) for each in value]
        case RecordType(fields=fields):
            return {name: _completed(part, value.get(name)) for name, part in fields}
    return value


def _check(parameter: Parameter, given: Any) -> tuple[Any, list[Problem]]:
    value, problems = conform(parameter.value.type, given, f"parameter '{parameter.name}'")
    found = list(problems)
    if not found and parameter.tunable is not None and not may_be(value, parameter.tunable):
        message = f"parameter '{parameter.name}' is {_short(value)}, outside of {range_text(parameter.tunable)}"
        found.append(
            Problem(
                "E0504",
                message,
                f"choose a value in {range_text(parameter.tunable)}, or widen the range in the program",
            )
        )
    return value, found


def _other_than_known(parameter: Parameter, value: Any) -> list[Problem]:
    if not parameter.known or _constant(value) == parameter.default:
        return []
    message = f"parameter '{parameter.name}' is {_short(value)}, but the program was compiled for"
    hint = f"leave '{parameter.name}' out, or use the program as it was before it was specialized"
    return [Problem("E0504", f"{message} {_short(parameter.default)}", hint)]


def constants(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Constant]:
    """Values to be compiled into a program, checked as `bind` does.

    Raises `InputError`, also for what is no constant: records and pictures (E0503), and for oracles, whose values
    belong to the inputs of an evaluation (E0503).
    """
    named = [parameter for parameter in parameters if parameter.name in given]
    checked = bind(named, given)
    problems = [
        Problem("E0503", f"parameter '{each.name}' {why}", "give it to each run instead")
        for each in named
        if (why := _cannot_be_known(each))
    ]
    if problems:
        raise InputError(*problems)
    return {name: _constant(value) for name, value in checked.items()}


def may_be_known(parameter: Parameter) -> bool:
    """Whether a value of the parameter can be compiled into the program."""
    return not _cannot_be_known(parameter)


def _cannot_be_known(parameter: Parameter) -> str:
    if parameter.oracle:
        return "is an oracle, whose value belongs to one input"
    kind = parameter.value.type
    while isinstance(kind, ListOf | OptionalOf):
        kind = kind.item
    if isinstance(kind, RecordType) or kind == IMAGE:
        return f"is {_a(parameter.value.type)}, which can't be compiled in"
    return ""


def _constant(value: Any) -> Any:
    """Lists as the tuples that constants are."""
    return tuple(map(_constant, value)) if isinstance(value, list | tuple) else value


@lru_cache(maxsize=256)
def _adapter(kind: Type, whole: str) -> TypeAdapter[Any]:
    """`whole`: the type with its limits and ranges, which are no part of its identity."""
    from pydantic import ConfigDict, TypeAdapter

    if isinstance(kind, RecordType):
        return TypeAdapter(_annotation(kind))
    return TypeAdapter(_annotation(kind), config=ConfigDict(strict=True, allow_inf_nan=False))


def _annotation(kind: Type) -> Any:
    """The Python type that pydantic checks a value of `kind` by."""
    import typing_extensions
    from pydantic import AfterValidator, ConfigDict, Field, PlainValidator

    match kind:
        case Scalar(name="str"):
            return str
        case Scalar(name="int"):
            return int
        case Scalar(name="float"):
            return float
        case Scalar(name="bool"):
            return bool
        case Scalar(name="Image"):
            return Annotated[Any, PlainValidator(_picture)]
        case ListOf(item=item, limit=limit):
            return Annotated[list[_annotation(item)], Field(max_length=limit)]  # type: ignore[misc]
        case OptionalOf(item=item):
            return _annotation(item) | None
        case RecordType(name=name, fields=fields, allowed=allowed):
            typed_dict: Any = typing_extensions.TypedDict  # called, not declared: the fields are data here
            limits = dict(allowed)
            parts: dict[str, Any] = {}
            for field, part in fields:
                one = _annotation(part)
                one = Annotated[one, AfterValidator(_within(limits[field]))] if field in limits else one
                parts[field] = typing_extensions.NotRequired[one] if isinstance(part, OptionalOf) else one
            record = typed_dict(name, parts)
            record.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
            return record
        case _:
            return None


def _picture(value: Any) -> Image:
    from pydantic_core import PydanticCustomError

    try:
        return read_image(value)
    except ImageRefused as error:
        raise PydanticCustomError("picture", "{why}", {"why": str(error)}) from None


def _within(allowed: Allowed) -> Callable[[Any], Any]:
    """Refuses a value, or an item of a list, that is not allowed; none is always."""

    def check(value: Any) -> Any:
        from pydantic_core import PydanticCustomError

        for each in value if isinstance(value, list) else [value]:
            if each is not None and not may_be(each, allowed):
                why = {"why": f"is {_short(each)}, outside of {range_text(allowed)}", "range": range_text(allowed)}
                raise PydanticCustomError("range", "{why}", why)
        return value

    return check


def _inner(kind: Type) -> bool:
    """Whether values of this type live only inside a run."""
    match kind:
        case Scalar(name="Context" | "Candidate" | "Tree" | "Node") | PairOf():
            return True
        case ListOf(item=item) | OptionalOf(item=item):
            return _inner(item)
    return False


def _translate(kind: Type, detail: Any, what: str) -> Problem:
    """pydantic's message in the language's own terms."""
    place, part = what, kind
    location = list(detail["loc"])
    for step in location:
        part = part.item if isinstance(part, OptionalOf) else part
        match part:
            case ListOf(item=item) if isinstance(step, int):
                place, part = f"{place}[{step}]", item
            case RecordType() if isinstance(step, str):
                inner = part.field(step)
                if inner is None:
                    known = [field for field, _ in part.fields]
                    return Problem(
                        "E0503",
                        f"{place} has an unknown field '{step}'",
                        did_you_mean(step, known, f"{part} has {_listed(known)}"),
                    )
                if detail["type"] == "missing" and step == location[-1]:
                    return Problem("E0503", f"{place} lacks the field '{step}'", f"it is {_a(inner)}")
                place, part = f"{place}.{step}", inner
    if detail["type"] == "picture":
        return Problem("E0514", f"{place} {detail['ctx']['why']}", IMAGE_EXAMPLE)
    if detail["type"] == "range":
        return Problem("E0504", f"{place} {detail['ctx']['why']}", f"choose a value in {detail['ctx']['range']}")
    if detail["type"] == "too_long":
        limit = part.limit if isinstance(part, ListOf) else None
        return Problem("E0504", f"{place} has {len(detail['input'])} items, more than the {limit} it may hold", "")
    if detail["type"] == "finite_number":
        return Problem("E0503", f"{place} must be a finite number, got {_short(detail['input'])}", "")
    return Problem("E0503", f"{place} must be {_a(part)}, got {_kind(detail['input'])}", _example(part))


def _a(kind: Type) -> str:
    text = str(kind)
    return f"{'an' if text[0] in 'aeiouAEIO' else 'a'} {text}"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"the bool {'true' if value else 'false'}"
        case int() | float() | str():
            return f"the {type(value).__name__} {_short(value)}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
    return f"a {type(value).__name__}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _example(kind: Type) -> str:
    match kind:
        case Scalar(name="int"):
            return "write a whole number, as in 8"
        case Scalar(name="float"):
            return "write a number, as in 0.7"
        case Scalar(name="bool"):
            return "write true or false"
        case Scalar(name="str"):
            return "write a text"
        case ListOf(item=Scalar(name="str")):
            return 'write a list of texts, as in ["a", "b"]'
        case ListOf():
            return "write a list, as in [1, 2]"
        case RecordType(fields=fields):
            return "write an object, as in {" + ", ".join(f'"{name}": …' for name, _ in fields) + "}"
        case Scalar(name="Image"):
            return IMAGE_EXAMPLE
        case OptionalOf(item=item):
            return _example(item) + ", or nothing"
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def merged(input: Mapping[str, Any] | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One input's values, given together and by name. Raises `InputError` (E0505) for one that is given twice."""
    both = sorted(set(input or ()) & set(parameters))
    if both:
        raise InputError(
            *(Problem("E0505", f"'{name}' is given twice, by name and in `input`", "leave one out") for name in both)
        )
    return {**(input or {}), **parameters}
