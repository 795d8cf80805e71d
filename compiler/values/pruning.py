"""Pruning: which candidates of a frontier are worth the nodes that they keep alive.

The candidates of a pool are leaves of the tree of requests that made them; the nodes above a leaf are those that it
continued, down from the context where all began. A leaf i is worth its share O_i of what its weight deserves: of n
continuations as `resample(method=ceiling)` hands them out, or of the weights themselves. Kept is the set of leaves with
the greatest

    sum of O_i over kept leaves
    - shared * (nodes above kept leaves + kept leaves) / (nodes above leaves + leaves)
    + diverse * (clusters with a kept leaf) / (clusters)

and at least one leaf (ETS, 2502.13575). A weight of 0 means that the term counts for nothing. With one cluster the last
term is the same for all sets, so it decides nothing.

Solved exactly, as an integer program, by HiGHS. A node's cost makes it as small, and a cluster's worth makes it as
great, as the leaves allow, which is 0 or 1; as whole variables they are solved faster all the same. Of several best
sets (equal to 1e-9) the one that keeps the earliest leaf is taken, of these the one that keeps the second earliest,
and so on: further programs over the best sets, `_PLACES` leaves at a time.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, items, length_of, number, numbers
from ttsc.compiler.values.resampling import NORMALISATIONS, ceiling_copies, checked_weights, probabilities
from ttsc.compiler.values.types import POOL

_EQUAL = 1e-9
"""Sets whose values differ by less are equally good."""
_PLACES = 20
"""Leaves whose order one program decides: powers of two, which doubles and the solver's tolerance tell apart."""
_SILENCE = threading.Lock()
_SCALE = 1e4
"""Of the objective: the solver stops within 1e-6 of the optimum."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """What a set of leaves is worth. `worth`: of each leaf. `above`: of each leaf the nodes above it, topmost first.
    `clusters`: of each leaf the number of its cluster, none if clusters don't count. `shared` and `diverse` are the two
    factors of the head of this file.
    """

    worth: tuple[float, ...]
    above: tuple[tuple[object, ...], ...]
    clusters: tuple[int, ...]
    shared: float
    diverse: float

    def value(self, kept: Sequence[int]) -> float:
        """The value of a set of leaves, in the order of the sum above."""
        nodes = {node for leaf in kept for node in self.above[leaf]}
        total = sum(self.worth[leaf] for leaf in kept) - self._cost() * (len(nodes) + len(kept))
        if self.clusters:
            total += self.diverse * len({self.clusters[leaf] for leaf in kept}) / len(set(self.clusters))
        return total

    def _cost(self) -> float:
        """Of one node."""
        every = {node for path in self.above for node in path}
        return self.shared / (len(every) + len(self.above))

    def best(self) -> list[int]:
        """The kept leaves, in order. See the head of this file."""
        kept = self._solved({}, None, None)
        best = self.value(kept)
        leaves = range(len(self.worth))
        decided: dict[int, bool] = {}
        for first in range(0, len(leaves), _PLACES):
            places = leaves[first : first + _PLACES]
            found = self._solved(decided, best, places)
            if self.value(found) >= best - 2 * _EQUAL:
                kept = found
            decided.update((leaf, leaf in kept) for leaf in places)
        return kept

    def _solved(self, decided: dict[int, bool], best: float | None, places: Sequence[int] | None) -> list[int]:
        """Leaves with the greatest value; or, of the sets with the value `best`, those with the earliest `places`.
        `decided`: leaves that are kept or not for certain.
        """
        import numpy as np
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array

        leaves = len(self.worth)
        every = dict.fromkeys(node for path in self.above for node in path)
        nodes: dict[object, int] = {node: leaves + place for place, node in enumerate(every)}
        names = sorted(set(self.clusters))
        clusters = {name: leaves + len(nodes) + place for place, name in enumerate(names)}
        size = leaves + len(nodes) + len(clusters)
        cost = self._cost()
        gain = [_SCALE * (worth - cost) for worth in self.worth] + [-_SCALE * cost] * len(nodes)
        gain += [_SCALE * self.diverse / len(clusters) for _ in clusters]

        rows: list[dict[int, float]] = []  # each at least its bound
        least: list[float] = []
        for lower, upper in dict.fromkeys(e for leaf, path in enumerate(self.above) for e in _edges(leaf, path, nodes)):
            rows.append({upper: 1.0, lower: -1.0})
            least.append(0.0)
        for name, column in clusters.items():
            rows.append({column: -1.0} | {leaf: 1.0 for leaf in range(leaves) if self.clusters[leaf] == name})
            least.append(0.0)
        rows.append(dict.fromkeys(range(leaves), 1.0))
        least.append(1.0)
        aim = gain
        if best is not None and places is not None:
            rows.append({column: each for column, each in enumerate(gain) if each})
            least.append(_SCALE * (best - _EQUAL))
            aim = [0.0] * size
            for order, leaf in enumerate(reversed(places)):
                aim[leaf] = float(1 << order)
        fixed = [decided.get(leaf) for leaf in range(leaves)] + [None] * (size - leaves)
        table = [(row, column, value) for row, entries in enumerate(rows) for column, value in entries.items()]
        matrix: Any = csr_array(
            ([value for _, _, value in table], ([row for row, _, _ in table], [column for _, column, _ in table])),
            shape=(len(rows), size),
        )
        with _silenced():
            found = milp(
                -np.array(aim),
                integrality=[1] * size,
                bounds=Bounds([1.0 if f else 0.0 for f in fixed], [0.0 if f is False else 1.0 for f in fixed]),
                constraints=LinearConstraint(matrix, np.array(least), np.inf),
                options={"mip_rel_gap": 0.0},
            )
        if found.x is None:
            raise EvaluationFailed(f"`prune`: the solver found no set: {found.message}")
        return [leaf for leaf in range(leaves) if found.x[leaf] > 0.5]


@contextmanager
def _silenced() -> Iterator[None]:
    """C code prints nowhere: HiGHS now and then says what it does on standard output, which is the program's. Only what
    goes through C's `stdout` is hidden; Python's own output is not. Where `stdout` can't be exchanged (a C library but
    glibc) nothing is hidden.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        yield
        return
    stdout = ctypes.c_void_p.in_dll(libc, "stdout")
    libc.fopen.restype, libc.fclose.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    with _SILENCE:
        before, nowhere = stdout.value, libc.fopen(os.devnull.encode(), b"w")
        try:
            stdout.value = nowhere or before
            yield
        finally:
            stdout.value = before
            if nowhere:
                libc.fclose(nowhere)


