"""Dynasor-CoT (arXiv 2412.20993): when a chain is left, by the rule of its paper applied to scripted probes.

The chain is left in the first round whose last m probes are not empty, equal, and certain: none has one of the words
wait, hold, but, okay, no, hmm (word boundaries, unlike the code, whose "no" is in "know"). A probe sees the text before
the round's chunk, so that leaving in round r costs r chunks and r probes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine

CHUNK, ROUNDS = 8, 6
PROBES = ["4}", "4} of course", "5}", "4}, but wait", "4} I know now", "}", "4} No", "5} hold on"]
DOUBT = {"wait", "hold", "but", "okay", "no", "hmm"}
PROGRAM = ttsc.compile("std:probe_and_exit")


def engine(probes: Sequence[str]) -> ScriptedEngine:
    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        thought = prompt.rpartition("<|assistant|>")[2]
        return probes[thought.count(".") // CHUNK] if "boxed{" in thought else "." * 100

    return ScriptedEngine(reply)


def read(probe: str) -> str:
    """What a probe says for certain, or nothing."""
    doubtful = set(re.findall(r"[a-z]+", probe.lower())) & DOUBT
    return "" if doubtful else probe.partition("}")[0]


def left_after(probes: Sequence[str], consecutive: int) -> int | None:
    for last in range(consecutive, len(probes) + 1):
        window = {read(probe) for probe in probes[last - consecutive : last]}
        if len(window) == 1 and window != {""}:
            return last
    return None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(PROBES), min_size=ROUNDS, max_size=ROUNDS), st.integers(2, 5))
def test_it_leaves_when_the_last_probes_agree(probes: list[str], consecutive: int) -> None:
    found = PROGRAM.run(
        question="?", consecutive=consecutive, chunk=CHUNK, max_tokens=CHUNK * ROUNDS, engine=engine(probes)
    )
    rounds = left_after(probes, consecutive)
    assert found.value == (None if rounds is None else read(probes[rounds - 1]))
    assert found.usage.requests == 2 * (rounds or ROUNDS)


@pytest.mark.parametrize(("consecutive", "chunk"), [(8, 64), (5, 64), (3, 64), (2, 64), (2, 32)])
def test_efforts(consecutive: int, chunk: int) -> None:
    """Mild to crazy: an answer that is there from the beginning costs so many chunks."""
    found = PROGRAM.run(
        question="?", consecutive=consecutive, chunk=chunk, max_tokens=2048, engine=ScriptedEngine(_always)
    )
    probe = 4  # 4, }, a point, and the end of the turn
    assert (found.value, found.usage.decoded_tokens) == ("4", consecutive * (chunk + probe))


def _always(prompt: str, seed: int, sampling: Sampling) -> str:
    return "4}." if "boxed{" in prompt.rpartition("<|assistant|>")[2] else "." * 3000


def test_a_probe_and_its_chunk_are_asked_at_once() -> None:
    on = engine(["4}"] * ROUNDS)
    PROGRAM.run(question="?", consecutive=3, chunk=CHUNK, max_tokens=CHUNK * ROUNDS, engine=on)
    begun = [record.first_step for record in on.records]
    assert begun[0::2] == begun[1::2]
    assert len(set(begun)) == 3
