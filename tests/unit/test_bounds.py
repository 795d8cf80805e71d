"""Static bounds: what they say of small programs, in symbols and in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_programs import Captured

from ttsc.cli import run
from ttsc.compiler.bounds import Bounds, worst_case
from ttsc.compiler.bounds.check import check_bounds
from ttsc.compiler.bounds.worst_case import unbounded
from ttsc.compiler.ir.build import build
from ttsc.compiler.ir.nodes import Program
from ttsc.compiler.semantics.check import check
from ttsc.driver import compile_file
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary

PROGRAMS = Path(__file__).parents[2] / "programs"
PROMPT = 'prompt solve(q: str) { user "{{ q }}" }\n'


def built(text: str) -> Program:
    checked = check(Source("t.tts", PROMPT + text), FileLibrary())
    return build(checked, checked.programs[0].name)


def bounds(text: str, **assumed: int) -> Bounds:
    """With a chat template that adds nothing, so that sizes are easy to follow."""
    return worst_case(built(text), turn_tokens=0, chat_tokens=0, reencoding=1, **assumed)


def body(statements: str, parameters: str = "q: str, n: int = 3 in 1..9", returns: str = "str") -> str:
    return f"program p({parameters}) -> {returns} {{\n{statements}\n}}"


VOTE = body("return solve(q) |> sample(n, max_tokens=10) |> vote(by=last_number)")
BEAMS = body(
    """var beams = [solve(q)]
    repeat n { beams = beams |> branch(4, max_tokens=8) |> keep(2, by=tokens) }
    return beams |> one |> text"""
)
GROWING = body(
    """var pool = [solve(q)]
    repeat n { pool = pool |> branch(2, max_tokens=8) }
    return pool |> one |> text"""
)
CHAIN = body(
    """var draft = q
    repeat n { draft = solve(draft) |> sample(1, max_tokens=8) |> one |> text }
    return draft"""
)
APPEND = body(
    """var notes = ""
    repeat n { notes = notes + (solve(notes) |> sample(1, max_tokens=8) |> one |> text) }
    return notes"""
)
EARLY = body("let a = solve(q) |> sample(n) |> vote(by=last_number)\nreturn solve(a) |> sample(2) |> vote(by=text)")
SIDES = body('if q == "" { return solve(q) |> sample(n, max_tokens=5) |> one |> text }\nreturn q')


@pytest.mark.parametrize(
    ("text", "quantity", "expected"),
    [
        (VOTE, "generations", "n"),
        (VOTE, "prefill", "tokens(q) * n"),
        (VOTE, "decode", "10 * n"),
        (BEAMS, "generations", "8 * n"),
        (BEAMS, "prefill", "8 * tokens(q) * n + 64 * n * (n - 1) / 2"),
        (GROWING, "decode", "16 * n * 2 ** n"),
        (CHAIN, "prefill", "n * max(tokens(q), 8)"),
        (APPEND, "prefill", "8 * n * (n - 1) / 2"),
        (SIDES, "generations", "n"),
    ],
)
def test_symbols(text: str, quantity: str, expected: str) -> None:
    assert bounds(text).to_json()[quantity] == {"policy": expected}


@pytest.mark.parametrize(
    ("text", "live"),
    [
        (VOTE, "n"),
        (BEAMS, "8"),
        (CHAIN, "1"),
        (body("let a = solve(q) |> sample(n)\nlet b = solve(q) |> sample(2)\nreturn (a + b) |> one |> text"), "n + 2"),
        # a judgement begins when its candidate has ended
        (body("return solve(q) |> sample(n) |> score(c => solve(c.text)) |> best(by=score) |> text"), "n"),
        # what a vote has stopped may still be in flight when the next step begins
        (EARLY, "n + 2"),
    ],
)  # fmt: skip
def test_in_flight(text: str, live: str) -> None:
    assert bounds(text).to_json()["live"] == live


def test_numbers_are_walked_through_round_by_round() -> None:
    """The first round of a beam search has one beam, which no closed form says."""
    found = bounds(BEAMS).at({"q": "1 2", "n": 3})
    assert found.generations == {"policy": 4 + 8 + 8}
    assert found.decode_tokens == 8 * 20
    assert found.prefill_tokens == 4 * 3 + 8 * (3 + 8) + 8 * (3 + 16)
    assert found.calls == 20
    assert bounds(VOTE).at().calls == 3, "parameters that are left out take their defaults"


def test_many_rounds_take_the_closed_form() -> None:
    text = body("var x = q\nrepeat 9000 { x = solve(x) |> sample(1, max_tokens=7) |> one |> text }\nreturn x")
    assert bounds(text).at({"q": "a"}).decode == {"policy": 63_000}


def test_texts_are_counted_as_bytes_or_as_asked() -> None:
    program = built(VOTE)
    plain = worst_case(program, turn_tokens=0, chat_tokens=0)
    words = worst_case(program, turn_tokens=0, chat_tokens=0, count_tokens=lambda text: len(text.split()))
    assert plain.at({"q": "drei Äpfel"}).prefill == {"policy": 3 * len("drei Äpfel".encode())}
    assert words.at({"q": "drei Äpfel"}).prefill == {"policy": 6}


def test_assumptions_about_models() -> None:
    first = "let a = solve(q) |> sample(1, max_tokens=10) |> one |> text"
    program = built(body(f"{first}\nreturn solve(a) |> sample(1) |> one |> text"))

    def prefill(turn_tokens: int = 0, chat_tokens: int = 0, reencoding: int = 1) -> int:
        assumed = worst_case(program, turn_tokens=turn_tokens, chat_tokens=chat_tokens, reencoding=reencoding)
        return assumed.at({}).prefill_tokens

    assert prefill() == 10
    assert prefill(reencoding=3) == 30
    assert prefill(turn_tokens=5) == 20
    assert prefill(chat_tokens=7) == 24


def test_texts_of_externs_are_symbols() -> None:
    text = "extern search(q: str) -> list[str, 3]\n" + body(
        "return search(q) |> each(d => solve(d) |> sample(1, max_tokens=2) |> one |> text) |> one"
    )
    found = bounds(text)
    assert found.to_json()["prefill"] == {"policy": "3 * tokens(search[])"}
    assert found.at({"tokens(search[])": 50}).prefill == {"policy": 150}
    assert found.at().prefill == {"policy": 3 * 4_000_000}, "unless told, the longest text that the language allows"
    assert found.at().externs == {"search": 1}


def test_lists_of_the_caller_are_symbols() -> None:
    text = body("return xs |> each(x => solve(x) |> sample(n) |> one |> text)", "xs: list[str], n: int", "list[str]")
    found = bounds(text)
    assert found.to_json()["generations"] == {"policy": "|xs| * n"}
    assert found.at({"xs": ["a", "bcd"], "n": 2}).prefill == {"policy": 2 * 2 * 3}


def test_other_models_encode_again() -> None:
    """What one model has generated is text to another."""
    text = "model policy, judge\n" + body(
        "return solve(q) |> sample(1, max_tokens=10) |> branch(1, max_tokens=1, model=judge) |> one |> text"
    )
    found = worst_case(built(text), turn_tokens=0, chat_tokens=0, reencoding=3).at({})
    assert found.prefill["judge"] == 30


def test_offline_counts_as_if_nothing_were_kept() -> None:
    text = body("offline let a = solve(q) |> sample(n) |> one |> text\nreturn a")
    assert bounds(text).at().calls == 3


def test_text_fits_the_page() -> None:
    for path in PROGRAMS.glob("*.tts"):
        for program in check_bounds(compile_file(path).checked):
            text = worst_case(program).text()
            assert text
            assert all(len(line) <= 100 for line in text.splitlines())


def test_nothing_is_asked() -> None:
    assert bounds(body("return q")).text() == "calls nothing"
    assert bounds(body("return q")).at().calls == 0


def test_errors_come_together_and_quickly() -> None:
    twice = "let a = solve(q) |> sample(f(q))\nreturn solve(q) |> sample(f(q)) |> one |> text"
    text = "extern f(q: str) -> int\n" + body(twice)
    with pytest.raises(CompileError) as raised:
        bounds(text)
    assert [d.code for d in raised.value.diagnostics] == ["E0421", "E0421"]
    assert list(map(str, unbounded(built(text)))) == list(map(str, raised.value.diagnostics))


def test_deep_loops_end() -> None:
    """Each level could double the work; it doesn't."""
    depth = 24
    loops = "repeat 2 { " * depth + "x = solve(x) |> sample(1) |> one |> text" + " }" * depth
    text = body(f"var x = q\n{loops}\nreturn x")
    assert bounds(text).at({"q": "a"}).calls == 2**depth


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "t.tts"
    path.write_text(PROMPT + VOTE, encoding="utf-8")
    return str(path)


