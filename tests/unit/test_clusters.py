"""Clusters by key, by comparisons and by distance."""

from __future__ import annotations

import math

import pytest

from ttsc.compiler.values.pure import EvaluationFailed, evaluate


def at(degrees: float) -> tuple[float, float]:
    """A unit vector; two of them are 1 - cos(difference) apart."""
    return (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))


def near(vectors: object, distance: float, linkage: str) -> object:
    n = len(vectors)  # type: ignore[arg-type]
    return evaluate("cluster_near", linkage, (tuple(range(n)), vectors, distance))


def test_by_key() -> None:
    items = ("a", "b", "c", "d", "e")
    assert evaluate("cluster_by", "", (items, ("x", "y", "z", "y", "z"))) == (("b", "d"), ("c", "e"), ("a",))
    assert evaluate("cluster_by", "", (items[:3], (1, True, 1.0))) == (("a", "c"), ("b",))
    assert evaluate("cluster_by", "", ((), ())) == ()


def test_by_comparisons_with_founders() -> None:
    # 0 is 1 and 1 is 2, but 0 is not 2: 2 is compared with 0, the founder, and founds a cluster; 3 is 2.
    verdicts = (True, False, False, True, False, True)  # 01 02 03 12 13 23
    assert evaluate("cluster_same", "", ((0, 1, 2, 3), verdicts)) == ((0, 1), (2, 3))
    # In another order of the same four, where 1 comes first, 0 and 2 join it.
    assert evaluate("cluster_same", "", ((1, 0, 2, 3), (True, True, False, False, False, True))) == ((1, 0, 2), (3,))


def test_linkages_differ_on_a_chain() -> None:
    """Angles 0, 20, 41: neighbours are 0.060 and 0.066 apart, the ends 0.245; the mean of the last two is 0.156."""
    chain = (at(0), at(20), at(41))
    assert near(chain, 0.067, "single") == ((0, 1, 2),)
    assert near(chain, 0.16, "average") == ((0, 1, 2),)
    assert near(chain, 0.15, "average") == ((0, 1), (2,))
    assert near(chain, 0.24, "complete") == ((0, 1), (2,))
    assert near(chain, 0.25, "complete") == ((0, 1, 2),)
    assert near(chain, 0.05, "single") == ((0,), (1,), (2,))


def test_the_nearest_pair_merges_first() -> None:
    """Angles 0, 12, 22: the last two are nearest, and then 0 is too far from their union for complete linkage."""
    assert near((at(0), at(12), at(22)), 0.05, "complete") == ((1, 2), (0,))


@pytest.mark.parametrize("linkage", ["average", "single", "complete"])
def test_equal_vectors_are_one_cluster(linkage: str) -> None:
    assert near(((1, 2), (2, 4), (3, 6)), 1e-9, linkage) == ((0, 1, 2),)
    assert near(((0, 0), (0, 0)), 0.5, linkage) == ((0,), (1,))
    assert near(((1, 0), (-1, 0)), 2.0, linkage) == ((0, 1),)
    assert near((), 0.5, linkage) == ()


@pytest.mark.parametrize(
    ("op", "attr", "args", "words"),
    [
        ("cluster_by", "", ((1, 2), (1,)), "1 keys for 2 elements"),
        ("cluster_same", "", ((1, 2, 3), (True,)), "takes 3 comparisons, and 1 are there"),
        ("cluster_same", "", ((1, 2), (1,)), "no result"),
        ("cluster_near", "average", ((1, 2), ((1.0,),), 0.1), "1 vectors for 2 elements"),
        ("cluster_near", "average", ((1, 2), ((1.0,), (1.0, 2.0)), 0.1), "different lengths: 1, 2"),
        ("cluster_near", "ward", ((), (), 0.1), "no linkage `ward`"),
        ("cluster_near", "single", ((0,) * 257, ((1.0,),) * 257, 0.1), "at most 256 elements, not 257"),
    ],
)
def test_failures(op: str, attr: str, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        evaluate(op, attr, args)
    assert words in caught.value.message
