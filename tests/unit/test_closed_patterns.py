"""Which programs have a closed form: votes, races and the best of n, and nothing that only looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttsc
from ttsc.planning.evaluators import pattern_of

PROGRAMS = Path(__file__).resolve().parents[2] / "programs"
HEAD = """
use std.answers (number)
prompt pose(q: str) { user "{{ q }}" }
"""


@pytest.mark.parametrize(
    ("name", "choice"),
    [
        ("self_consistency", "vote"),
        ("adaptive_consistency", "vote"),
        ("window_consistency", "vote"),
        ("first_finish", "race"),
        ("best_of_n", "best"),
        ("verified_vote", "verified"),
        ("weighted_best_of_n", None),
        ("verify_and_refine", None),
        ("budget_forcing", None),
        ("tree_search", None),
    ],
)
def test_patterns_of_programs(name: str, choice: str | None) -> None:
    found = pattern_of(ttsc.compile(PROGRAMS / f"{name}.tts"))
    assert (None if found is None else found.choice) == choice


@pytest.mark.parametrize(
    "body",
    [
        'let c = pose(q) |> sample(n) |> one return number(c.text) + ""',
        "let a = pose(q) |> sample(n) return (a |> vote(by=number)) + (a |> vote(by=number))",
        "let a = pose(q) |> sample(n) let b = pose(q) |> sample(n) return (a + b) |> vote(by=number)",
        "return pose(q) |> sample(n) |> keep(2, by=c => length(c.text)) |> vote(by=number)",
    ],
)
def test_what_only_looks_like_a_pattern_has_none(body: str) -> None:
    body = body.replace('number(c.text) + ""', 'or_else(number(c.text), "")')
    text = HEAD + f"program p(q: str, n: int = 4 in 1..8) -> str {{ {body} }}"
    try:
        program = ttsc.compile(text, "p")
    except Exception as error:  # the snippet has to compile for this to say anything
        pytest.fail(str(error))
    assert pattern_of(program) is None
