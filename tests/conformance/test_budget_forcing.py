"""Budget forcing's account of tokens: each question thinks at most B, forced words included, then answers within A.

Numbers follow the algorithm of m1 (UCSC-VLAA/m1, inference_keep_think.py) by hand, with a budget for each question.
A token of the scripted engine is a word, a run of white space, or another character; its eos is one, too.
"""

from __future__ import annotations

from typing import Any

import pytest

import ttsc
from ttsc.backends.scripted import ScriptedEngine

PROGRAM = ttsc.compile("std:budget_forcing")
WAIT = 1
"""Tokens of the default task's `wait()`."""


def engine(*stretches: str) -> ScriptedEngine:
    """The thinking's stretches one after the other; the answer is 4."""
    left = list(stretches)

    def reply(prompt: str, seed: int, sampling: Any) -> str:
        if prompt.endswith("\\boxed{"):
            return "4}"
        return " \\boxed{4}" if prompt.endswith("</think>") else left.pop(0)

    return ScriptedEngine(reply)


def asked(found: ScriptedEngine) -> list[int]:
    return [each.request.sampling.max_tokens for each in found.records]


@pytest.mark.parametrize(
    ("stretches", "extensions", "limits"),
    [
        (["a b</think>"], 0, [20, 7]),
        # a, space, b are 3; "Wait" makes 4 of 20, so 16 are left; ", c" makes 7 and "Wait" 8, so 12 are left
        (["a b</think>", ", c</think>", ".</think>"], 2, [20, 20 - 3 - WAIT, 20 - 3 - WAIT - 3 - WAIT, 7]),
        # B is used up: no extension, and the answer is forced
        (["a b c d e f g h i j k l m"], 2, [20, 7]),
        # used up in the second stretch
        (["a b</think>", " c d e f g h i j k l m"], 3, [20, 16, 7]),
        # 19 used, and eos: "Wait" would reach B, so no extension is made, and the thinking is closed as it had ended
        (["a b c d e f g h i j"], 2, [20, 7]),
    ],
)
def test_each_stretch_may_take_what_is_left_of_the_budget(
    stretches: list[str], extensions: int, limits: list[int]
) -> None:
    found = engine(*stretches)
    given = {"question": "2 + 2?", "thinking": 20, "answering": 7, "extensions": extensions}
    result = PROGRAM.run(given, engine=found)
    assert result.value == "4"
    assert asked(found) == limits


@pytest.mark.parametrize(("thought", "forced"), [("a b c d e f g h", True), ("a</think>", False)])
def test_only_a_thinking_that_was_cut_is_forced_to_answer(thought: str, forced: bool) -> None:
    found = engine(thought)
    PROGRAM.run({"question": "2 + 2?", "thinking": 8, "answering": 7}, engine=found)
    opener = found.tokenizer.show(found.records[-1].request.input_ids).rpartition("<think>")[2]
    assert opener.endswith("\\boxed{") == forced
    assert opener.count("</think>") == 1


def test_budgets_are_of_each_question() -> None:
    """Published code takes what is left from the least that any row of its batch has used."""
    limits = []
    for thought in ("a</think>", "a b c d e</think>"):
        found = engine(thought, "</think>")
        PROGRAM.run({"question": "2 + 2?", "thinking": 30, "extensions": 1}, engine=found)
        limits.append(asked(found)[1])
    assert limits == [30 - 1 - WAIT, 30 - 9 - WAIT]
