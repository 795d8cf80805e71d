"""Tree searches over given trees: upper confidence bounds as published, on random trees, and best-first order.

TreeQuest's standard MCTS (2503.04412): Q/N + c * prior * sqrt(ln N_parent / N), the prior the softmax of the children's
own scores; rStar (2408.06195): Q/N + c * sqrt(ln N_parent / N). Visits and values are counted here from the scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.draws import draw
from ttsc.compiler.values.pure import evaluate
from ttsc.compiler.values.trees import Tree, tree


@dataclass(frozen=True)
class Step:
    text: str
    score: float = 0.0
    finished: bool = False


def random_tree(rng: Random) -> tuple[Tree, dict[str, float]]:
    """A tree of named nodes, "ab" being the second child of "a"; and the score of each."""
    made: Tree = tree(Step(""))
    scores: dict[str, float] = {}
    for _ in range(rng.randint(1, 7)):
        leaves = [node for node in made.nodes if not node.children]
        at = rng.choice(leaves)
        new = [Step(at.candidate.text + name, round(rng.random(), 3)) for name in "abc"[: rng.randint(1, 3)]]
        scores |= {step.text: step.score for step in new}
        found = evaluate("expand", "", (made, at, tuple(new)))
        made = evaluate("backpropagate", "", (found, tuple(step.score for step in new)))  # type: ignore[assignment]
    return made, scores


def walked(scores: dict[str, float], c: float, *, with_prior: bool) -> str:
    at = ""
    while children := sorted(name for name in scores if len(name) == len(at) + 1 and name.startswith(at)):
        below = {child: [s for name, s in scores.items() if name.startswith(child)] for child in children}
        visits = sum(map(len, below.values())) + (at != "")
        total = sum(math.exp(scores[child]) for child in children)
        bounds = {}
        for child in children:
            prior = math.exp(scores[child]) / total if with_prior else 1.0
            n = len(below[child])
            bounds[child] = sum(below[child]) / n + c * prior * math.sqrt(math.log(visits) / n)
        at = max(children, key=lambda child: bounds[child])
    return at


@pytest.mark.parametrize(("policy", "c"), [("uct", math.sqrt(2)), ("ucb1", 2.0), ("ucb1", 0.3)])
def test_the_walk_follows_the_published_bound(policy: str, c: float) -> None:
    rng = Random(4)
    for _ in range(60):
        made, scores = random_tree(rng)
        found = draw("select", f"{policy} gaussian drop", (made, 1, c), Random(0))
        assert isinstance(found, tuple)
        assert found[0].candidate.text == walked(scores, c, with_prior=policy == "uct")


def test_best_first_takes_the_shallower_of_equals() -> None:
    made: Tree = tree(Step(""))
    for at, names in [(0, ("a", "b")), (1, ("aa",))]:
        steps = tuple(Step(name, 0.5) for name in names)
        found = evaluate("expand", "", (made, made.nodes[at], steps))
        made = evaluate("backpropagate", "", (found, tuple(0.5 for _ in steps)))  # type: ignore[assignment]
    chosen = draw("select", "best gaussian drop", (made, 2), Random(0))
    assert isinstance(chosen, tuple)
    assert [node.candidate.text for node in chosen] == ["b", "aa"]


def test_breadth_first_thoughts_keep_the_best_of_each_level() -> None:
    """Each sampled step is a digit, whose reward it is; of 5 continuations of each of 3 the greatest 3 stay."""
    engine = ScriptedEngine(
        lambda prompt, seed, _: f"{Random(seed).randint(0, 999)}.\n\n",
        reward=lambda shown: int(shown.rpartition("<|assistant|>")[2].split(".")[-2].strip() or 0) / 100 - 5,
    )
    ttsc.compile("std:tree_of_thoughts").run(question="?", steps=3, engine=engine)
    shown = [engine.tokenizer.show(r.request.input_ids).rpartition("<|assistant|>")[2] for r in engine.records]
    kinds = [r.kind for r in engine.records]
    continued = [text for text, kind in zip(shown, kinds, strict=True) if kind == "generate"]
    scored = [text for text, kind in zip(shown, kinds, strict=True) if kind == "reward"]
    assert [text.count(".") for text in continued] == [0] * 5 + [1] * 15 + [2] * 15

    def reward(text: str) -> int:
        return int(text.removesuffix("<|end|>").split(".")[-2].strip() or 0)

    for level in (1, 2):
        made = [text.removesuffix("<|end|>") for text in scored if text.count(".") == level]
        best = sorted(made, key=reward, reverse=True)[:3]
        assert {reward(t) for t in continued if t.count(".") == level} == {reward(t) for t in best}
