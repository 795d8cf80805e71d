"""Search trees: immutable values that grow by making the next tree.

A tree is the tuple of its nodes in order of expansion, so a node's number is its place there, and children have
greater numbers than their parents. Expanding copies that tuple, backpropagating replaces each node on the paths
concerned once, and selecting looks at each node: all are linear in the size of the tree (for 10,000 nodes 0.1 ms, some
microseconds per node on the paths, and a few ms), which is nothing beside the model call that each node costs.

Per node the values propagated through it are kept as three sums (`Moments`), apart by where they came from, because
adaptive branching (`tree_search.py`) asks apart: its own value, those of its children, those from further below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ttsc.compiler.values.evaluation import (
    EvaluationFailed,
    Operation,
    items,
    items_fit,
    kind_of,
    number,
    numbers,
)
from ttsc.compiler.values.types import NODE_FIELDS, POOL, TREE

ROOT = 0


@dataclass(frozen=True, slots=True)
class Moments:
    """How many values, their sum and the sum of their squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def with_value(self, value: float) -> Moments:
        return Moments(self.count + 1, self.total + value, self.squares + value * value)

    def scaled(self, factor: float) -> Moments:
        return Moments(self.count, self.total * factor, self.squares * factor * factor)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)


_NOTHING = Moments()


@dataclass(frozen=True, slots=True)
class Node:
    """`candidate`, `depth` (0 for the root) and `index` are as in the language, as are `visits` and `value`.

    `own`: the value of its own candidate, None until it was propagated (and for ever at the root). `children_values`:
    the own values of its children; `deeper_values`: those of all nodes below its children.
    """

    candidate: Any
    depth: int
    index: int
    parent: int
    children: tuple[int, ...] = ()
    own: float | None = None
    children_values: Moments = _NOTHING
    deeper_values: Moments = _NOTHING

    @property
    def visits(self) -> int:
        """How many values were propagated through it, its own among them."""
        return (self.own is not None) + self.children_values.count + self.deeper_values.count

    @property
    def total(self) -> float:
        """The sum of those values."""
        return (self.own or 0.0) + self.children_values.total + self.deeper_values.total

    @property
    def value(self) -> float:
        """The mean of those values; 0 without any."""
        visits = self.visits
        return self.total / visits if visits else 0.0

    @property
    def finished(self) -> bool:
        """Whether its candidate ended by itself, so that nothing can come after it."""
        return bool(self.candidate.finished)

    def as_fields(self) -> dict[str, object]:
        """By the names of the language."""
        return {name: getattr(self, name) for name in NODE_FIELDS}


@dataclass(frozen=True, slots=True)
class Tree:
    """`nodes[0]` is the root. `uncounted`: numbers of the nodes whose value was not propagated yet."""

    nodes: tuple[Node, ...]
    uncounted: tuple[int, ...] = ()

    def as_fields(self) -> dict[str, object]:
        """Its nodes, each with its parent's index; the root's is None."""
        return {
            "nodes": [{**node.as_fields(), "parent": None if node.parent < 0 else node.parent} for node in self.nodes]
        }


def tree(root: object) -> Tree:
    """A tree of one node. The root has no value of its own: only what is below it is propagated."""
    _candidate(root)
    return Tree((Node(root, depth=0, index=ROOT, parent=-1),))


def expand(of: object, at: object, pools: object) -> Tree:
    """The tree with a pool's candidates as further children of a node; or, given lists, one pool for each node."""
    grown = _tree(of)
    if isinstance(at, Node):
        at, pools = (at,), (pools,)
    parents, new = items(at), items(pools)
    if len(parents) != len(new):
        raise EvaluationFailed(f"`expand` has {len(new)} pools for {len(parents)} nodes")
    additions = [items(pool) for pool in new]
    items_fit(len(grown.nodes) + sum(map(len, additions)))
    nodes = list(grown.nodes)
    for parent, pool in zip(parents, additions, strict=True):
        place = _place(grown, parent)
        numbers_of_pool = range(len(nodes), len(nodes) + len(pool))
        depth = nodes[place].depth + 1
        nodes.extend(Node(_candidate(c), depth, i, place) for c, i in zip(pool, numbers_of_pool, strict=True))
        nodes[place] = replace(nodes[place], children=(*nodes[place].children, *numbers_of_pool))
    return Tree(tuple(nodes), (*grown.uncounted, *range(len(grown.nodes), len(nodes))))


