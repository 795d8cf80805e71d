"""How types, constants and names are written in the text form of the IR, and how they are told apart again.

Kept beside neither printer nor reader because the plan's printer and the passes' error messages write them too.
"""

from __future__ import annotations

import json
import re

from ttsc.compiler.ir.nodes import Constant, Interval, Program
from ttsc.compiler.values.types import ListOf, OptionalOf, RecordType, Scalar, Type

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VALUE_ID = re.compile(r"[A-Za-z0-9_.$@'~-]+")


def name_text(name: str) -> str:
    """A name as it is, or quoted if it is not one."""
    return name if NAME.fullmatch(name) else json.dumps(name)


def id_text(value_id: str) -> str:
    """`%sample1`"""
    return f"%{value_id}" if VALUE_ID.fullmatch(value_id) else f"%{json.dumps(value_id)}"


def type_text(type_: Type) -> str:
    """`list[str?]`; a record by its name, which must be declared in the program's head."""
    match type_:
        case Scalar(name=name):
            return name
        case ListOf(item=item):
            return f"list[{type_text(item)}]"
        case OptionalOf(item=item):
            return f"{type_text(item)}?"
        case RecordType(name=name):
            return name_text(name)


def constant_text(value: Constant) -> str:
    """A constant that reads back as itself: `"text"`, `1`, `1.0`, `true`, `none`, `(1, 2)`."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case bool():
            return "true" if value else "false"
        case None:
            return "none"
        case tuple():
            inner = ", ".join(constant_text(item) for item in value)
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case int() | float():
            return repr(value)


def tunable_text(tunable: Interval | tuple[Constant, ...]) -> str:
    """`1..256` or `("a", "b")`"""
    if isinstance(tunable, Interval):
        return f"{tunable.low!r}..{tunable.high!r}"
    return constant_text(tunable)


def records_of(program: Program) -> tuple[RecordType, ...]:
    """Every record type in the program, each after those its fields name."""
    from ttsc.compiler.ir.rewrite import all_values

    found: dict[RecordType, None] = {}

    def visit(type_: Type) -> None:
        match type_:
            case RecordType(fields=fields):
                if type_ not in found:
                    for _, field_type in fields:
                        visit(field_type)
                    found[type_] = None
            case ListOf(item=item) | OptionalOf(item=item):
                visit(item)
            case Scalar():
                pass

    for parameter in program.parameters:
        visit(parameter.value.type)
    for extern in program.externs:
        for _, parameter_type in extern.parameters:
            visit(parameter_type)
        visit(extern.returns)
    for value in all_values(program.body):
        visit(value.type)
    return tuple(found)
