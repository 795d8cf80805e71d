"""How types, constants and names are written in the text form of the IR, and how they are told apart again.

Kept beside neither printer nor reader because the plan's printer and the passes' error messages write them too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from ttsc.compiler.ir.nodes import Constant, Program
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import Interval, ListOf, OptionalOf, PairOf, RecordType, Scalar, Type

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_quoted = json.JSONEncoder(ensure_ascii=False).encode
VALUE_ID = re.compile(r"[A-Za-z0-9_.$@'~-]+")


def name_text(name: str) -> str:
    """A name as it is, or quoted if it is not one."""
    return name if NAME.fullmatch(name) else json.dumps(name)


def id_text(value_id: str) -> str:
    """`%sample1`"""
    return f"%{value_id}" if VALUE_ID.fullmatch(value_id) else f"%{json.dumps(value_id)}"


def type_text(type_: Type) -> str:
    """`list[str?, 8]`, `(str, int)`; a record by its name, which must be declared in the program's head."""
    match type_:
        case Scalar(name=name):
            return name
        case ListOf(item=item, limit=limit):
            return f"list[{type_text(item)}]" if limit is None else f"list[{type_text(item)}, {limit}]"
        case PairOf(first=first, second=second):
            return f"({type_text(first)}, {type_text(second)})"
        case OptionalOf(item=item):
            return f"{type_text(item)}?"
        case RecordType(name=name):
            return name_text(name)


def constant_text(value: Constant) -> str:
    """A constant that reads back as itself: `"text"`, `1`, `1.0`, `true`, `none`, `abstain`, `(1, 2)`."""
    match value:
        case str():
            return _quoted(value)
        case bool():
            return "true" if value else "false"
        case None:
            return "none"
        case Abstain():
            return "abstain"
        case tuple():
            inner = ", ".join(constant_text(item) for item in value)
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        case int() | float():
            return repr(value)


def allowed_text(allowed: Interval | tuple[Constant, ...]) -> str:
    """The values a tunable parameter or a record's field may have: `1..256` or `("a", "b")`"""
    if isinstance(allowed, Interval):
        return f"{allowed.low!r}..{allowed.high!r}"
    return constant_text(allowed)


def record_text(record: RecordType) -> str:
    """`record Step { text: str, grade: int in 0..10 }`"""
    allowed = dict(record.allowed)
    fields = [
        f"{name_text(name)}: {type_text(type_)}" + (f" in {allowed_text(allowed[name])}" if name in allowed else "")
        for name, type_ in record.fields
    ]
    return f"record {name_text(record.name)} {{ {', '.join(fields)}{' ' if fields else ''}}}"


def records_of(program: Program) -> tuple[RecordType, ...]:
    """Every record type in the program, each after those its fields name."""
    from ttsc.compiler.ir.rewrite import all_values

    types = [parameter.value.type for parameter in program.parameters]
    for extern in program.externs:
        types += [*(type_ for _, type_ in extern.parameters), extern.returns]
    types += [store.value.type for store in program.stores]
    types += [value.type for value in all_values(program.body)]
    return records_in(types)


def records_in(types: Iterable[Type]) -> tuple[RecordType, ...]:
    """Every record type in some types, each after those its fields name."""
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
            case PairOf(first=first, second=second):
                visit(first)
                visit(second)
            case Scalar():
                pass

    for each in types:
        visit(each)
    return tuple(found)