def test_check_shows_bounds(file: str, output: Captured) -> None:
    assert run(["check", "--bounds", file]) == 0
    out = output()[0]
    assert "p, at most" in out
    assert "10 * n" in out
    assert run(["check", "--bounds", "--set", "n=5", file]) == 0
    out = output()[0]
    assert "with q=not given, n=5" in out
    assert "decode tokens   policy  50" in out


def test_check_shows_bounds_as_json(file: str, output: Captured) -> None:
    assert run(["check", "--bounds", "--json", "--set", "n=5", file]) == 0
    row = json.loads(output()[0])["bounds"]["p"]
    assert row["symbolic"]["decode"] == {"policy": "10 * n"}
    assert row["concrete"]["decode"] == {"policy": 50}


def test_check_refuses_wrong_settings(file: str, output: Captured) -> None:
    assert run(["check", "--bounds", "--set", "m=5", file]) == 2
    assert "unknown parameter 'm'" in output()[1]
    assert run(["check", "--bounds", "--set", "n=many", file]) == 2
    assert run(["check", "--bounds", "--set", "n", file]) == 2
    assert run(["check", "--set", "n=5", file]) == 2


def test_check_says_what_has_no_bound(tmp_path: Path, output: Captured) -> None:
    path = tmp_path / "t.tts"
    path.write_text(
        PROMPT + "extern f(q: str) -> int\nprogram p(q: str) -> list[Candidate] { return solve(q) |> sample(f(q)) }",
        encoding="utf-8",
    )
    assert run(["check", str(path)]) == 3
    err = output()[1]
    assert "error[E0421]: the count of `sample` has no bound" in err
    assert "what `f` returns may be any number" in err
    assert "clamp(x, 1, 8)" in err
    assert run(["run", str(path), "--set", "q=a"]) == 3
