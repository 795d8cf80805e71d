"""Parameters that are lists, records, optional or pictures: checked against their types."""

from __future__ import annotations

from typing import Any

from ttsc.compiler.values.types import ListOf, OptionalOf, RecordType, Scalar, Type
from ttsc.images import read_image
from ttsc.runtime.externs import _mismatch, _shaped


def conforming(value: Any, kind: type | Type, name: str) -> Any:
    """A parameter's value as the program sees it. Raises `ValueError`."""
    scalars: dict[Any, Any] = {str: Scalar("str"), int: Scalar("int"), float: Scalar("float"), bool: Scalar("bool")}
    declared = scalars.get(kind, kind)
    wrong = _mismatch(value, declared, "")
    if wrong:
        raise ValueError(f"parameter '{name}' should be {declared}{wrong.replace('it returned', 'it is')}")
    return _shaped(value, declared)


def conforming_with_images(value: Any, kind: type | Type, name: str) -> Any:
    """The same where pictures are named by their files. Raises `ValueError`."""
    return conforming(_pictured(value, kind), kind, name)


def _pictured(value: Any, kind: Any) -> Any:
    match kind:
        case Scalar("Image"):
            return read_image(value)
        case OptionalOf(item) if value is not None:
            return _pictured(value, item)
        case ListOf(item):
            return [_pictured(each, item) for each in value]
        case RecordType(fields=fields):
            return {name: _pictured(value.get(name), part) for name, part in fields}
    return value
