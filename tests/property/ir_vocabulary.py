"""What random programs of the IR are made of: types, templates, and pure operations with the types they take."""

from __future__ import annotations

from typing import get_args
from zlib import crc32

from hypothesis import strategies as st

from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    FLOAT,
    INT,
    NODE,
    POOL,
    STR,
    TREE,
    Interval,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Scalar,
    ScalarName,
    Type,
)

REPORT = RecordType("Report", (("passed", BOOL), ("output", STR)), (("output", ("0", "1", "2")),))
OPTIONS = RecordType("Options", (("depth", INT),), (("depth", Interval(0, 3)),))
TEXTS = ListOf(STR)
NUMBERS = ListOf(FLOAT)
ANSWERS = ListOf(OptionalOf(STR))
NUMBERED = PairOf(INT, STR)
EDGES = ListOf(ListOf(INT))
TEMPLATES = ("{{ a }}", "Be brief.", "{% if a %}{{ a }}{% endif %}!", "Hi {{ a }}.", "{{ a[3] }}", "{{ a|upper }}")
PURE: tuple[tuple[str, str, tuple[Type, ...], Type], ...] = (
    ("add", "", (STR, STR), STR), ("add", "", (INT, INT), INT), ("sub", "", (INT, INT), INT),
    ("floordiv", "", (INT, INT), INT), ("eq", "", (STR, STR), BOOL), ("lt", "", (INT, INT), BOOL),
    ("not", "", (BOOL,), BOOL), ("to_str", "", (INT,), STR), ("length", "", (STR,), INT), ("upper", "", (STR,), STR),
    ("item", "", (TEXTS, INT), STR), ("one", "", (POOL,), CANDIDATE), ("one", "", (TEXTS,), STR),
    ("one", "", (TEXTS, STR), STR), ("field", "text", (CANDIDATE,), STR), ("field", "tokens", (CANDIDATE,), INT),
    ("field", "finished", (CANDIDATE,), BOOL), ("field", "score", (CANDIDATE,), FLOAT), ("count", "", (POOL,), INT),
    ("with_score", "", (CANDIDATE, FLOAT), CANDIDATE), ("last_boxed", "", (STR,), OptionalOf(STR)),
    ("or_else", "", (OptionalOf(STR), STR), STR), ("list", "", (STR, STR), TEXTS), ("list", "", (CANDIDATE,), POOL),
    ("add", "", (POOL, POOL), POOL), ("split", "", (STR,), TEXTS), ("field", "passed", (REPORT,), BOOL),
    ("field", "output", (REPORT,), STR), ("mul", "", (INT, FLOAT), FLOAT), ("sum", "", (NUMBERS,), FLOAT),
    ("maximum", "", (NUMBERS,), FLOAT), ("enumerate", "", (TEXTS,), ListOf(NUMBERED)),
    ("one", "", (ListOf(NUMBERED),), NUMBERED), ("field", "first", (NUMBERED,), INT),
    ("field", "second", (NUMBERED,), STR), ("tree", "", (CANDIDATE,), TREE), ("expand", "", (TREE, NODE, POOL), TREE),
    ("one", "", (ListOf(NODE),), NODE), ("field", "candidate", (NODE,), CANDIDATE), ("field", "depth", (NODE,), INT),
    ("candidates", "", (TREE,), POOL), ("with_answer", "", (CANDIDATE, STR), CANDIDATE), ("done", "", (STR,), BOOL),
    ("with_scores", "", (CANDIDATE, NUMBERS, FLOAT), CANDIDATE), ("reverse", "", (TEXTS,), TEXTS),
    ("distinct", "", (TEXTS,), TEXTS), ("missing", "", (OptionalOf(STR),), BOOL), ("record", "depth", (INT,), OPTIONS),
)  # fmt: skip


def shown(type_: Type) -> bool:
    """Whether values of the type can be written into a prompt."""
    match type_:
        case ListOf(item=item) | OptionalOf(item=item):
            return shown(item)
    return type_ not in (TREE, NODE)


def types() -> st.SearchStrategy[Type]:
    """Types of every form. Records are named after what they are, since two of one name are one record."""
    scalars = st.sampled_from([Scalar(name) for name in get_args(ScalarName)])
    return st.recursive(scalars, _made_of, max_leaves=6)


def _made_of(parts: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    return st.one_of(
        st.builds(ListOf, parts, st.none() | st.integers(0, 100)),
        parts.filter(lambda part: not isinstance(part, OptionalOf)).map(OptionalOf),
        st.builds(PairOf, parts, parts),
        st.lists(parts, max_size=3).flatmap(_record),
    )


def _record(parts: list[Type]) -> st.SearchStrategy[Type]:
    fields = tuple((f"field {i}" if i == 2 else f"f{i}", part) for i, part in enumerate(parts))
    allowed = st.sampled_from([Interval(0, 10), Interval(0.5, 1.0), ("a", "b"), (1, 2, 3), ()])
    each = st.tuples(*(st.none() | allowed for _ in fields))
    return each.map(
        lambda chosen: RecordType(
            f"R{crc32(repr((fields, chosen)).encode())}",
            fields,
            tuple((field, values) for (field, _), values in zip(fields, chosen, strict=True) if values is not None),
        )
    )
