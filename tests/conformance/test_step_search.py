"""Searches over steps: whom they continue, against the published rules applied here to the steps that were sampled.

In the scripted world each sampled step is unique, so a path names its node, and a reward depends on the path alone. The
rules below read the engine's records (which paths were continued, into what, with which reward) and say what must come
next: 2408.03314 and 2502.06703 for beam, lookahead and diverse trees, the loop of ETS's released code for REBASE, the
objective of 2502.13575 for ETS, best-first order for A*-decoding (2505.13672).
"""

from __future__ import annotations

import math
import random
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine

STEP = "\n\n"


def greedy(path: str) -> str:
    """What the model says next at temperature 0."""
    return said(path, random.Random(zlib.crc32(path.encode())))


def said(path: str, rng: random.Random) -> str:
    """A step, or the end: never before the second step, always after the fourth."""
    depth = path.count(STEP)
    if depth >= 2 and (rng.random() < 0.4 or depth >= 4):
        return f"{rng.randint(0, 999999)} \\boxed{{{rng.choice('12')}}}"
    return f"{rng.choice('abc')} {rng.randint(0, 999999)}.{STEP}"


def logit(path: str) -> float:
    return (zlib.crc32(path.encode()) % 60001 - 30000) / 10000


def reward(path: str) -> float:
    return 1 / (1 + math.exp(-logit(path)))


def finished(path: str) -> bool:
    return "boxed" in path


def answer(path: str) -> str:
    return path[-2]


def path_of(shown: str) -> str:
    return shown.rpartition("<|assistant|>")[2].removesuffix("<|end|>")


def vector(step: str) -> tuple[float, ...]:
    """Steps that begin alike are near to each other; other ones are at right angles."""
    return tuple(float(step.startswith(letter)) for letter in "abc")


@dataclass(frozen=True)
class Run:
    """What a search asked for. `sampled`: pairs of a path and its continuation, in order; `levels`: the same by depth.
    `looked`: how many greedy steps there were. `rewarded`: paths whose reward was asked for.
    """

    value: Any
    sampled: list[tuple[str, str]]
    looked: int
    rewarded: list[str]

    @property
    def levels(self) -> list[list[tuple[str, str]]]:
        depths = sorted({path.count(STEP) for path, _ in self.sampled})
        return [[pair for pair in self.sampled if pair[0].count(STEP) == depth] for depth in depths]


@cache
def program(name: str) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}")


def searched(name: str, seed: int, **settings: Any) -> Run:
    def reply(prompt: str, own: int, sampling: Any) -> str:
        path = path_of(prompt)
        return greedy(path) if sampling.temperature == 0 else said(path, random.Random(own))

    engine = ScriptedEngine(reply, reward=lambda text: logit(path_of(text)), embed=vector)
    result = program(name).run(question="?", engine=engine, seed=seed, step_tokens=32, **settings)
    sampled, looked, rewarded = [], 0, []
    for record in engine.records:
        path = path_of(engine.tokenizer.show(record.request.input_ids))
        if record.kind == "reward":
            rewarded.append(path)
        elif record.kind == "generate" and record.request.sampling.temperature == 0:
            looked += 1
        elif record.kind == "generate":
            sampled.append((path, path + engine.tokenizer.decode(record.completion.output_ids)))
    children = [child for _, child in sampled]
    assert len(set(children)) == len(children), "paths are unique"
    return Run(result.value, sampled, looked, rewarded)


def voted(ends: Sequence[str], value: Any = reward) -> str | None:
    """The answer with the greatest sum of values."""
    sums: Counter[str] = Counter()
    for end in ends:
        sums[answer(end)] += value(end)
    return max(sums, key=lambda each: sums[each]) if sums else None


