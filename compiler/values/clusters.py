"""Clusters: a list taken apart into lists of elements that belong together.

Every element is in one cluster; within a cluster elements keep their order. The largest cluster comes first, and of two
of one size the one whose first element comes first.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.values.arithmetic import identity
from ttsc.compiler.values.evaluation import EvaluationFailed, Operation, boolean, items, number, paired
from ttsc.compiler.values.similarity import cosine_distance, unit_vectors

LINKAGES = ("average", "single", "complete")
MAX_NEAR = 256
"""Most elements that are clustered by distance: all pairs of vectors are compared."""


def _clusters(elements: Sequence[object], labels: Sequence[object]) -> list[tuple[object, ...]]:
    """The elements of each label."""
    groups: dict[object, list[object]] = {}
    for element, label in zip(elements, labels, strict=True):
        groups.setdefault(label, []).append(element)
    return [tuple(group) for group in sorted(groups.values(), key=len, reverse=True)]


def _by_key(values: object, keys: object) -> list[tuple[object, ...]]:
    found, by = paired(values, keys, "cluster", "keys")
    return _clusters(found, [identity(key) for key in by])


def _by_sameness(values: object, verdicts: object) -> list[tuple[object, ...]]:
    """Leader clustering: an element joins the first cluster whose first element it is the same as, or founds one.

    `verdicts` are of all pairs in the order of `combinations`. Sameness need not be transitive (a is b, b is c, but a
    is not c): then the order of the list is part of the result, and only the comparison with the founder counts.
    """
    found, same = items(values), [boolean(verdict) for verdict in items(verdicts)]
    n = len(found)
    if len(same) != n * (n - 1) // 2:
        raise EvaluationFailed(f"`cluster` of {n} takes {n * (n - 1) // 2} comparisons, and {len(same)} are there")
    founders: list[int] = []
    labels: list[object] = []
    for i in range(n):
        label = next((f for f in founders if same[_place(f, i, n)]), i)
        if label == i:
            founders.append(i)
        labels.append(label)
    return _clusters(found, labels)


def _place(i: int, j: int, n: int) -> int:
    """Where the pair (i, j), i < j, is among the combinations of n."""
    return i * (2 * n - i - 1) // 2 + j - i - 1


def _by_distance(values: object, vectors: object, distance: object, *, attr: str) -> list[tuple[object, ...]]:
    """Agglomerative clustering: the two nearest clusters are merged as long as they are at most `distance` apart.

    Cosine distance of two elements; of two clusters the mean over all pairs ("average"), the least ("single") or the
    greatest ("complete"). Of equally near pairs the one that begins first is merged first. Exact.
    """
    found, given = paired(values, vectors, "cluster", "vectors")
    if attr not in LINKAGES:
        raise EvaluationFailed(f"there is no linkage `{attr}`")
    if len(found) > MAX_NEAR:
        raise EvaluationFailed(f"`cluster` by distance takes at most {MAX_NEAR} elements, not {len(found)}")
    return _clusters(found, _agglomerated(unit_vectors(given), float(number(distance)), attr))


def _agglomerated(vectors: Sequence[Sequence[float]], threshold: float, linkage: str) -> list[int]:
    """For each vector the least index of its cluster.

    Each cluster remembers its nearest later cluster, so a merge costs one row, and another row for each cluster whose
    nearest one is gone: quadratic in the usual case, cubic at worst.
    """
    n = len(vectors)
    apart = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            apart[i][j] = apart[j][i] = cosine_distance(vectors[i], vectors[j])
    size = [1] * n
    labels = list(range(n))
    alive = list(range(n))
    nearest = [_nearest(apart[i], alive, i) for i in range(n)]
    while len(alive) > 1:
        a = min((i for i in alive if nearest[i] >= 0), key=lambda i: apart[i][nearest[i]])
        b = nearest[a]
        if apart[a][b] > threshold:
            break
        alive.remove(b)
        for c in alive:
            if c != a:
                apart[a][c] = apart[c][a] = _linked(apart[a][c], apart[b][c], size[a], size[b], linkage)
        size[a] += size[b]
        labels = [a if label == b else label for label in labels]
        for c in alive:
            if c == a or nearest[c] in (a, b):
                nearest[c] = _nearest(apart[c], alive, c)
            elif c < a and (apart[c][a], a) < (apart[c][nearest[c]], nearest[c]):
                nearest[c] = a
    return labels


def _nearest(row: Sequence[float], alive: Sequence[int], i: int) -> int:
    """The nearest of the clusters after i, the first of several; -1 for the last cluster."""
    return min((j for j in alive if j > i), key=row.__getitem__, default=-1)


def _linked(to_a: float, to_b: float, size_a: int, size_b: int, linkage: str) -> float:
    """The distance of a third cluster to the union of two (Lance and Williams)."""
    if linkage == "single":
        return min(to_a, to_b)
    if linkage == "complete":
        return max(to_a, to_b)
    return (size_a * to_a + size_b * to_b) / (size_a + size_b)


CLUSTERS = (
    Operation("cluster_by", _by_key, 2, 2, None),
    Operation("cluster_same", _by_sameness, 2, 2, None),
    Operation("cluster_near", _by_distance, 3, 3, None, uses_attr=True),
)
