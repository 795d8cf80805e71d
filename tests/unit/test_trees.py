"""Search trees: growing, propagating values, and the policies that select nodes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from ttsc.compiler.values.draws import draw
from ttsc.compiler.values.pure import EvaluationFailed, evaluate
from ttsc.compiler.values.tree_search import select
from ttsc.compiler.values.trees import Moments, Node, Tree, tree


@dataclass(frozen=True)
class Candidate:
    text: str
    finished: bool = False


def pool(texts: str) -> tuple[Candidate, ...]:
    """One candidate per letter; capitals are finished."""
    return tuple(Candidate(letter, letter.isupper()) for letter in texts)


def op(name: str, *args: object) -> Any:
    return evaluate(name, "", args)


def named(of: Tree, name: str) -> Node:
    return next(node for node in of.nodes if node.candidate.text == name)


def grown(*expansions: tuple[str, str, tuple[float, ...]], discount: float = 1.0) -> Tree:
    """A tree over the root `r`; each expansion is a parent, its children and their values."""
    made = tree(Candidate("r"))
    for parent, children, values in expansions:
        made = op("backpropagate", op("expand", made, named(made, parent), pool(children)), values, discount)
    return made


def selected(of: Tree, attr: str, *args: object, seed: int = 0) -> str:
    """`attr`: policy and prior, and whether finished nodes are kept; without the last, dropped."""
    words = attr if len(attr.split()) == 3 else f"{attr} drop"
    found = draw("select", words, (of, *args), Random(seed))
    assert isinstance(found, tuple)
    return "".join(node.candidate.text for node in found)


def texts(candidates: tuple[Candidate, ...]) -> str:
    return "".join(candidate.text for candidate in candidates)


# --- growing ----------------------------------------------------------------------------------------------------------


def test_a_tree_grows_and_stays() -> None:
    empty = tree(Candidate("r"))
    first = op("expand", empty, empty.nodes[0], pool("ab"))
    second = op("expand", first, (named(first, "b"), empty.nodes[0]), (pool("c"), pool("d")))
    assert [op("length", t) for t in (empty, first, second)] == [1, 3, 5]
    assert [(n.candidate.text, n.depth, n.index) for n in second.nodes] == [
        ("r", 0, 0), ("a", 1, 1), ("b", 1, 2), ("c", 2, 3), ("d", 1, 4),
    ]  # fmt: skip
    assert second.nodes[0].children == (1, 2, 4) and empty.nodes[0].children == ()
    assert texts(op("candidates", second)) == "abcd" and texts(op("leaves", second)) == "acd"
    assert texts(op("leaves", empty)) == texts(op("candidates", empty)) == ""
    assert texts(op("uncounted", second)) == "abcd"
    assert evaluate("field", "depth", (second.nodes[3],)) == 2
    assert evaluate("field", "candidate", (second.nodes[3],)) == Candidate("c")
    with pytest.raises(EvaluationFailed, match="Node has no field `parent`"):
        evaluate("field", "parent", (second.nodes[3],))


def test_values_are_propagated_once() -> None:
    made = grown(("r", "ab", (0.8, 0.2)), ("a", "cd", (0.5, 0.1)))
    assert op("uncounted", made) == ()
    state = {n.candidate.text: (n.visits, n.value) for n in made.nodes}
    assert state == {
        "r": (4, pytest.approx(0.4)), "a": (3, pytest.approx(1.4 / 3)), "b": (1, 0.2), "c": (1, 0.5), "d": (1, 0.1),
    }  # fmt: skip
    assert op("backpropagate", made, ()).nodes == made.nodes


def test_discount() -> None:
    made = grown(("r", "a", (0.0,)), ("a", "b", (0.0,)), ("b", "c", (1.0,)), discount=0.5)
    assert [(n.candidate.text, n.total) for n in made.nodes] == [("r", 0.125), ("a", 0.25), ("b", 0.5), ("c", 1.0)]


def test_values_are_kept_apart_by_where_they_came_from() -> None:
    root = grown(("r", "ab", (0.8, 0.2)), ("a", "c", (0.5,)), ("c", "d", (0.1,))).nodes[0]
    assert root.children_values == Moments(2, 1.0, pytest.approx(0.68))
    assert root.deeper_values == Moments(2, 0.6, pytest.approx(0.26))
    assert root.own is None


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("tree", ("text",), "a tree holds candidates, not str"),
        ("backpropagate", (grown(("r", "a", (1.0,))), (1.0,)), "1 values for 0 new nodes"),
        ("leaves", ((),), "no result for list"),
        ("expand", (tree(Candidate("r")), 1, pool("a")), "no result"),
        ("expand", (tree(Candidate("r")), (), (pool("a"),)), "1 pools for 0 nodes"),
        ("expand", (tree(Candidate("r")), tree(Candidate("x")).nodes[0], pool("a")), "not of this tree"),
        ("expand", (tree(Candidate("r")), grown(("r", "a", (1.0,))).nodes[1], pool("a")), "not of this tree"),
    ],
)
def test_failures(name: str, args: tuple[object, ...], words: str) -> None:
    with pytest.raises(EvaluationFailed) as caught:
        op(name, *args)
    assert words in caught.value.message


def test_a_tree_cannot_grow_without_bound() -> None:
    made = tree(Candidate("r"))
    with pytest.raises(EvaluationFailed, match="list longer"):
        op("expand", made, made.nodes[0], pool("a") * 100_000)


# --- policies over leaves ---------------------------------------------------------------------------------------------


def test_best_breadth_depth() -> None:
    made = grown(("r", "abc", (0.5, 0.9, 0.5)), ("b", "de", (0.5, 0.7)), ("e", "fG", (0.1, 1.0)))
    assert selected(made, "best beta", 9) == "acdf", "ties to the shallower, then by number; G is finished"
    assert selected(made, "breadth beta", 9) == "acdf"
    assert selected(made, "depth beta", 9) == "fdac"
    assert selected(made, "best beta") == "a" and selected(made, "depth beta", 0) == ""


@pytest.mark.parametrize("policy", ["best", "breadth", "depth", "uct", "ucb1", "thompson", "adaptive", "mixed"])
def test_the_root_first_and_nothing_when_all_is_finished(policy: str) -> None:
    assert selected(tree(Candidate("r")), f"{policy} gaussian") == "r"
    assert selected(tree(Candidate("R", True)), f"{policy} gaussian", 3) == ""
    if policy not in ("adaptive", "mixed"):  # there, the root may have another child
        assert selected(grown(("r", "AB", (1.0, 0.0))), f"{policy} gaussian", 3) == ""


def bound(value: float, prior: float, parent: int, visits: int, exploration: float) -> float:
    return value + exploration * prior * math.sqrt(math.log(parent) / visits)


def test_uct_follows_the_published_bound() -> None:
    """Own values 0.8 and 0.2: priors softmax = 0.6457 and 0.3543. After three zeros below a:
    a: 0.2 + c * 0.6457 * sqrt(ln 5 / 4) = 0.2 + 0.4096 c;  b: 0.2 + c * 0.3543 * sqrt(ln 5 / 1) = 0.2 + 0.4495 c.
    """
    prior = math.exp(0.8) / (math.exp(0.8) + math.exp(0.2))
    assert prior == pytest.approx(0.645656, abs=1e-6)
    fresh = grown(("r", "ab", (0.8, 0.2)))
    assert bound(0.8, prior, 2, 1, math.sqrt(2)) > bound(0.2, 1 - prior, 2, 1, math.sqrt(2))
    assert selected(fresh, "uct beta") == "a"
    tried = grown(("r", "ab", (0.8, 0.2)), ("a", "cde", (0.0, 0.0, 0.0)))
    assert bound(0.2, prior, 5, 4, 1.0) == pytest.approx(0.6096, abs=1e-4)
    assert bound(0.2, 1 - prior, 5, 1, 1.0) == pytest.approx(0.6495, abs=1e-4)
    assert selected(tried, "uct beta") == "b"
    # Two zeros only: a: 0.267 + 0.439 c against b: 0.2 + 0.417 c.
    assert selected(grown(("r", "ab", (0.8, 0.2)), ("a", "cd", (0.0, 0.0))), "uct beta") == "c"


def test_uct_takes_an_unvisited_child_first() -> None:
    made = grown(("r", "a", (1.0,)))
    made = op("expand", made, made.nodes[0], pool("b"))
    assert selected(made, "uct beta") == "b"


def test_virtual_losses_spread_a_selection() -> None:
    """Without them the second walk would go below a again: 0.6 against 0.5 and no exploration."""
    made = grown(("r", "ab", (0.6, 0.5)), ("a", "cd", (0.6, 0.6)), ("b", "ef", (0.5, 0.5)))
    assert selected(made, "uct beta", 1, 0.0) == "c"
    assert selected(made, "uct beta", 2, 0.0) == "ce", "a: 1.8 / 4 = 0.45 after its virtual loss"
    assert selected(made, "uct beta", 9, 0.0) == "cedf"


def test_thompson_selects_each_leaf_once() -> None:
    made = grown(("r", "ab", (0.6, 0.5)), ("a", "cD", (0.6, 0.6)))
    assert sorted(selected(made, "thompson gaussian", 9)) == ["b", "c"]


@pytest.mark.parametrize("prior", ["beta", "gaussian"])
def test_thompson_prefers_the_better_branch(prior: str) -> None:
    good, bad = "abcdefghij" * 3, "klmnopqstu" * 3
    made = grown(("r", "xy", (0.9, 0.1)), ("x", good, (0.9,) * 30), ("y", bad, (0.1,) * 30))
    counts = Counter(selected(made, f"thompson {prior}", seed=seed) in good for seed in range(200))
    assert counts[True] > 180


# --- adaptive branching -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["beta", "gaussian"])
@pytest.mark.parametrize(("wide", "deep", "often"), [(0.9, 0.1, "r"), (0.1, 0.9, "below")])
def test_adaptive_goes_where_values_come_from(prior: str, wide: float, deep: float, often: str) -> None:
    """30 children of the root of one value, and 30 grandchildren of the other."""
    made = grown(("r", "x" * 30, (wide,) * 30), ("x", "y" * 30, (deep,) * 30))
    wider = [selected(made, f"adaptive {prior}", seed=seed) == "r" for seed in range(200)]
    assert sum(wider) > 180 if often == "r" else sum(wider) < 20


def test_adaptive_may_select_a_node_again_but_never_a_finished_one() -> None:
    assert selected(tree(Candidate("r")), "adaptive beta", 3) == "rrr"
    made = grown(("r", "AB", (1.0, 1.0)))
    assert selected(made, "adaptive beta", 5) == "rrrrr"


class Scripted(Random):
    """Records what the posterior draws from, and gives the middle of it."""

    def __init__(self) -> None:
        super().__init__(0)
        self.asked: list[tuple[float, ...]] = []

    def gammavariate(self, alpha: float, beta: float) -> float:
        self.asked.append((alpha, beta))
        return 1.0

    def normalvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        self.asked.append((mu, sigma))
        return mu

    def betavariate(self, alpha: float, beta: float) -> float:
        self.asked.append((alpha, beta))
        return alpha / (alpha + beta)


def test_the_gaussian_posterior() -> None:
    """Values 0.5 and 1: n = 2, mean 0.75, SS 0.125; kappa 3, nu 3, m = 1.5 / 3, nu tau² = 0.1 + 0.125 + 2 * 0.5625 / 3.

    With a gamma draw of 1: sigma² = 0.6 / 2, so mu ~ N(0.5, sqrt(0.3 / 3)). Nothing: N(0, sqrt(0.05)).
    """
    made = grown(("r", "ab", (0.5, 1.0)))
    rng = Scripted()
    assert select(made, 1, policy="adaptive", prior="gaussian", exploration=1.0, rng=rng)[0].index == 0
    assert rng.asked == [
        (1.5, 1.0), (pytest.approx(0.5), pytest.approx(math.sqrt(0.1))), (0.5, 1.0), (0.0, pytest.approx(0.05**0.5)),
    ]  # fmt: skip


def test_the_beta_posterior_and_the_walk_down() -> None:
    """Below the root: own values 0.2 and 0.4 against one of 0.9 from below a. Then a (0.2, 0.9) against b (0.4).

    In a: its child c's own value (0.9) against nothing from deeper; the greater is a further child of a.
    """
    made = grown(("r", "ab", (0.2, 0.4)), ("a", "c", (0.9,)))
    rng = Scripted()
    found = select(made, 1, policy="adaptive", prior="beta", exploration=1.0, rng=rng)
    assert [node.candidate.text for node in found] == ["a"]
    expected = [(1.1, 1.9), (1.4, 0.6), (1.6, 1.4), (0.9, 1.1), (1.4, 0.6), (0.5, 0.5)]
    assert rng.asked == [pytest.approx(parameters) for parameters in expected]


def test_beta_takes_values_from_0_to_1() -> None:
    with pytest.raises(EvaluationFailed, match="prior=gaussian takes any"):
        selected(grown(("r", "a", (1.5,))), "adaptive beta")
    assert selected(grown(("r", "ab", (-3.0, 7.0))), "adaptive gaussian") in "rab"


def test_a_selection_depends_on_its_seed_alone() -> None:
    made = grown(("r", "abc", (0.5, 0.5, 0.5)), ("a", "de", (0.5, 0.5)))
    first = [selected(made, "adaptive gaussian", 5, seed=seed) for seed in range(20)]
    assert first == [selected(made, "adaptive gaussian", 5, seed=seed) for seed in range(20)]
    assert len(set(first)) > 1


def test_only_trees_are_searched() -> None:
    with pytest.raises(EvaluationFailed, match="`select` has no result for list"):
        draw("select", "best beta drop", ((),), Random(0))


@pytest.mark.timeout(120)
def test_ten_thousand_nodes() -> None:
    """A search that expands one node at a time; then a path of 5,000 nodes, propagated at once."""
    made, rng = tree(Candidate("r")), Random(0)
    for i in range(5_000):
        at = made.nodes[rng.randrange(len(made.nodes))]
        if i % 100 == 0:
            at = select(made, 1, policy="uct", prior="beta", exploration=1.0, rng=rng)[0]
        made = op("backpropagate", op("expand", made, at, pool("a")), (0.5,))
    for _ in range(5_000):
        made = op("expand", made, made.nodes[-1], pool("a"))
    made = op("backpropagate", made, (0.5,) * 5_000)
    assert made.nodes[0].visits == 10_000 and made.nodes[0].value == pytest.approx(0.5)