def backpropagate(of: object, values: object, discount: object = 1.0) -> Tree:
    """The tree after `values`, one for each uncounted node in order, were added there and along the paths to the root.

    An ancestor at distance d receives value * discount**d.
    """
    before, found, factor = _tree(of), numbers(values), float(number(discount))
    if len(found) != len(before.uncounted):
        raise EvaluationFailed(f"`backpropagate` has {len(found)} values for {len(before.uncounted)} new nodes")
    nodes = list(before.nodes)
    received: dict[int, Moments] = {}
    for index, value in zip(before.uncounted, map(float, found), strict=True):
        nodes[index] = replace(nodes[index], own=value)
        received[index] = _NOTHING.with_value(value)
    _propagate(nodes, received, factor)
    return Tree(tuple(nodes))


def _propagate(nodes: list[Node], own: Mapping[int, Moments], factor: float) -> None:
    """Each node concerned hands on what it received, children before parents, so that each is replaced once."""
    through: dict[int, Moments] = {}
    for index in sorted(_with_ancestors(nodes, own), reverse=True):
        parent = nodes[index].parent
        if parent < ROOT:
            continue
        first, further = own.get(index, _NOTHING).scaled(factor), through.get(index, _NOTHING).scaled(factor)
        above = nodes[parent]
        nodes[parent] = replace(
            above, children_values=above.children_values + first, deeper_values=above.deeper_values + further
        )
        through[parent] = through.get(parent, _NOTHING) + first + further


def _with_ancestors(nodes: Sequence[Node], indices: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for index in indices:
        while index >= ROOT and index not in found:
            found.add(index)
            index = nodes[index].parent
    return found


def _tree(value: object) -> Tree:
    if not isinstance(value, Tree):
        raise TypeError
    return value


def _candidate(value: object) -> object:
    if not hasattr(value, "finished") or isinstance(value, Node):
        raise EvaluationFailed(f"a tree holds candidates, not {kind_of(value)}")
    return value


def _place(of: Tree, node: object) -> int:
    """The number of a node, which may be of an earlier state of the tree."""
    if not isinstance(node, Node):
        raise TypeError
    if node.index >= len(of.nodes) or of.nodes[node.index].candidate is not node.candidate:
        raise EvaluationFailed("`expand`: the node is not of this tree")
    return node.index


def _candidates(of: object) -> list[object]:
    """Of all nodes but the root, in order of expansion."""
    return [node.candidate for node in _tree(of).nodes[1:]]


def _leaves(of: object) -> list[object]:
    """Of the nodes without children, in order of expansion; the root is none."""
    return [node.candidate for node in _tree(of).nodes[1:] if not node.children]


def _uncounted(of: object) -> list[object]:
    found = _tree(of)
    return [found.nodes[index].candidate for index in found.uncounted]


def moments_through(node: Node) -> Moments:
    """Of all values propagated through a node, its own among them."""
    own = _NOTHING if node.own is None else _NOTHING.with_value(node.own)
    return own + node.children_values + node.deeper_values


TREES = (
    Operation("tree", tree, 1, 1, TREE, foldable=False, total=True),
    Operation("expand", expand, 3, 3, TREE, foldable=False),
    Operation("backpropagate", backpropagate, 2, 3, TREE, foldable=False),
    Operation("uncounted", _uncounted, 1, 1, POOL, foldable=False, total=True),
    Operation("leaves", _leaves, 1, 1, POOL, foldable=False, total=True),
    Operation("candidates", _candidates, 1, 1, POOL, foldable=False, total=True),
)