def check_levels(run: Run, value: Any, width: int, fanout: int) -> list[str]:
    """Every level continues the best `width` of the level before, less those that have finished. The finished ones."""
    assert Counter(path for path, _ in run.levels[0]) == {"": width * fanout}
    done: list[str] = []
    for place, level in enumerate(run.levels):
        best = sorted((child for _, child in level), key=value, reverse=True)[: width - len(done)]
        done += [child for child in best if finished(child)]
        further = Counter({child: fanout for child in best if not finished(child)})
        following = run.levels[place + 1] if place + 1 < len(run.levels) else []
        assert Counter(path for path, _ in following) == further
    return done


@pytest.mark.parametrize("seed", range(4))
def test_beam_search_keeps_the_best_that_are_not_finished_yet(seed: int) -> None:
    run = searched("beam_search", seed, width=4, fanout=3)
    done = check_levels(run, reward, 4, 3)
    assert run.value == voted(done)
    assert len(run.rewarded) == len(run.sampled) and not run.looked


@pytest.mark.parametrize(
    ("aggregate", "reduce"), [("min", min), ("mean", lambda r: sum(r) / len(r)), ("prod", math.prod)]
)
def test_beam_search_by_other_aggregates(aggregate: str, reduce: Any) -> None:
    def value(path: str) -> float:
        parts = path.split(STEP)
        ends = [STEP.join(parts[: end + 1]) + STEP for end in range(len(parts) - 1)]
        return float(reduce([reward(each) for each in ends] + ([reward(path)] if parts[-1] else [])))

    run = searched("beam_search", 1, width=3, fanout=3, aggregate=aggregate, choose="best")
    done = check_levels(run, value, 3, 3)
    assert run.value == answer(max(done, key=value))


