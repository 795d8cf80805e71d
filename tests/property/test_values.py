"""Properties of operations and draws on values, over generated arguments."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.compiler.values.arithmetic import equal, identity
from ttsc.compiler.values.clusters import LINKAGES
from ttsc.compiler.values.dependencies import problem, valid_needs
from ttsc.compiler.values.draws import draw
from ttsc.compiler.values.pure import evaluate
from ttsc.compiler.values.resampling import METHODS, NORMALISATIONS
from ttsc.compiler.values.schema import schema_text
from ttsc.compiler.values.tree_search import POLICIES, PRIORS
from ttsc.compiler.values.trees import Tree, tree
from ttsc.compiler.values.types import BOOL, FLOAT, INT, STR, Interval, ListOf, OptionalOf, RecordType, Type


@dataclass(frozen=True)
class Candidate:
    number: int
    finished: bool = False


unhurried = settings(deadline=None)
"""The first call of some operations imports what it needs."""

SEEDS = st.integers(0, 2**32)
WEIGHTS = st.lists(st.floats(0, 100), min_size=1, max_size=12)
TEMPERATURES = st.floats(0.05, 5)


# --- draws ------------------------------------------------------------------------------------------------------------


@unhurried
@given(
    st.sampled_from(METHODS), st.sampled_from(NORMALISATIONS), WEIGHTS, st.integers(0, 30), TEMPERATURES, SEEDS
)  # fmt: skip
def test_resampling_fills_its_slots(
    method: str, normalise: str, weights: list[float], count: int, temperature: float, seed: int
) -> None:
    pool = tuple(Candidate(i) for i in range(len(weights)))
    args = (pool, weights, count, temperature, pool[0])
    found = draw("resample", f"{method} resample {normalise}", args, Random(seed))
    assert isinstance(found, tuple) and len(found) == count and set(found) <= set(pool)
    assert found == draw("resample", f"{method} resample {normalise}", args, Random(seed))
    if normalise == "sum" and any(weights):
        drawn = found[1:] if method == "conditional" else found
        assert all(weights[candidate.number] for candidate in drawn)


@unhurried
@given(WEIGHTS, st.integers(1, 50), SEEDS)
def test_systematic_counts_are_shares_rounded(weights: list[float], count: int, seed: int) -> None:
    pool = tuple(Candidate(i) for i in range(len(weights)))
    found: Any = draw("resample", "systematic resample sum", (pool, weights, count), Random(seed))
    counts = Counter(candidate.number for candidate in found)
    total = math.fsum(weights)
    for i, weight in enumerate(weights):
        share = count * weight / total if total else count / len(weights)
        assert math.floor(share - 1e-6) <= counts[i] <= math.ceil(share + 1e-6)


@unhurried
@given(WEIGHTS, st.integers(1, 50), TEMPERATURES)
def test_ceiling_never_gives_less_to_the_more_probable(weights: list[float], count: int, temperature: float) -> None:
    """And to each of the first at least its share, until the slots are gone."""
    pool = tuple(Candidate(i) for i in range(len(weights)))
    found: Any = draw("resample", "ceiling resample softmax", (pool, weights, count, temperature), Random(0))
    counts = Counter(candidate.number for candidate in found)
    powers = [math.exp((weight - max(weights)) / temperature) for weight in weights]
    best = min(range(len(weights)), key=lambda i: (-powers[i], i))
    assert counts[best] >= count / math.fsum(powers) - 1e-6
    for i in counts:
        assert all(counts[j] for j in range(len(weights)) if powers[j] > powers[i])


@unhurried
@given(
    st.sampled_from(METHODS), st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 12), SEEDS
)  # fmt: skip
def test_frozen_candidates_are_there_once(method: str, finished: list[bool], count: int, seed: int) -> None:
    pool = tuple(Candidate(i, f) for i, f in enumerate(finished))
    args = (pool, [1.0] * len(pool), count, 1.0, Candidate(-1))
    found: Any = draw("resample", f"{method} freeze sum", args, Random(seed))
    counts = Counter(candidate.number for candidate in found)
    assert all(counts[i] == 1 for i, f in enumerate(finished) if f)
    if not all(finished):
        assert len(found) == max(count, sum(finished) + (method == "conditional" and count > 0))
    if method != "conditional" and len(found) == len(pool):
        assert all(found[i] is pool[i] for i, f in enumerate(finished) if f), "in their own slots"
    dropped: Any = draw("resample", f"{method} drop sum", args, Random(seed))
    assert not any(candidate.finished for candidate in dropped)


@unhurried
@given(st.lists(st.integers(), max_size=20), SEEDS)
def test_a_shuffle_is_a_permutation(items: list[int], seed: int) -> None:
    shuffled: Any = draw("shuffle", "", (items,), Random(seed))
    assert sorted(shuffled) == sorted(items)


# --- trees ------------------------------------------------------------------------------------------------------------


def grown(policy: str, prior: str, rounds: list[list[tuple[float, bool]]], rng: Random) -> Tree:
    """A search: each round expands a selected node by candidates with these values."""
    made = tree(Candidate(0))
    for children in rounds:
        nodes: Any = draw("select", f"{policy} {prior} drop", (made, 2), rng)
        pools = tuple(tuple(Candidate(len(made.nodes), f) for _, f in children) for _ in nodes)
        made = evaluate("expand", "", (made, nodes, pools))  # type: ignore[assignment]
        made = evaluate("backpropagate", "", (made, [v for _ in nodes for v, _ in children]))  # type: ignore[assignment]
    return made


ROUNDS = st.lists(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=3), max_size=6)


@unhurried
@given(st.sampled_from(POLICIES), st.sampled_from(PRIORS), ROUNDS, SEEDS)
def test_searches(policy: str, prior: str, rounds: list[list[tuple[float, bool]]], seed: int) -> None:
    rng = Random(seed)
    made = grown(policy, prior, rounds, rng)
    root, others = made.nodes[0], made.nodes[1:]
    assert root.visits == len(others), "each value that was propagated passed through the root"
    assert root.value == pytest.approx(math.fsum(n.own or 0.0 for n in others) / len(others) if others else 0.0)
    for node in made.nodes:
        below = [made.nodes[child] for child in node.children]
        assert node.visits == (node is not root) + sum(child.visits for child in below)
        assert node.total == pytest.approx((node.own or 0.0) + math.fsum(child.total for child in below))
        assert all(child.parent == node.index < child.index and child.depth == node.depth + 1 for child in below)
    again: Any = draw("select", f"{policy} {prior} drop", (made, 5), rng)
    assert not any(node.finished for node in again)
    open_leaves = sum(not node.children and not node.finished for node in made.nodes)
    if policy in ("adaptive", "mixed"):
        assert len(again) == 5, "the root is never finished here"
    else:
        assert len(again) == min(5, open_leaves) == len({node.index for node in again})


# --- clusters, order, dependencies ------------------------------------------------------------------------------------


def is_partition(clusters: Any, n: int) -> bool:
    sizes = [len(cluster) for cluster in clusters]
    in_order = all(list(cluster) == sorted(cluster) for cluster in clusters)
    ranked = [(-len(cluster), cluster[0]) for cluster in clusters]
    return sum(sizes) == n and sorted(i for c in clusters for i in c) == list(range(n)) and in_order and (
        ranked == sorted(ranked)
    )  # fmt: skip


@unhurried
@given(st.lists(st.sampled_from([1, 1.0, True, "1", None, (1,), (True,)]), max_size=10), st.data())
def test_clusters_are_partitions(keys: list[object], data: st.DataObject) -> None:
    n = len(keys)
    items = tuple(range(n))
    by_key: Any = evaluate("cluster_by", "", (items, keys))
    assert is_partition(by_key, n)
    assert all(equal(keys[c[0]], keys[i]) for c in by_key for i in c)
    pairs = n * (n - 1) // 2
    verdicts = data.draw(st.lists(st.booleans(), min_size=pairs, max_size=pairs))
    assert is_partition(evaluate("cluster_same", "", (items, verdicts)), n)
    by_equality = [equal(keys[i], keys[j]) for i in range(n) for j in range(i + 1, n)]
    assert evaluate("cluster_same", "", (items, by_equality)) == by_key, "an equivalence gives the same groups"
    one = data.draw(st.sampled_from(LINKAGES))
    vectors = data.draw(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=n, max_size=n))
    assert is_partition(evaluate("cluster_near", one, (items, vectors, data.draw(st.floats(0, 2)))), n)


@unhurried
@given(st.lists(st.floats(0, 6.3), max_size=8), st.floats(0, 1.5))
def test_agglomeration_is_the_greedy_definition(angles: list[float], distance: float) -> None:
    """Against a direct reading: again and again the nearest two clusters by the mean over all their pairs."""
    items = tuple(range(len(angles)))
    vectors = [(math.cos(angle), math.sin(angle)) for angle in angles]

    def apart(i: int, j: int) -> float:
        return 1 - vectors[i][0] * vectors[j][0] - vectors[i][1] * vectors[j][1]

    def mean(a: list[int], b: list[int]) -> float:
        return math.fsum(apart(i, j) for i in a for j in b) / (len(a) * len(b))

    clusters = [[i] for i in items]
    close_calls = False
    while len(clusters) > 1:
        ranked = sorted((mean(a, b), i, j) for i, a in enumerate(clusters) for j, b in enumerate(clusters) if i < j)
        least, i, j = ranked[0]
        close_calls |= abs(least - distance) < 1e-9 or (len(ranked) > 1 and ranked[1][0] - least < 1e-9)
        if least > distance:
            break
        clusters[i] = sorted(clusters[i] + clusters[j])
        del clusters[j]
    found: Any = evaluate("cluster_near", "average", (items, vectors, distance))
    if not close_calls:  # else rounding decides
        assert sorted(map(list, found)) == sorted(clusters)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=1), st.booleans()), max_size=12))
def test_order_and_keys(keys: list[tuple[int, str, bool]]) -> None:
    items = tuple(range(len(keys)))
    ordered: Any = evaluate("sort", "", (items, keys))
    assert list(ordered) == sorted(items, key=lambda i: (keys[i], i))
    greatest: Any = evaluate("maximal", "", (items, keys))
    assert list(greatest) == [i for i in items if keys[i] == max(keys)]
    distinct: Any = evaluate("distinct", "", (items, keys))
    assert [keys[i] for i in distinct] == list(dict.fromkeys(keys))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5, "", "a"]),
    lambda v: st.lists(v, max_size=2).map(tuple) | st.dictionaries(st.sampled_from("ab"), v, max_size=2),
    max_leaves=4,
)


@unhurried
@given(VALUES, VALUES)
def test_identities_agree_with_equality(a: object, b: object) -> None:
    assert equal(a, b) == (identity(a) == identity(b))
    if equal(a, b):
        assert hash(identity(a)) == hash(identity(b))


@unhurried
@given(st.lists(st.lists(st.integers(-1, 8), max_size=5), max_size=8))
def test_dependencies_without_invalid_edges(needs: list[list[int]]) -> None:
    valid = valid_needs(needs)
    assert problem(valid) is None and valid_needs(valid) == valid
    assert (problem(needs) is None) == (valid == tuple(map(tuple, needs)))
    done: set[int] = set()
    steps = 0
    while len(done) < len(needs):
        ready = {i for i, each in enumerate(valid) if set(each) <= done} - done
        assert ready, "a cycle is left"
        done |= ready
        steps += 1
    assert evaluate("depth", "", (needs,)) == steps


# --- structured output ------------------------------------------------------------------------------------------------


RECORD = RecordType(
    "R",
    (("t", STR), ("n", INT), ("x", FLOAT), ("ok", BOOL), ("parts", ListOf(INT, 3)), ("note", OptionalOf(STR))),
    (("n", Interval(-5, 5)),),
)
RECORDS = st.fixed_dictionaries(
    {
        "t": st.text(max_size=5), "n": st.integers(-5, 5), "x": st.floats(-1e9, 1e9), "ok": st.booleans(),
        "parts": st.lists(st.integers(-9, 9), max_size=3), "note": st.none() | st.text(max_size=5),
    }
)  # fmt: skip


@unhurried
@given(RECORDS, st.sampled_from(["{}", "```json\n{}\n```", "The answer: {}."]), st.booleans())
def test_what_was_written_is_read(value: dict[str, Any], around: str, ascii_only: bool) -> None:
    text = around.replace("{}", json.dumps(value, ensure_ascii=ascii_only))
    found = evaluate("parse", schema_text(RECORD), (text,))
    assert found == {**value, "parts": tuple(value["parts"])}


@unhurried
@given(st.text(alphabet='{}[]"\\,:1atrue', max_size=40), st.sampled_from([RECORD, ListOf(INT), INT, OptionalOf(STR)]))
def test_a_text_is_read_or_there_is_a_reason(text: str, type_: Type) -> None:
    attr = schema_text(type_)
    value, reason = evaluate("parse", attr, (text,)), evaluate("parse_failure", attr, (text,))
    assert isinstance(reason, str) and (value is None or not reason)
