"""Filters and tests that prompts may use.

Jinja's own are not reused: they reach attributes, build strings without bound (`indent`, `replace`, `center`,
`format`) or escape for HTML. Each of these pays for what it produces before it produces it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Undefined

from ttsc.compiler.values.metering import Exhausted, Unsuitable, measured, size_of, spend
from ttsc.compiler.values.pure import text_of
from ttsc.compiler.values.types import CANDIDATE_FIELDS

_MAX_REPEATED = 1_000_000
_MAX_INDENT = 1_000


class _Metered(Sequence[Any]):
    """The items of a loop, each paid for when it is reached."""

    def __init__(self, items: Sequence[Any], cost: int) -> None:
        self._items = items
        self._cost = cost

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            spend(self._cost)
            yield item


def _defined(value: Any) -> Any:
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value


def _text(value: Any) -> str:
    text = text_of(measured(_defined(value)))
    spend(len(text) + 1)
    return text


def _items(value: Any) -> Sequence[Any]:
    _defined(value)
    if isinstance(value, str | list | tuple):
        return value
    if isinstance(value, Mapping):
        return list(value)
    if isinstance(value, _Metered):
        return value._items
    raise Unsuitable("this value is not a list")


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _MAX_REPEATED:
        raise Unsuitable("a small whole number is expected here")
    return value


def _attribute(item: Any, name: str) -> Any:
    if isinstance(item, Mapping) and name in item:
        return item[name]
    if name in CANDIDATE_FIELDS and not isinstance(item, str | int | float | list | tuple | Mapping | None):
        return getattr(item, name)
    raise Unsuitable(f"there is no field `{name}`")


def _join(value: Any, separator: Any = "", attribute: Any = None) -> str:
    items = _items(value)
    spend(len(items))
    if attribute is not None:
        items = [_attribute(item, str(attribute)) for item in items]
    between = _text(separator)
    spend(len(between) * len(items))
    texts = [_text(item) for item in items]
    if sum(map(len, texts)) + len(between) * len(texts) > _MAX_REPEATED + len(between):
        raise Exhausted(f"the text is longer than {_MAX_REPEATED} characters")
    return between.join(texts)


def _replace(value: Any, old: Any, new: Any, count: Any = None) -> str:
    text, gone, fresh = _text(value), _text(old), _text(new)
    if not gone:
        raise Unsuitable("`replace` of an empty text")
    times = text.count(gone) if count is None else min(text.count(gone), max(0, _whole(count)))
    spend(times * len(fresh))
    if len(text) + times * (len(fresh) - len(gone)) > _MAX_REPEATED:
        raise Exhausted(f"the text is longer than {_MAX_REPEATED} characters")
    return text.replace(gone, fresh, times)


def _indent(value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> str:
    text = _text(value)
    if isinstance(width, str):
        pad = width
        if len(pad) > _MAX_INDENT:
            raise Exhausted("the indentation is too wide")
    else:
        if _whole(width) > _MAX_INDENT:
            raise Exhausted("the indentation is too wide")
        pad = " " * max(0, width)
    lines = text.split("\n")
    spend(len(pad) * len(lines))
    return "\n".join(pad + line if (i or first) and (line or blank) else line for i, line in enumerate(lines))


def _default(value: Any, default: Any = "", boolean: Any = False) -> Any:
    return default if isinstance(value, Undefined) or (boolean and not value) else value


def _first(value: Any) -> Any:
    items = _items(value)
    if not items:
        raise Unsuitable("`first` of an empty list")
    return items[0]


def _last(value: Any) -> Any:
    items = _items(value)
    if not items:
        raise Unsuitable("`last` of an empty list")
    return items[-1]


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(_defined(value), int | float):
        raise Unsuitable("a number is expected here")
    return value


def _round(value: Any, precision: Any = 0, method: Any = "common") -> float:
    if method != "common":
        raise Unsuitable("`round` has no methods in prompts")
    return round(float(_number(value)), max(-20, min(20, _whole(precision))))


def _as_int(value: Any, default: Any = 0) -> Any:
    try:
        return measured(int(_short(value)))
    except (TypeError, ValueError, OverflowError):
        return default


def _as_float(value: Any, default: Any = 0.0) -> Any:
    try:
        return float(_short(value))
    except (TypeError, ValueError, OverflowError):
        return default


def _short(value: Any) -> Any:
    if isinstance(_defined(value), str) and len(value) > 400:
        raise ValueError
    return value


def _tojson(value: Any, indent: Any = None) -> str:
    _defined(value)
    text = json.dumps(
        measured(value), ensure_ascii=False, default=text_of, indent=None if indent is None else min(8, _whole(indent))
    )
    spend(len(text))
    return text


def _list(value: Any) -> list[Any]:
    items = _items(value)
    spend(len(items))
    return list(items)


FILTERS: dict[str, Callable[..., Any]] = {
    "join": _join,
    "length": lambda value: len(_items(value)),
    "count": lambda value: len(_items(value)),
    "lower": lambda value: _text(value).lower(),
    "upper": lambda value: _text(value).upper(),
    "trim": lambda value, chars=None: _text(value).strip(None if chars is None else _text(chars)),
    "replace": _replace,
    "default": _default,
    "d": _default,
    "first": _first,
    "last": _last,
    "round": _round,
    "int": _as_int,
    "float": _as_float,
    "indent": _indent,
    "list": _list,
    "tojson": _tojson,
    "string": _text,
}


def _loop(value: Any, cost: int) -> _Metered:
    spend(1)
    return _Metered(_items(value), cost)


def _concat(values: Any) -> str:
    return _join(values)


def _kept(value: Any) -> Any:
    return measured(_defined(value))


def _read(value: Any) -> Any:
    """A value that is about to be compared or sliced: paid for by its size."""
    if not isinstance(value, Undefined):
        spend(size_of(value))
    return value


METERED: dict[str, Callable[..., Any]] = {"_loop": _loop, "_concat": _concat, "_kept": _kept, "_read": _read}
"""Filters that only the compiler puts into a template."""

TESTS: dict[str, Callable[..., bool]] = {
    "defined": lambda value: not isinstance(value, Undefined),
    "undefined": lambda value: isinstance(value, Undefined),
    "none": lambda value: _defined(value) is None,
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "string": lambda value: isinstance(_defined(value), str),
    "number": lambda value: isinstance(_defined(value), int | float) and not isinstance(value, bool),
    "odd": lambda value: _number(value) % 2 == 1,
    "even": lambda value: _number(value) % 2 == 0,
}
