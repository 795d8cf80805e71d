"""Operations on text, and how any value reads as text."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.answers import last_boxed, last_number, parse_float, parse_int
from ttsc.compiler.values.evaluation import (
    MAX_TEXT,
    EvaluationFailed,
    Operation,
    integer,
    is_number,
    items,
    kind_of,
    length_of,
    text,
)
from ttsc.compiler.values.pattern import first_match, last_match
from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, ListOf, OptionalOf

_MAYBE_STR = OptionalOf(STR)


def text_of(value: object) -> str:
    """How a value reads in a prompt and in `to_str`: text as it is, `true`, `none`, lists and records as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if value == ABSTAINED:
        return "abstain"
    if isinstance(value, list | tuple | Mapping):
        try:
            return json.dumps(value, ensure_ascii=False, default=_plain)
        except (ValueError, RecursionError) as failure:
            raise EvaluationFailed("this value cannot be written as text") from failure
    found = getattr(value, "text", None)
    if isinstance(found, str):
        return found
    raise EvaluationFailed(f"{kind_of(value)} cannot be written as text")


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else text_of(value)


def _replace(whole: object, old: object, new: object) -> str:
    subject, gone, fresh = text(whole), text(old), text(new)
    if not gone:
        raise EvaluationFailed("`replace` of an empty text")
    if len(subject) + subject.count(gone) * (len(fresh) - len(gone)) > MAX_TEXT:
        raise EvaluationFailed(f"text longer than {MAX_TEXT} characters")
    return subject.replace(gone, fresh)


def _split(whole: object, separator: object = None) -> tuple[str, ...]:
    if separator == "":
        raise EvaluationFailed("`split` at an empty text")
    return tuple(text(whole).split(None if separator is None else text(separator)))


def _lines(whole: object) -> tuple[str, ...]:
    """Lines without their ends (`\\n`, `\\r\\n` or `\\r`); an end of line after the last one starts no further line."""
    found = text(whole).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return tuple(found if found[-1] else found[:-1])


def _join(values: object, separator: object = "") -> str:
    texts = [text(item) for item in items(values)]
    if sum(map(len, texts)) + len(texts) * len(text(separator)) > MAX_TEXT + len(text(separator)):
        raise EvaluationFailed(f"text longer than {MAX_TEXT} characters")
    return text(separator).join(texts)


def _group(value: object) -> int | str:
    return value if isinstance(value, str) else integer(value)


def _head(whole: object, n: object) -> object:
    count = length_of(n, "head")
    return whole[:count] if isinstance(whole, str) else items(whole)[:count]


TEXTS = (
    Operation("strip", lambda a: text(a).strip(), 1, 1, STR, total=True),
    Operation("lower", lambda a: text(a).lower(), 1, 1, STR, total=True),
    Operation("upper", lambda a: text(a).upper(), 1, 1, STR, total=True),
    Operation("contains", lambda a, b: text(b) in text(a), 2, 2, BOOL, total=True),
    Operation("starts_with", lambda a, b: text(a).startswith(text(b)), 2, 2, BOOL, total=True),
    Operation("ends_with", lambda a, b: text(a).endswith(text(b)), 2, 2, BOOL, total=True),
    Operation("replace", _replace, 3, 3, STR),
    Operation("find", lambda a, p, g=0: first_match(text(a), text(p), _group(g)), 2, 3, _MAYBE_STR),
    Operation("find_last", lambda a, p, g=0: last_match(text(a), text(p), _group(g)), 2, 3, _MAYBE_STR),
    Operation("last_boxed", lambda a: last_boxed(text(a)), 1, 1, _MAYBE_STR, total=True),
    Operation("last_number", lambda a: last_number(text(a)), 1, 1, _MAYBE_STR, total=True),
    Operation("split", _split, 1, 2, ListOf(STR)),
    Operation("words", lambda a: tuple(text(a).split()), 1, 1, ListOf(STR)),
    Operation("lines", _lines, 1, 1, ListOf(STR)),
    Operation("join", _join, 1, 2, STR),
    Operation("head", _head, 2, 2, None),
    Operation("to_str", text_of, 1, 1, STR, total=True),
    Operation(
        "to_float", lambda a: float(a) if is_number(a) else parse_float(text(a)), 1, 1, OptionalOf(FLOAT), total=True
    ),
    Operation(
        "to_int", lambda a: integer(a) if is_number(a) else parse_int(text(a)), 1, 1, OptionalOf(INT), total=True
    ),
)
