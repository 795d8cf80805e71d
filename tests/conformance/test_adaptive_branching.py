"""AB-MCTS-A (2503.04412): which node is expanded, against the published rules written down anew here.

The reference keeps lists of scores: GEN(v), CONT(v) and one for each child of v, updated along the path as published,
and draws from their posteriors. Over many seeds both choose each node equally often.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

from ttsc.compiler.values.draws import draw
from ttsc.compiler.values.pure import evaluate
from ttsc.compiler.values.trees import Tree, tree

DRAWS = 2000


@dataclass(frozen=True)
class Solution:
    text: str
    score: float = 0.0
    finished: bool = True


# (parent, node, score) in the order in which the nodes were made; "" is the root
MADE = [("", "a", 0.3), ("", "b", 0.7), ("b", "ba", 0.9), ("a", "aa", 0.2), ("ba", "baa", 0.6), ("b", "bb", 0.4)]


def grown() -> Tree:
    made: Tree = tree(Solution("", finished=False))
    places = {"": 0}
    for parent, name, score in MADE:
        found = evaluate("expand", "", (made, made.nodes[places[parent]], (Solution(name, score),)))
        places[name] = len(made.nodes)
        after = evaluate("backpropagate", "", (found, (score,)))
        assert isinstance(after, Tree)
        made = after
    return made


class Reference:
    """The published bookkeeping. `prior` is gaussian or beta."""

    def __init__(self, prior: str, rng: Random) -> None:
        self.prior, self.rng = prior, rng
        names = ["", *(name for _, name, _ in MADE)]
        self.gen: dict[str, list[float]] = {name: [] for name in names}
        self.cont: dict[str, list[float]] = {name: [] for name in names}
        self.child: dict[str, list[float]] = {name: [] for name in names}
        self.parent: dict[str, str] = {}
        self.children: dict[str, list[str]] = {name: [] for name in names}
        for parent, name, score in MADE:
            self.parent[name] = parent
            self.children[parent].append(name)
            self.gen[parent].append(score)
            self.child[name].append(score)
            at = parent
            while at in self.parent:
                self.child[at].append(score)
                self.cont[self.parent[at]].append(score)
                at = self.parent[at]

    def sample(self, scores: list[float]) -> float:
        n = len(scores)
        if self.prior == "beta":
            return self.rng.betavariate(0.5 + sum(scores), 0.5 + sum(1 - s for s in scores))
        mean = sum(scores) / n if n else 0.0
        m, kappa, nu, tau2 = 0.0, 1.0, 1.0, 0.1
        spread = sum((s - mean) ** 2 for s in scores)
        nu_n, kappa_n = nu + n, kappa + n
        m_n = (kappa * m + n * mean) / kappa_n
        tau2_n = (nu * tau2 + spread + n * kappa * (m - mean) ** 2 / (kappa + n)) / nu_n
        variance = (nu_n * tau2_n / 2) / self.rng.gammavariate(nu_n / 2, 1.0)
        return self.rng.gauss(m_n, math.sqrt(variance / kappa_n))

    def select(self) -> str:
        at = ""
        while self.children[at]:
            if self.sample(self.gen[at]) > self.sample(self.cont[at]):
                return at
            draws = {child: self.sample(self.child[child]) for child in self.children[at]}
            at = max(draws, key=lambda child: draws[child])
        return at


@pytest.mark.parametrize("prior", ["gaussian", "beta"])
def test_nodes_are_chosen_as_published(prior: str) -> None:
    made = grown()
    reference = Reference(prior, Random(99))
    wanted = Counter(reference.select() for _ in range(DRAWS))
    found: Counter[str] = Counter()
    for seed in range(DRAWS):
        nodes = draw("select", f"adaptive {prior} keep", (made, 1), Random(seed))
        assert isinstance(nodes, tuple)
        found[nodes[0].candidate.text] += 1
    assert sum(count > 50 for count in wanted.values()) >= 5, "the test tells many nodes apart"
    for name in ["", *(name for _, name, _ in MADE)]:
        share = (wanted[name] + found[name]) / (2 * DRAWS)
        error = math.sqrt(2 * share * (1 - share) / DRAWS)
        assert abs(wanted[name] - found[name]) / DRAWS <= 4 * error + 1e-9, name


def test_the_published_update_along_a_path() -> None:
    """After baa under ba under b: GEN(ba) has it; b's and ba's posteriors have it; so have CONT(b) and CONT(root)."""
    reference = Reference("beta", Random(0))
    assert reference.gen["ba"] == [0.6] and reference.cont["b"] == [0.6]
    assert reference.child["b"] == [0.7, 0.9, 0.6, 0.4]
    assert reference.cont[""] == [0.9, 0.2, 0.6, 0.4] and reference.gen[""] == [0.3, 0.7]
    root, b = grown().nodes[0], grown().nodes[2]
    assert (root.children_values.count, root.deeper_values.count) == (2, 4)
    assert root.deeper_values.total == pytest.approx(2.1) and b.deeper_values.total == pytest.approx(0.6)
    assert b.children_values.total == pytest.approx(1.3) and b.value == pytest.approx(2.6 / 4)


def test_a_subtree_of_equal_scores_is_pruned() -> None:
    """Variant M: four nodes or more, of which 75 % share a score. Here a's subtree: .5, .5, .5, .1."""
    made: Tree = tree(Solution("", finished=False))
    for at, name, score in [(0, "a", 0.5), (1, "aa", 0.5), (1, "ab", 0.5), (1, "ac", 0.1), (0, "b", 0.1)]:
        made = evaluate("expand", "", (made, made.nodes[at], (Solution(name, score),)))  # type: ignore[assignment]
        made = evaluate("backpropagate", "", (made, (score,)))  # type: ignore[assignment]

    def chosen(share: float, least: int) -> set[str]:
        found = set()
        for seed in range(25):
            nodes = draw("select", "mixed gaussian keep", (made, 1, 1.0, share, least), Random(seed))
            assert isinstance(nodes, tuple)
            found.add(nodes[0].candidate.text)
        return found

    assert not {"a", "aa", "ab", "ac"} & chosen(0.75, 4)
    assert {"a", "aa", "ab", "ac"} & chosen(0.76, 4)
    assert {"a", "aa", "ab", "ac"} & chosen(0.75, 5)
