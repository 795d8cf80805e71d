"""Particle Gibbs (2502.01618, its-hub): what the reference does in the iterations after the first.

Each sampled step is unique, so a text names its path. From the requests of one run: the first iteration begins with N
solutions, each further one with N - 1; in these, copies of the reference are cut at the current step and go on anew.
"""

from __future__ import annotations

import random
import zlib
from itertools import pairwise
from typing import Any

import pytest

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine

STEP = "\n\n"
PARTICLES, ITERATIONS = 4, 3
PROGRAM = ttsc.compile("std:particle_gibbs")


def begun(prompt: str) -> str:
    return prompt.rpartition("<|assistant|>")[2].removesuffix("<|end|>")


def spoken(prompt: str, seed: int, sampling: Sampling) -> str:
    """One step; the end after three."""
    rng = random.Random(seed)
    if begun(prompt).count(STEP) == 3:
        return f"so \\boxed{{{rng.randint(0, 999999)}}}"
    return f"{rng.randint(0, 999999)}.{STEP}more"


def logit(shown: str) -> float:
    return (zlib.crc32(begun(shown).encode()) % 4001 - 2000) / 2000


def run(seed: int, **given: Any) -> tuple[Any, list[str], list[str]]:
    """The value, the beginnings that were continued, and the texts that were scored, in the order of the requests."""
    engine = ScriptedEngine(spoken, reward=logit)
    value = PROGRAM.run(
        question="?", particles=PARTICLES, iterations=ITERATIONS, engine=engine, seed=seed, **given
    ).value
    shown = [(r.kind, begun(engine.tokenizer.show(r.request.input_ids))) for r in engine.records]
    return value, [t for kind, t in shown if kind == "generate"], [t for kind, t in shown if kind == "reward"]


@pytest.mark.parametrize("seed", range(2))
def test_the_reference_takes_a_place(seed: int) -> None:
    _, continued, scored = run(seed)
    assert continued.count("") == PARTICLES + (ITERATIONS - 1) * (PARTICLES - 1)
    steps = 4
    assert len(continued) == len(scored) == steps * (PARTICLES + (ITERATIONS - 1) * (PARTICLES - 1))


def iterations_of(continued: list[str]) -> list[list[str]]:
    """Requests of each iteration: all of a step are sent before the first of the next, so a new one begins with ""."""
    starts = [i for i, text in enumerate(continued) if text == "" and (i == 0 or continued[i - 1] != "")]
    return [continued[a:b] for a, b in pairwise([*starts, len(continued)])]


def test_copies_of_the_reference_are_cut_at_the_current_step() -> None:
    """Over some seeds: what an iteration continues and did not make itself is a beginning of a solution of the one
    before, as long as the step it is in; and such copies do occur.
    """
    copies = 0
    for seed in range(4):
        _, continued, scored = run(seed)
        parts = iterations_of(continued)
        assert len(parts) == ITERATIONS
        sizes = [len(part) for part in parts]
        made: list[set[str]] = []
        at = 0
        for size in sizes:
            made.append(set(scored[at : at + size]))
            at += size
        for before, now, own in zip(made, parts[1:], made[1:], strict=False):
            foreign = [text for text in now if text and text not in own]
            copies += len(foreign)
            for text in foreign:
                assert text in before or any(text in earlier for earlier in made)
                assert text.endswith(STEP) and "boxed" not in text
            references = {text for text in foreign if text.count(STEP) == 1}
            assert len(references) <= 1, "one reference in an iteration"
    assert copies > 0


def test_the_answer_is_no_worse_than_any_of_the_last_population() -> None:
    """It is the greatest reward's there; the reference, from an iteration before, may have it."""
    value, _, scored = run(0)
    last = [text for text in scored[-(PARTICLES - 1) * 4 :] if "boxed" in text]
    assert max(logit(t) for t in scored if f"{{{value}}}" in t) >= max(map(logit, last))
    drawn, *_ = run(0, choose="sample")
    assert any(f"{{{drawn}}}" in text for text in scored)
