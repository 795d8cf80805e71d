"""`test` blocks: what they run, what they measure, what they say when they fail."""

from __future__ import annotations

import asyncio

import pytest

from ttsc.compiler.plan.nodes import Level
from ttsc.compiler.semantics.check import check
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary
from ttsc.testing.running import Outcome, run_test
from ttsc.testing.seen import both, seen

HEAD = """
use std.answers (boxed)
prompt solve(question: str) { user "{{ question }}" }
program majority(question: str, n: int = 3) -> str {
    return solve(question) |> sample(n) |> vote(by=boxed)
}
"""


def outcome(text: str, level: Level = 2) -> Outcome:
    checked = check(Source("t.tts", text), FileLibrary())
    return asyncio.run(run_test(checked.tests[0], level=level))


@pytest.mark.parametrize("level", [0, 2])
def test_a_test_that_passes(level: Level) -> None:
    result = outcome(
        HEAD
        + r"""
        test "majority" {
            model policy => ["\\boxed{4}", "\\boxed{5}", "\\boxed{4}"]
            let answer = majority("2 + 2?")
            expect answer == "4"
            expect calls == 3 and tokens > 0
        }
        """,
        level,
    )
    assert result.passed, result.failures
    assert result.measures["calls"] == 3


def test_each_failure_says_what_was_seen() -> None:
    result = outcome(
        HEAD
        + r"""
        test "majority" {
            model policy => ["\\boxed{5}"]
            let answer = majority("2 + 2?")
            expect answer == "4"
            expect calls < 2
        }
        """
    )
    assert [f.message for f in result.failures] == ['expected answer == "4"', "expected calls < 2"]
    assert [f.notes for f in result.failures] == [('left:  "5"', 'right: "4"'), ("left:  3", "right: 2")]
    assert {f.code for f in result.failures} == {"T0001"}


def test_patterns_choose_among_replies() -> None:
    result = outcome(
        r"""
        prompt ask_it(q: str) { user "{{ q }}" }
        program two(a: str, b: str) -> list[str] {
            return [a, b] |> each(q => ask_it(q) |> sample(1) |> one |> text)
        }
        test "patterns" {
            model policy => ["something else"]
            model policy "colou?r" => ["red"]
            let said = two("Which color?", "Which day?")
            expect said == ["red", "something else"]
        }
        """
    )
    assert result.passed, result.failures


def test_externs_and_stores_are_stood_in_for() -> None:
    result = outcome(
        """
        extern double(x: int) -> int
        store notes: str
        program p(n: int) -> int {
            notes += "seen"
            return double(n) + length(notes)
        }
        test "stubs" {
            extern double(x) = x * 2 if x > 0 else 0
            store notes = ["one", "two"]
            let a = p(4)
            let b = p(-1)
            expect a == 11
            expect b == 4
            expect externs == 2
        }
        """
    )
    assert result.passed, result.failures


def test_an_extern_without_a_stub_is_named() -> None:
    result = outcome(
        """
        extern double(x: int) -> int
        program p(n: int) -> int { return double(n) }
        test "stubs" { let a = p(4) expect a == 8 }
        """
    )
    (failure,) = result.failures
    assert failure.message == "the test does not say what extern 'double' gives"
    assert failure.hint == "add extern double(x) = …"


def test_a_model_without_a_script_is_named() -> None:
    result = outcome(HEAD + 'test "silent" { let a = majority("2 + 2?") expect a == "4" }')
    assert "model 'policy' was asked" in result.failures[0].message


def test_rewards_are_scripted() -> None:
    result = outcome(
        r"""
        use std.answers (boxed)
        model policy, prm
        prompt solve(question: str) { user "{{ question }}" }
        program best_of(question: str) -> str? {
            return solve(question) |> sample(2) |> score(prm) |> best(by=score) |> boxed
        }
        test "the better one" {
            model policy => ["\\boxed{1}", "\\boxed{2}"]
            model prm "boxed\\{2" => 0.9
            model prm => 0.1
            let answer = best_of("?")
            expect answer == "2"
        }
        """
    )
    assert result.passed, result.failures


def test_a_model_that_is_asked_too_much_fails_the_test_even_if_the_run_goes_on() -> None:
    result = outcome(
        r"""
        prompt solve(question: str) { user "{{ question }}" }
        prompt grade(solution: str) { user "grade {{ solution }}" }
        program judged(question: str) -> str {
            return solve(question) |> sample(3) |> score(c => grade(c.text)) |> best(by=score) |> text
        }
        test "two of three grades" {
            model policy "grade a" => ["1"]
            model policy "grade" => [0.5]
            model policy "^(?!.*grade)" => ["a", "b", "c"]
            let answer = judged("?")
            expect answer == "a"
        }
        """
    )
    (failure,) = result.failures
    assert failure.code == "T0002"
    assert "model 'policy' was asked '<|user|>grade b<|end|>'" in failure.message
    assert failure.hint.endswith("; numbers are rewards")
    assert failure.notes == ("and 1 more request to 'policy'",)
    assert failure.span.text == 'let answer = judged("?")'


