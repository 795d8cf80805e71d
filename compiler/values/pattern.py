"""Regular expressions of untrusted programs.

The standard library's engine cannot be stopped, and a backtracking pattern can run for years. The `regex` package has
the same syntax and a timeout. It is imported on first use: most programs have no pattern.
"""

from __future__ import annotations

import time
from functools import lru_cache
from importlib import import_module
from typing import Any

TIMEOUT_S = 0.5
"""Time one search may take."""
MAX_PATTERN = 2_000
"""Longest pattern, in characters."""


class PatternFailed(Exception):
    """A pattern is invalid, lacks the group, or took too long."""


def valid_pattern(pattern: str) -> str | None:
    """What is wrong with a pattern, or None."""
    try:
        _compiled(pattern)
    except PatternFailed as failure:
        return str(failure)
    return None


def first_match(text: str, pattern: str, group: int | str = 0) -> str | None:
    """The group's text in the first match; None without a match or if the group took no part in it."""
    compiled = _compiled(pattern)
    try:
        match = compiled.search(text, timeout=TIMEOUT_S)
    except TimeoutError as failure:
        raise PatternFailed(f"the pattern took longer than {TIMEOUT_S} s") from failure
    return None if match is None else _group(match, group)


def last_match(text: str, pattern: str, group: int | str = 0) -> str | None:
    """The same of the last match, matches found from left to right."""
    compiled = _compiled(pattern)
    deadline = time.monotonic() + TIMEOUT_S
    last = None
    try:
        for last in compiled.finditer(text, timeout=TIMEOUT_S):  # noqa: B007
            if time.monotonic() > deadline:
                raise TimeoutError
    except TimeoutError as failure:
        raise PatternFailed(f"the pattern took longer than {TIMEOUT_S} s") from failure
    return None if last is None else _group(last, group)


def _group(match: Any, group: int | str) -> str | None:
    try:
        found: str | None = match.group(group)
    except IndexError as failure:
        raise PatternFailed(f"the pattern has no group {group!r}") from failure
    return found


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    regex: Any = import_module("regex")  # it has no type stubs of its own
    if len(pattern) > MAX_PATTERN:
        raise PatternFailed(f"pattern longer than {MAX_PATTERN} characters")
    try:
        return regex.compile(pattern)
    except regex.error as failure:
        raise PatternFailed(f"invalid pattern: {failure}") from failure
    except (RecursionError, OverflowError, MemoryError, ValueError, TypeError, KeyError) as failure:
        raise PatternFailed("invalid pattern") from failure
