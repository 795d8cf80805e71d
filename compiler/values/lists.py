"""Operations on lists, pairs, optional values and the fields of records.

Where an operation takes keys, they were computed from the elements one by one: a list of the same length. A key is a
number, a text, a bool (false before true), or a list of these, which compare one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ttsc.compiler.values.arithmetic import equal, identity
from ttsc.compiler.values.evaluation import (
    EvaluationFailed,
    Operation,
    integer,
    items,
    items_fit,
    kind_of,
    length_of,
    paired,
)
from ttsc.compiler.values.trees import Node, Tree
from ttsc.compiler.values.types import CANDIDATE_FIELDS, INT, NODE_FIELDS, PAIR_FIELDS, ListOf


def pair(first: object, second: object) -> dict[str, object]:
    """What the elements of `zip`, `cross` and `enumerate` are."""
    return dict(zip(PAIR_FIELDS, (first, second), strict=True))


def order_key(key: object) -> Any:
    """A key in a form that Python orders as the language does."""
    if isinstance(key, str | int | float):
        return key
    return tuple(order_key(each) for each in items(key))


# --- length, places ---------------------------------------------------------------------------------------------------


def _length(value: object) -> int:
    """Characters of a text, elements of a list, nodes of a tree (the root is one)."""
    if isinstance(value, Tree):
        return len(value.nodes)
    return len(value) if isinstance(value, str) else len(items(value))


def _item(values: object, index: object) -> object:
    found, i = (values if isinstance(values, str) else items(values)), integer(index)
    if not -len(found) <= i < len(found):
        raise EvaluationFailed(f"index {i} is outside of a list of {len(found)}")
    return found[i]


def _one(values: object, otherwise: object = ...) -> object:
    found = items(values)
    if found:
        return found[0]
    if otherwise is ...:
        raise EvaluationFailed("`one` of an empty list: no candidate is left")
    return otherwise


def _last(values: object, otherwise: object = ...) -> object:
    found = items(values)
    if found:
        return found[-1]
    if otherwise is ...:
        raise EvaluationFailed("`last` of an empty list")
    return otherwise


def _count(values: object, wanted: object = ...) -> int:
    """How many items there are, or how many equal `wanted`."""
    found = items(values)
    return len(found) if wanted is ... else sum(equal(item, wanted) for item in found)


# --- lists from lists -------------------------------------------------------------------------------------------------


def _flatten(values: object) -> list[object]:
    parts = [items(part) for part in items(values)]
    items_fit(sum(map(len, parts)))
    return [item for part in parts for item in part]


def _reverse(values: object) -> object:
    return values[::-1] if isinstance(values, str) else items(values)[::-1]


def _range(low: object, high: object = None) -> tuple[int, ...]:
    start, end = (0, integer(low)) if high is None else (integer(low), integer(high))
    items_fit(max(0, end - start))
    return tuple(range(start, end))


def _copies(value: object, n: object) -> tuple[object, ...]:
    count = length_of(n, "copies")
    items_fit(count)
    return (value,) * count


def _zip(a: object, b: object) -> list[dict[str, object]]:
    left, right = items(a), items(b)
    if len(left) != len(right):
        raise EvaluationFailed(f"`zip` of lists of {len(left)} and {len(right)} elements: they must be of one length")
    return [pair(x, y) for x, y in zip(left, right, strict=True)]


def _cross(a: object, b: object) -> list[dict[str, object]]:
    """Each of the first with each of the second, the first varying slowest."""
    left, right = items(a), items(b)
    items_fit(len(left) * len(right))
    return [pair(x, y) for x in left for y in right]


# --- order and keys ---------------------------------------------------------------------------------------------------


def _sort(values: object, keys: object = ...) -> list[object]:
    """Least key first; equal keys stay in order."""
    found, by = paired(values, values if keys is ... else keys, "sort", "keys")
    ordered = [order_key(key) for key in by]
    return [found[i] for i in sorted(range(len(found)), key=ordered.__getitem__)]


def _maximal(values: object, keys: object) -> list[object]:
    found, by = paired(values, keys, "maximal", "keys")
    ordered = [order_key(key) for key in by]
    greatest = max(ordered, default=None)
    return [item for item, key in zip(found, ordered, strict=True) if key == greatest]


def _distinct(values: object, keys: object = ...) -> list[object]:
    found, by = paired(values, values if keys is ... else keys, "distinct", "keys")
    first: dict[object, object] = {}
    for item, key in zip(found, by, strict=True):
        first.setdefault(identity(key), item)
    return list(first.values())


# --- records ----------------------------------------------------------------------------------------------------------


def _record(*values: object, attr: str) -> dict[str, object]:
    names: Sequence[str] = attr.split(",")
    if len(names) != len(values):
        raise EvaluationFailed(f"a record of {len(names)} fields takes {len(names)} values, not {len(values)}")
    return dict(zip(names, values, strict=True))


def _field(value: object, attr: str) -> object:
    if isinstance(value, Mapping):
        if attr not in value:
            raise EvaluationFailed(f"the {kind_of(value)} has no field `{attr}`")
        return value[attr]
    fields = NODE_FIELDS if isinstance(value, Node) else CANDIDATE_FIELDS
    plain = value is None or isinstance(value, str | int | float | list | tuple)
    if attr not in fields or plain or not hasattr(value, attr):
        raise EvaluationFailed(f"{kind_of(value)} has no field `{attr}`")
    return getattr(value, attr)


LISTS = (
    Operation("length", _length, 1, 1, INT, total=True),
    Operation("item", _item, 2, 2, None),
    Operation("list", lambda *values: values, 0, None, None, total=True),
    Operation("count", _count, 1, 2, INT, total=True),
    Operation("one", _one, 1, 2, None),
    Operation("last", _last, 1, 2, None),
    Operation("flatten", _flatten, 1, 1, None),
    Operation("take", lambda values, n: items(values)[: length_of(n, "take")], 2, 2, None),
    Operation("drop", lambda values, n: items(values)[length_of(n, "drop") :], 2, 2, None),
    Operation("reverse", _reverse, 1, 1, None, total=True),
    Operation("range", _range, 1, 2, ListOf(INT), foldable=False),
    Operation("copies", _copies, 2, 2, None, foldable=False),
    Operation("pair", pair, 2, 2, None, foldable=False, total=True),
    Operation("zip", _zip, 2, 2, None, foldable=False),
    Operation("cross", _cross, 2, 2, None, foldable=False),
    Operation(
        "enumerate",
        lambda values: [pair(*each) for each in enumerate(items(values))],
        1,
        1,
        None,
        foldable=False,
        total=True,
    ),
    Operation("sort", _sort, 1, 2, None),
    Operation("maximal", _maximal, 2, 2, None),
    Operation("distinct", _distinct, 1, 2, None),
    Operation("record", _record, 0, None, None, foldable=False, total=True, uses_attr=True),
    Operation("field", _field, 1, 1, None, foldable=False, total=True, uses_attr=True),
    Operation("done", lambda value: True, 1, 1, None, foldable=False, total=True),
)
"""`record`: attr names its fields, separated by commas. `done`: true once its argument is there. `range` and `copies`
stay in the program as they are: their results may be large.
"""