def test_a_reward_without_a_script() -> None:
    result = outcome(
        """
        model policy, prm
        prompt solve(question: str) { user "{{ question }}" }
        program p(q: str) -> str { return solve(q) |> sample(2) |> score(prm) |> best(by=score) |> text }
        test "rewards" { model policy => ["a"] model prm => ["good"] let a = p("x") expect a == "a" }
        """
    )
    assert result.failures[0].hint.startswith("add model prm => [0.5]")
    assert result.failures[0].hint.endswith("; a reward is a number")


FUNCTIONS = """
function short(text: str) -> str = head(text, 2)
program p(n: int) -> int { return n }
program first(xs: list[int]) -> int { return xs[0] }
extern double(x: int) -> int
program doubled(n: int) -> int { return double(n) }
store notes: str
program held() -> int { return length(notes) }
prompt solve(question: str) { user "{{ question }}" }
program withheld(n: int) -> str? { return "many" if n > 9 else abstain }
"""


def only_failure(test: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Code, message, place and notes of a test's one failure; all empty if it passed."""
    failures = outcome(FUNCTIONS + test).failures
    if not failures:
        return "", "", "", ()
    (failure,) = failures
    return failure.code, failure.message, failure.span.text, failure.notes


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('test "t" { expect short("abc") == "ab" }', ("", "", "", ())),
        (
            'test "t" { let a = p(0) expect 1 // a == 1 }',
            (
                "R0504",
                "whether 1 // a == 1 can't be told: division by zero",
                "expect 1 // a == 1",
                ("a is 0",),
            ),
        ),
        (
            'test "t" { let a = p(1) expect a == 1 and\n   externs == 3 }',
            (
                "T0001",
                "expected a == 1 and externs == 3",
                "expect a == 1 and\n   externs == 3",
                ("externs is 0", "a is 1"),
            ),
        ),
        (
            'test "t" { let a = p(2) expect a + 1 == 2 }',
            ("T0001", "expected a + 1 == 2", "expect a + 1 == 2", ("left:  3", "right: 2", "a is 2")),
        ),
        (
            'test "t" { let a = first([]) expect a == 1 }',
            ("R0504", "index 0 is outside of a list of 0", "let a = first([])", ()),
        ),
        (
            'test "t" { extern double(x) = 1 // (x - 4) let a = doubled(4) expect a == 1 }',
            (
                "R0504",
                "what extern 'double' gives can't be told: division by zero",
                "extern double(x) = 1 // (x - 4)",
                ("x is 4",),
            ),
        ),
        (
            'test "t" { store notes = [to_str(1 // 0)] let a = held() expect a == 1 }',
            (
                "R0504",
                "what store 'notes' holds can't be told: division by zero",
                "store notes = [to_str(1 // 0)]",
                (),
            ),
        ),
        (
            '"""About test "x"."""\ntest "t" { let a = p(1) let b = doubled(2) expect a == b }',
            ("T0002", "the test does not say what extern 'double' gives", 'test "t"', ()),
        ),
    ],
)
def test_a_failure_says_why_and_where(test: str, expected: tuple[str, str, str, tuple[str, ...]]) -> None:
    assert only_failure(test) == expected


def test_what_is_withheld_is_told_from_what_is_missing() -> None:
    passes = """
        test "t" {
            let a = withheld(1)
            let b = withheld(10)
            expect a == abstain and a == none
            expect b != abstain and b == "many"
        }
    """
    assert outcome(FUNCTIONS + passes).passed
    fails = 'test "t" { let a = withheld(1) expect a != abstain }'
    assert only_failure(fails)[3] == ("left:  abstain", "right: abstain")


def test_a_program_keeps_to_its_budget() -> None:
    program = """
        prompt solve(question: str) { user "{{ question }}" }
        program frugal(q: str) -> int budget calls <= 2 {
            return solve(q) |> sample(4, max_tokens=8) |> count(x => length(x.text) > 0)
        }
    """
    one = 'test "t" { model policy => ["a"] let a = frugal("x") expect calls == 2 }'
    two = 'test "t" { model policy => ["a"] let a = frugal("x") let b = frugal("y") expect calls == 8 }'
    for test in (one, two):
        assert outcome(program + test).passed


def test_of_two_long_values_the_difference_is_shown() -> None:
    same = "lorem ipsum " * 50
    left, right = both(same + "left", same + "right")
    assert left.startswith("…") and left.endswith('ipsum left"') and right.endswith('ipsum right"')
    assert both("a", ("b", None, True)) == ('"a"', '["b", none, true]')
    assert len(seen("x" * 10_000)) == 200
    assert seen({"grade": 3, "note": None}) == "(grade=3, note=none)"
    assert max(map(len, both(same, "other"))) == 200


def test_offline_values_of_programs_called_twice_are_computed_once() -> None:
    result = outcome(
        """
        prompt study(context: str) { user "{{ context }}" }
        program notes_on(context: str) -> str {
            offline let notes = study(context) |> sample(1) |> one |> text
            return notes
        }
        program twice(context: str) -> bool { return notes_on(context) == notes_on(context) }
        test "kept within a run" {
            model policy => ["first", "second"]
            let same = twice("x")
            expect same and calls == 1
        }
        """
    )
    assert result.passed, result.failures
