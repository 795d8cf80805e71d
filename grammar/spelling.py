"""Words in messages: which known names are close to one that is not known, and "a" or "an"."""

from __future__ import annotations

from collections.abc import Iterable


def distance(a: str, b: str, limit: int) -> int:
    """Edits (insert, delete, replace, swap of neighbours) from `a` to `b`; more than `limit` counts as `limit + 1`."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, last, row = row, before, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return min(row[-1], limit + 1)


def suggest(name: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """At most three candidates close to `name`, the closest first.

    Close: a third of the letters may differ (one at least, three at most), case not counted; or one is the beginning of
    the other, from three letters on.
    """
    lower = name.lower()
    limit = max(1, min(3, len(name) // 3)) if len(name) > 1 else 0
    ranked: list[tuple[int, int, str]] = []
    for candidate in set(candidates) - {name}:
        other = candidate.lower()
        edits = distance(lower, other, limit)
        begins = min(len(lower), len(other)) >= 3 and (other.startswith(lower) or lower.startswith(other))
        if edits <= limit or begins:
            ranked.append((min(edits, limit + 1), abs(len(candidate) - len(name)), candidate))
    return tuple(candidate for _, _, candidate in sorted(ranked)[:3])


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A hint that names what was probably meant, or "" if nothing is close."""
    found = [f"'{candidate}'" for candidate in suggest(name, candidates)]
    if not found:
        return ""
    return f"did you mean {' or '.join([', '.join(found[:-1]), found[-1]] if found[1:] else found)}?"


def with_article(noun: object) -> str:
    """What a message calls one of a kind: "a str", "an int"."""
    return f"{'an' if str(noun)[0] in 'aeioAEIO' else 'a'} {noun}"
