"""Which selections of a program are decided early without being told a bound, and which bound they find."""

from __future__ import annotations

import pytest

import ttsc
from ttsc.compiler.ir.nodes import Greatest, Majority, Select
from ttsc.compiler.ir.rewrite import walk

HEAD = """
use std.answers (boxed)
model policy, judge, prm
record Verdict { right: bool, grade: int in 0..10, share: float in 0.0..1.0, note: str }
extern measure(text: str) -> Verdict
prompt solve(q: str) { user "{{ q }}" }
prompt check(q: str, a: str) { user "{{ q }} {{ a }}" }
"""


def bound(pipeline: str) -> tuple[bool, object]:
    """Whether the last selection of a pipeline is decided early, and its bound."""
    text = f"""{HEAD}
program p(q: str, scale: float = 2.0 in 0.5..3.0, free: float = 1.0) -> str? {{
    let pool = solve(q) |> sample(4)
    return {pipeline}
}}"""
    select = [node for node in walk(ttsc.compile(text, level=2).plan.program.body) if isinstance(node, Select)][-1]
    assert isinstance(select.rule, Greatest | Majority)
    return select.early, select.rule.maximum if isinstance(select.rule, Greatest) else select.rule.max_weight


@pytest.mark.parametrize(
    ("pipeline", "maximum"),
    [
        ("pool |> score(prm, link=sigmoid) |> best |> text", 1.0),
        ('pool |> score(prm, link=sigmoid, steps=".", reduce=min) |> best |> text', 1.0),
        ('pool |> score(prm, link=sigmoid, steps=".", reduce=mean) |> best |> text', 1.0),
        ("pool |> score(c => check(q, c.text), read=t => contains(t, \"yes\"), model=judge) |> best |> text", 1.0),
        ("pool |> score(c => check(q, c.text), read=t => t == \"yes\", model=judge, samples=3) |> best |> text", 1.0),
        ("pool |> best(by=c => (check(q, c.text) |> ask(Verdict, model=judge)).grade) |> text", 10.0),
        ("pool |> best(by=c => measure(c.text).share) |> text", 1.0),
        ("pool |> best(by=finished) |> text", 1.0),
        ("pool |> best(by=-tokens) |> text", 0.0),
        ("pool |> best(by=[finished, -tokens]) |> text", (1.0, 0.0)),
        ("pool |> best(by=c => clamp(logit(0.5) + c.tokens, -1.0, 1.0) * 2.0) |> text", 2.0),
        ("pool |> score(prm, link=sigmoid) |> best(by=c => c.score * scale) |> text", 3.0),
        ("pool |> score(prm, link=sigmoid) |> branch(1) |> best |> text", 1.0),
        ("pool |> best |> text", 0.0),
        ("pool |> score(prm, link=sigmoid) |> vote(by=boxed, weight=score, otherwise=none)", 1.0),
        ("pool |> vote(by=boxed, weight=c => 1.0 - measure(c.text).share, otherwise=none)", 1.0),
        ("pool |> vote(by=boxed, weight=c => measure(c.text).grade, otherwise=none)", 10.0),
    ],
)  # fmt: skip
def test_bounds_that_follow_from_the_program(pipeline: str, maximum: object) -> None:
    assert bound(pipeline) == (True, maximum)


@pytest.mark.parametrize(
    "pipeline",
    [
        "pool |> score(prm) |> best |> text",
        "pool |> score(c => check(q, c.text), model=judge) |> best |> text",
        "pool |> best(by=tokens) |> text",
        "pool |> best(by=[finished, tokens]) |> text",
        "pool |> score(prm, link=sigmoid) |> best(by=c => c.score * free) |> text",
        "pool |> best(by=logprob) |> text",
        "pool |> score(prm, link=sigmoid) |> force(\"x\") |> best |> text",
        "pool |> vote(by=boxed, weight=c => measure(c.text).share - 0.5, otherwise=none)",
        "pool |> vote(by=boxed, weight=tokens, otherwise=none)",
    ],
)  # fmt: skip
def test_what_has_no_bound_waits(pipeline: str) -> None:
    assert bound(pipeline) == (False, None)


def test_a_bound_that_is_said_is_taken() -> None:
    assert bound("pool |> score(prm) |> best(maximum=5.0) |> text") == (True, 5.0)
    assert bound("pool |> score(prm, link=sigmoid) |> best(maximum=0.9) |> text") == (True, 0.9)
    assert bound("pool |> vote(by=boxed, weight=tokens, max_weight=9.0, otherwise=none)") == (True, 9.0)
