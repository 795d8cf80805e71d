"""Which nodes of a search tree to expand next.

A finished candidate is never expanded. Policies over leaves (nodes without children) never give one twice:
- best: greatest value (0 before it is propagated), ties to the shallower, then to the lower number (best-first search).
- breadth: least depth first; depth: greatest depth first; ties to the lower number.
- uct: from the root down, the child with the greatest value + exploration * prior * sqrt(ln N / n); N and n are the
  visits of parent and child, the prior is the softmax of the children's own values (standard MCTS of TreeQuest). An
  unvisited child comes first. Within one selection of several, a node selected before counts as a visit of value 0 on
  its path (virtual loss).
- thompson: from the root down, the child with the greatest draw from its posterior.
And over all nodes, where one may be given more than once, each time for a further child:
- adaptive: AB-MCTS-A (2503.04412). From the root down, a draw from the posterior of a new child (the own values of
  this node's children) against one of going deeper (the values from below them): the node itself if the first is
  greater or it has no children, else on to the child with the greatest draw from its own posterior.

Posteriors. gaussian: normal-inverse-chi-squared, prior mean 0, kappa 1, nu 1, tau squared 0.1. beta: values from 0 to
1, prior (1/2, 1/2), a value s adds s to the first and 1 - s to the second parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from ttsc.compiler.values.evaluation import EvaluationFailed
from ttsc.compiler.values.mathematics import softmax
from ttsc.compiler.values.trees import ROOT, Moments, Node, Tree, moments_through

POLICIES = ("best", "breadth", "depth", "uct", "thompson", "adaptive")
PRIORS = ("beta", "gaussian")
EXPLORATION = math.sqrt(2)

_PRIOR_KAPPA, _PRIOR_NU, _PRIOR_TAU_SQUARED = 1.0, 1.0, 0.1
_PRIOR_BETA = 0.5
_LEAST = 1e-12
"""Gamma draws with a small shape can be 0; a variance is their inverse."""
_ROUNDING = 1e-9

Posterior = Callable[[Moments, Random], float]


def select(tree: object, count: int, *, policy: str, prior: str, exploration: float, rng: Random) -> list[Node]:
    """At most `count` nodes to expand; fewer if fewer leaves are open, none if everything is finished."""
    if not isinstance(tree, Tree):
        raise TypeError
    posterior = _gaussian if prior == "gaussian" else _beta
    match policy:
        case "best":
            return _first(tree, count, lambda node: (-node.value, node.depth, node.index))
        case "breadth":
            return _first(tree, count, lambda node: (node.depth, node.index))
        case "depth":
            return _first(tree, count, lambda node: (-node.depth, node.index))
        case "uct":
            return _walks(tree, count, _Uct(exploration))
        case "thompson":
            return _walks(tree, count, lambda _, children: _greatest(children, lambda c: _through(c, posterior, rng)))
    return _adaptive(tree, count, posterior, rng)


def _first(tree: Tree, count: int, key: Callable[[Node], tuple[float, ...]]) -> list[Node]:
    leaves = [node for node in tree.nodes if not node.children and not node.finished]
    return sorted(leaves, key=key)[:count]


# --- walks to a leaf --------------------------------------------------------------------------------------------------


class _Uct:
    """The step of a walk by upper confidence bounds. Counts the walks of this selection as losses."""

    def __init__(self, exploration: float) -> None:
        self._exploration = exploration
        self._passed: dict[int, int] = {}

    def __call__(self, parent: Node, children: Sequence[Node]) -> Node:
        self._passed[parent.index] = self._passed.get(parent.index, 0) + 1
        trials = parent.visits + self._passed[parent.index] - 1
        priors = dict(zip((c.index for c in children), softmax([c.own or 0.0 for c in children]), strict=True))

        def bound(child: Node) -> float:
            visits = child.visits + self._passed.get(child.index, 0)
            if not visits:
                return math.inf
            width = math.sqrt(math.log(max(1, trials)) / visits)
            return child.total / visits + self._exploration * priors[child.index] * width

        return _greatest(children, bound)


def _walks(tree: Tree, count: int, step: Callable[[Node, Sequence[Node]], Node]) -> list[Node]:
    """Walks from the root to leaves; a selected leaf is closed for the walks after it."""
    open_below = _open(tree, internal=False)
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


def _open(tree: Tree, *, internal: bool) -> list[int]:
    """For each node, how many at or below it may be expanded: leaves, or with `internal` all that are unfinished."""
    found = [0] * len(tree.nodes)
    for node in reversed(tree.nodes):  # children have greater numbers
        found[node.index] += not node.finished and (internal or not node.children)
        if node.parent >= ROOT:
            found[node.parent] += found[node.index]
    return found


def _greatest(nodes: Sequence[Node], key: Callable[[Node], float]) -> Node:
    """The first of those with the greatest key."""
    keys = [key(node) for node in nodes]
    return nodes[keys.index(max(keys))]


# --- adaptive branching -----------------------------------------------------------------------------------------------


def _adaptive(tree: Tree, count: int, posterior: Posterior, rng: Random) -> list[Node]:
    open_below = _open(tree, internal=True)
    if not open_below[ROOT]:
        return []
    return [_descended(tree, open_below, posterior, rng) for _ in range(count)]


def _descended(tree: Tree, open_below: Sequence[int], posterior: Posterior, rng: Random) -> Node:
    node = tree.nodes[ROOT]
    while True:
        children = [tree.nodes[c] for c in node.children if open_below[c]]
        if not children:
            return node
        if not node.finished and posterior(node.children_values, rng) > posterior(node.deeper_values, rng):
            return node
        node = _greatest(children, lambda child: _through(child, posterior, rng))


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