def _edges(leaf: int, path: Sequence[object], nodes: dict[object, int]) -> list[tuple[int, int]]:
    """Pairs of columns, of which the first can't be kept without the second: each place on a path and the one above."""
    columns = [*(nodes[node] for node in path), leaf]
    return list(zip(columns[1:], columns, strict=False))


def lineage(candidate: Any) -> tuple[object, ...]:
    """What a candidate consists of, oldest first: the context where the conversation began, then each request."""
    requests: list[object] = list(candidate.requests)[::-1]
    context = candidate.context
    while context.base is not None:
        requests += list(context.base.requests)[::-1]
        context = context.base.context
    return (context.turns, *requests[::-1])


def _worth(weights: Sequence[float], count: int | None, normalise: str, temperature: float) -> tuple[float, ...]:
    relative = probabilities(weights, normalise, temperature, "prune")
    if count is not None:
        copies = Counter(ceiling_copies(relative, count))
        relative = [float(copies[place]) for place in range(len(weights))]
    total = sum(relative)
    return tuple(each / total if total else 0.0 for each in relative)


def _clusters(lines: Sequence[tuple[object, ...]], groups: object) -> tuple[int, ...]:
    if groups is None:
        return ()
    of = {lineage(each): place for place, group in enumerate(items(groups)) for each in items(group)}
    missing = [place for place, line in enumerate(lines) if line not in of]
    if missing:
        raise EvaluationFailed(
            f"`prune`: candidate {missing[0]} of the pool is in none of the clusters; cluster the same pool"
        )
    return tuple(of[line] for line in lines)


def _factor(value: object, name: str) -> float:
    factor = float(number(value))
    if not 0 <= factor < float("inf"):
        raise EvaluationFailed(f"`prune`: {name} must be 0 or more, not {factor:g}")
    return factor


def _prune(
    pool: object,
    weights: object,
    shared: object,
    diverse: object,
    temperature: object,
    count: object = None,
    clusters: object = None,
    *,
    attr: str,
) -> list[object]:
    """The candidates to keep, in the order of the pool. `attr`: how weights become shares."""
    found = items(pool)
    given = [float(weight) for weight in numbers(weights)]
    if attr not in NORMALISATIONS:
        raise EvaluationFailed(f"there is no normalisation `{attr}`")
    checked_weights(found, given, float(number(temperature)), "prune")
    if not found:
        return []
    n = None if count is None else length_of(count, "prune")
    lines = [lineage(candidate) for candidate in found]
    frontier = Frontier(
        _worth(given, n, attr, float(number(temperature))),
        tuple(_nodes(line[:-1]) for line in lines),
        _clusters(lines, clusters),
        _factor(shared, "shared"),
        _factor(diverse, "diverse"),
    )
    return [found[leaf] for leaf in frontier.best()]


def _nodes(path: tuple[object, ...]) -> tuple[object, ...]:
    """The nodes of a path, each known by all that leads to it."""
    return tuple(path[: end + 1] for end in range(len(path)))


PRUNING = (Operation("prune", _prune, 5, 7, POOL, foldable=False, uses_attr=True),)
