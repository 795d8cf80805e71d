"""Which nodes of a search tree to expand next.

A finished candidate is never expanded, unless `finished` is "keep": where a child is another solution, made in view of
its parent's. Policies over leaves (nodes without children) never give one twice:
- best: greatest value (0 before it is propagated), ties to the shallower, then to the lower number (best-first search).
- breadth: least depth first; depth: greatest depth first; ties to the lower number.
- uct: from the root down, the child with the greatest value + exploration * prior * sqrt(ln N / n); N and n are the
  visits of parent and child, the prior is the softmax of the children's own values (standard MCTS of TreeQuest). An
  unvisited child comes first. Within one selection of several, a node selected before counts as a visit of value 0 on
  its path (virtual loss).
- ucb1: the same without the prior, as UCT was first published (rStar).
- thompson: from the root down, the child with the greatest draw from its posterior.
And over all nodes, where one may be given more than once, each time for a further child:
- adaptive: AB-MCTS-A (2503.04412). From the root down, a draw from the posterior of a new child (the own values of
  this node's children) against one of going deeper (the values from below them): the node itself if the first is
  greater or it has no children, else on to the child with the greatest draw from its own posterior.
- mixed: AB-MCTS-M. From the root down, a draw of the next score of each child's subtree and of a new child, from the
  mixed model of the scores below the node (`mixed_model.py`); the greatest decides as in adaptive. A child below and at
  which there are `prune_from` scores or more, of which the share `prune` are equal, is not gone into.

Posteriors. gaussian: normal-inverse-chi-squared, prior mean 0, kappa 1, nu 1, tau squared 0.1. beta: values from 0 to
1, prior (1/2, 1/2), a value s adds s to the first and 1 - s to the second parameter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from ttsc.compiler.values.evaluation import EvaluationFailed
from ttsc.compiler.values.mathematics import softmax
from ttsc.compiler.values.mixed_model import group
from ttsc.compiler.values.mixed_model import posterior as mixed_posterior
from ttsc.compiler.values.trees import ROOT, Moments, Node, Tree, moments_through

POLICIES = ("best", "breadth", "depth", "uct", "ucb1", "thompson", "adaptive", "mixed")
PRIORS = ("beta", "gaussian")
FINISHED_NODES = ("drop", "keep")
EXPLORATION = math.sqrt(2)
PRUNE, PRUNE_FROM = 0.75, 4

_PRIOR_KAPPA, _PRIOR_NU, _PRIOR_TAU_SQUARED = 1.0, 1.0, 0.1
_PRIOR_BETA = 0.5
_LEAST = 1e-12
"""Gamma draws with a small shape can be 0; a variance is their inverse."""
_ROUNDING = 1e-9

Posterior = Callable[[Moments, Random], float]


def select(
    tree: object,
    count: int,
    *,
    policy: str,
    prior: str,
    exploration: float,
    rng: Random,
    finished: str = "drop",
    prune: float = PRUNE,
    prune_from: int = PRUNE_FROM,
) -> list[Node]:
    """At most `count` nodes to expand; fewer if fewer leaves are open, none if everything is finished."""
    if not isinstance(tree, Tree):
        raise TypeError
    posterior = _gaussian if prior == "gaussian" else _beta

    def closed(node: Node) -> bool:
        return node.finished and finished == "drop"

    match policy:
        case "best":
            return _first(tree, count, closed, lambda node: (-node.value, node.depth, node.index))
        case "breadth":
            return _first(tree, count, closed, lambda node: (node.depth, node.index))
        case "depth":
            return _first(tree, count, closed, lambda node: (-node.depth, node.index))
        case "uct":
            return _walks(tree, count, closed, _Uct(exploration, _by_values))
        case "ucb1":
            return _walks(tree, count, closed, _Uct(exploration, _alike))
        case "thompson":

            def drawn(_: Node, children: Sequence[Node]) -> Node:
                return _greatest(children, lambda child: _through(child, posterior, rng))

            return _walks(tree, count, closed, drawn)
        case "mixed":
            return _descents(tree, count, closed, _Mixed(tree, prune, prune_from, rng))
    return _descents(tree, count, closed, _Adaptive(posterior, rng))


def _first(
    tree: Tree, count: int, closed: Callable[[Node], bool], key: Callable[[Node], tuple[float, ...]]
) -> list[Node]:
    leaves = [node for node in tree.nodes if not node.children and not closed(node)]
    return sorted(leaves, key=key)[:count]


# --- walks to a leaf --------------------------------------------------------------------------------------------------


class _Uct:
    """The step of a walk by upper confidence bounds. Counts the walks of this selection as losses."""

    def __init__(self, exploration: float, priors: Callable[[Sequence[Node]], Sequence[float]]) -> None:
        self._exploration = exploration
        self._priors = priors
        self._passed: dict[int, int] = {}

    def __call__(self, parent: Node, children: Sequence[Node]) -> Node:
        self._passed[parent.index] = self._passed.get(parent.index, 0) + 1
        trials = parent.visits + self._passed[parent.index] - 1
        priors = dict(zip((c.index for c in children), self._priors(children), strict=True))

        def bound(child: Node) -> float:
            visits = child.visits + self._passed.get(child.index, 0)
            if not visits:
                return math.inf
            width = math.sqrt(math.log(max(1, trials)) / visits)
            return child.total / visits + self._exploration * priors[child.index] * width

        return _greatest(children, bound)


def _by_values(children: Sequence[Node]) -> list[float]:
    return softmax([child.own or 0.0 for child in children])


def _alike(children: Sequence[Node]) -> list[float]:
    return [1.0] * len(children)


def _walks(
    tree: Tree, count: int, closed: Callable[[Node], bool], step: Callable[[Node, Sequence[Node]], Node]
) -> list[Node]:
    """Walks from the root to leaves; a selected leaf is closed for the walks after it."""
    open_below = _open(tree, closed, internal=False)
    selected: list[Node] = []
    while len(selected) < count and open_below[ROOT]:
        node = tree.nodes[ROOT]
        while node.children:
            node = step(node, [tree.nodes[c] for c in node.children if open_below[c]])
        selected.append(node)
        at = node.index
        while at >= ROOT:
            open_below[at] -= 1
            at = tree.nodes[at].parent
    return selected


def _open(tree: Tree, closed: Callable[[Node], bool], *, internal: bool) -> list[int]:
    """For each node, how many at or below it may be expanded: leaves, or with `internal` all that are not closed."""
    found = [0] * len(tree.nodes)
    for node in reversed(tree.nodes):  # children have greater numbers
        found[node.index] += not closed(node) and (internal or not node.children)
        if node.parent >= ROOT:
            found[node.parent] += found[node.index]
    return found


def _greatest(nodes: Sequence[Node], key: Callable[[Node], float]) -> Node:
    """The first of those with the greatest key."""
    keys = [key(node) for node in nodes]
    return nodes[keys.index(max(keys))]


# --- adaptive branching -----------------------------------------------------------------------------------------------


Choose = Callable[[Node, Sequence[Node], bool], "Node | None"]
"""From a node, those of its children below which a node is open, and whether the node itself is open: the child to go
on to, or None for a further child of the node, if it is open.
"""


def _descents(tree: Tree, count: int, closed: Callable[[Node], bool], choose: Choose) -> list[Node]:
    open_below = _open(tree, closed, internal=True)
    if not open_below[ROOT]:
        return []

    def descended() -> Node:
        node = tree.nodes[ROOT]
        while True:
            children = [tree.nodes[c] for c in node.children if open_below[c]]
            onward = choose(node, children, not closed(node)) if children else None
            if onward is None:
                return node
            node = onward

    return [descended() for _ in range(count)]


class _Adaptive:
    """Variant A: a new child against going deeper, then among the children."""

    def __init__(self, posterior: Posterior, rng: Random) -> None:
        self._posterior, self._rng = posterior, rng

    def __call__(self, node: Node, children: Sequence[Node], may_grow: bool) -> Node | None:
        posterior, rng = self._posterior, self._rng
        if may_grow and posterior(node.children_values, rng) > posterior(node.deeper_values, rng):
            return None
        return _greatest(children, lambda child: _through(child, posterior, rng))


class _Mixed:
    """Variant M: a new child against each child, by draws of their next score."""

    def __init__(self, tree: Tree, prune: float, prune_from: int, rng: Random) -> None:
        self._tree, self._prune, self._prune_from, self._rng = tree, prune, prune_from, rng

    def __call__(self, node: Node, children: Sequence[Node], may_grow: bool) -> Node | None:
        groups = [group(moments_through(self._tree.nodes[c])) for c in node.children]
        *scores, of_new = mixed_posterior(groups).draw(self._rng)
        drawn = dict(zip(node.children, scores, strict=True))
        worth = [child for child in children if not self._pruned(child)]
        if not worth and not may_grow:
            worth = list(children)
        best = _greatest(worth, lambda child: drawn[child.index]) if worth else None
        return None if best is None or (may_grow and of_new > drawn[best.index]) else best

    def _pruned(self, child: Node) -> bool:
        """Whether the scores of its subtree are too much alike to promise anything."""
        values: Counter[float] = Counter()
        waiting = [child]
        while waiting:
            node = waiting.pop()
            if node.own is not None:
                values[node.own] += 1
            waiting.extend(self._tree.nodes[c] for c in node.children)
        total = values.total()
        return total >= self._prune_from and max(values.values(), default=0) >= self._prune * total


def _through(node: Node, posterior: Posterior, rng: Random) -> float:
    return posterior(moments_through(node), rng)


def _gaussian(values: Moments, rng: Random) -> float:
    """A draw of the mean: sigma² ~ InvGamma(nu/2, nu tau²/2), mu ~ N(m, sigma²/kappa)."""
    n = values.count
    mean = values.total / n if n else 0.0
    scatter = max(0.0, values.squares - n * mean * mean)
    kappa, nu = _PRIOR_KAPPA + n, _PRIOR_NU + n
    centre = n * mean / kappa  # the prior's mean is 0
    nu_tau_squared = _PRIOR_NU * _PRIOR_TAU_SQUARED + scatter + n * _PRIOR_KAPPA * mean * mean / kappa
    variance = nu_tau_squared / 2 / max(_LEAST, rng.gammavariate(nu / 2, 1.0))
    return rng.normalvariate(centre, math.sqrt(variance / kappa))


def _beta(values: Moments, rng: Random) -> float:
    successes, failures = values.total, values.count - values.total
    if min(successes, failures) < -_ROUNDING:
        raise EvaluationFailed("`select` with prior=beta takes values from 0 to 1; prior=gaussian takes any")
    return rng.betavariate(_PRIOR_BETA + max(0.0, successes), _PRIOR_BETA + max(0.0, failures))
