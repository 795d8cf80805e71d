"""TrimR (arXiv 2505.17155): how a thinking ends, by its algorithm applied to what a scripted verifier says of segments.

At each closed segment: if it holds an answer, a counter goes up where that equals the one before, else to 0; at M the
thinking is over (mild); else at share * budget tokens and so many segments it is forced; else where it repeats itself.
Segments without an answer leave the counter as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

import ttsc
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine

PROGRAM = ttsc.compile("std:trimmed_thinking")
WORDS = ["Wait", "But", "Alternatively", "Hmm"]


def parts(answers: Sequence[str], again: int | None) -> list[str]:
    """The segments' texts; the one numbered `again` says what the one before it said."""
    found = [f"s{number} {f'is {answer}' if answer else 'so on'}" for number, answer in enumerate(answers)]
    if again is not None and 0 < again < len(found):
        found[again] = found[again - 1]
    return found


def ended(said: Sequence[str], repeats: int, least: int) -> tuple[str, int]:
    """How the thinking ends, and after how many segments."""
    held, equal = "", 0
    for number, part in enumerate(said, 1):
        answer = (re.findall(r"is (\w)", part) or [""])[0]
        if answer:
            equal = equal + 1 if answer == held else 0
            held = answer
        if equal >= repeats:
            return "mild", number
        if number >= least or part in said[: number - 1]:
            return "forced", number
    return "itself", len(said)


def policy(said: Sequence[str], asked: list[str]) -> ScriptedEngine:
    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        thought = prompt.rpartition("<|assistant|>")[2]
        if "boxed{" in thought:
            asked.append("forced")
            return "7}"
        if "agrees" in thought:
            asked.append("mild")
            return "</think>\\boxed{8}"
        if "</think>" in thought:
            return "\\boxed{9}"
        number = thought.count("\n\n")
        if number == len(said):
            asked.append("itself")
            return "</think>"
        return f"{said[number]}\n\n{WORDS[int(said[number][1]) % 4]}!"

    return ScriptedEngine(reply)


def verifier() -> ScriptedEngine:
    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        given = re.findall(r"is (\w)", prompt.partition("Does this")[0].partition("Do both")[0])
        if "Do both" in prompt:
            return "yes" if len(given) == 2 and given[0] == given[1] else "no"
        return "yes" if given else "no"

    return ScriptedEngine(reply, model="judge")


@settings(max_examples=25, deadline=None)
@given(
    answers=st.lists(st.sampled_from(["", "3", "4", "4"]), min_size=1, max_size=7),
    again=st.none() | st.integers(1, 6),
    repeats=st.integers(1, 3),
    least=st.integers(2, 9),
)
def test_a_thinking_ends_as_the_algorithm_says(answers: list[str], again: int | None, repeats: int, least: int) -> None:
    said, asked = parts(answers, again), list[str]()
    how, number = ended(said, repeats, least)
    engines = {"policy": policy(said, asked), "judge": verifier()}
    found = PROGRAM.run(question="what?", repeats=repeats, share=0.0, least=least, engine=engines)
    assert asked == [how]
    assert found.value == {"mild": "8", "forced": "7", "itself": "9"}[how]
    policy_requests = found.usage.by_model["policy"]["requests"]
    assert policy_requests == number + (1 if how != "itself" else 2)