@pytest.mark.parametrize(("lookahead", "seed"), [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_lookahead_values_a_step_by_where_greedy_decoding_takes_it(lookahead: int, seed: int) -> None:
    def value(path: str) -> float:
        for _ in range(lookahead):
            path = path if finished(path) else path + greedy(path)
        return reward(path)

    run = searched("lookahead_search", seed, width=3, fanout=3, lookahead=lookahead)
    done = check_levels(run, value, 3, 3)
    assert run.value == voted(done, value)
    assert run.looked <= lookahead * len(run.sampled) and (run.looked > 0) == (lookahead > 0)


@pytest.mark.parametrize("seed", range(3))
def test_diverse_trees_keep_one_node_each(seed: int) -> None:
    trees, fanout = 3, 4
    run = searched("diverse_tree_search", seed, trees=trees, fanout=fanout)
    continued = Counter(path for path, _ in run.sampled)
    assert continued.pop("") == trees * fanout and set(continued.values()) == {fanout}
    ends: list[str] = []
    for path in continued:
        children = [child for parent, child in run.sampled if parent == path]
        best = max(children, key=reward)
        assert {child for child in children if child in continued} == (set() if finished(best) else {best})
        ends += [best] if finished(best) else []
    assert len([path for path in continued if path.count(STEP) == 1]) == trees == len(ends)
    assert run.value == voted(ends)


def shared_out(paths: Sequence[str], width: int) -> dict[str, int]:
    """REBASE with T_r = 0.2: from the best on, each its share of what is left, rounded up."""
    z, counts = math.fsum(math.exp(reward(path) / 0.2) for path in paths), {}
    for path in sorted(paths, key=reward, reverse=True):
        counts[path] = min(width, math.ceil(width * math.exp(reward(path) / 0.2) / z - 1e-9))
        width -= counts[path]
        z -= math.exp(reward(path) / 0.2)
    return {path: count for path, count in counts.items() if count}


@pytest.mark.parametrize("seed", range(4))
def test_rebase_shares_out_the_width_that_is_left(seed: int) -> None:
    run, done = searched("reward_balanced_search", seed, width=9), []
    assert Counter(path for path, _ in run.levels[0]) == {"": 9}
    for place, level in enumerate(run.levels):
        children = [child for _, child in level]
        done += [child for child in children if finished(child)]
        further = shared_out([child for child in children if not finished(child)], 9 - len(done))
        following = run.levels[place + 1] if place + 1 < len(run.levels) else []
        assert Counter(path for path, _ in following) == further
    assert run.value == voted(done) and len(done) == 9


def kept_by_ets(paths: Sequence[str], width: int, shared: float, diverse: float) -> list[str]:
    """The best of all subsets, by the objective of 2502.13575; places in the list decide between equals."""
    counts = shared_out(paths, width)
    above = {
        path: {"", *(path[: end + 2] for end in range(len(path) - 2) if path[end : end + 2] == STEP)} for path in paths
    }
    nodes = set().union(*above.values())
    kinds = {path: path.rstrip().split(STEP)[-1][0] for path in paths}

    def value(kept: Sequence[str]) -> float:
        used = set().union(*(above[path] for path in kept))
        worth = sum(counts.get(path, 0) for path in kept) / sum(counts.values())
        nodes_share = (len(used) + len(kept)) / (len(nodes) + len(paths))
        return worth - shared * nodes_share + diverse * len({kinds[p] for p in kept}) / len(set(kinds.values()))

    subsets = [kept for size in range(1, len(paths) + 1) for kept in combinations(paths, size)]
    top = max(map(value, subsets))
    places = {path: place for place, path in enumerate(paths)}
    best = [kept for kept in subsets if value(kept) >= top - 1e-9]
    return list(min(best, key=lambda kept: [-1.0 if path in kept else 0.0 for path in places]))


@pytest.mark.parametrize(("seed", "shared", "diverse"), [(0, 1.0, 1.5), (1, 2.0, 0.0), (2, 0.0, 1.0), (3, 1.5, 0.5)])
def test_ets_shares_out_among_those_that_are_worth_their_nodes(seed: int, shared: float, diverse: float) -> None:
    width = 9
    run, done = searched("efficient_tree_search", seed, width=width, shared=shared, diverse=diverse), []
    for place, level in enumerate(run.levels):
        children = [child for _, child in level]
        done += [child for child in children if finished(child)]
        left = [child for child in children if not finished(child)]
        further = shared_out(kept_by_ets(left, width - len(done), shared, diverse), width - len(done)) if left else {}
        following = run.levels[place + 1] if place + 1 < len(run.levels) else []
        assert Counter(path for path, _ in following) == further
    assert run.value == voted(done) and len(done) == width


@pytest.mark.parametrize(
    ("seed", "batch", "transition"), [(0, 1, "shortfall"), (1, 1, "drop"), (2, 3, "shortfall"), (3, 2, "drop")]
)
def test_a_star_takes_the_least_cost_first(seed: int, batch: int, transition: str) -> None:
    fanout = 3
    run = searched("a_star", seed, fanout=fanout, batch=batch, transition=transition, expansions=60)
    children: dict[str, list[str]] = {}
    for parent, child in run.sampled:
        children.setdefault(parent, []).append(child)
    past, open_states, found = {"": 0.0}, [("", 0.0)], None
    while found is None:
        taken, open_states = open_states[:batch], open_states[batch:]
        found = next((path for path, _ in taken if finished(path)), None)
        for path, _ in taken if found is None else ():
            assert len(children[path]) == fanout
            for child in children.pop(path):
                fall = max(0.0, (reward(path) if path else 1.0) - reward(child))
                past[child] = past[path] + (1 - reward(child) if transition == "shortfall" else fall)
                open_states.append((child, past[child] + 1 - reward(child)))
        open_states.sort(key=lambda state: state[1])
    assert run.value == answer(found) and not children, "nothing else was continued"
    assert len(run.rewarded) == len(run.sampled)


def test_a_star_completes_the_best_state_when_its_expansions_are_over() -> None:
    run = searched("a_star", 0, fanout=2, expansions=1, finish_tokens=200)
    first = [child for parent, child in run.sampled if parent == ""]
    ((path, _),) = [pair for pair in run.sampled if pair[0] != ""]
    assert len(first) == 2 and path == max(first, key=reward)
