"""Partial evaluation for users: `program.specialize`, `ttsc dump --set`, and what `ttsc run --set` compiles in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_programs import Captured

import ttsc
from ttsc.backends.scripted import ScriptedEngine
from ttsc.cli import run as main
from ttsc.cli.run_inputs import specialized
from ttsc.compiler.ir.nodes import Parameter, Program
from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.ir.reader import read
from ttsc.errors import InputError

WORDS = """
prompt solve(question: str, words: list[str]) { user "{{ question }} {% for w in words %}[{{ w }}]{% endfor %}" }
program vote_on(question: str, words: list[str] = ["a"], n: int = 5 in 1..16, warmth: float = 0.7) -> str {
    if n > 4 { return solve(question, words) |> sample(n, max_tokens=8, temperature=warmth) |> vote(by=text) }
    return solve(question, words) |> sample(n, max_tokens=4) |> one |> text
}
"""
UNKNOWN = """
prompt describe(picture: Image) { user "{{ picture }} What is it?" }
record Note { text: str }
program look(picture: Image, note: Note, oracle gold: str, many: list[Note]) -> bool {
    return (describe(picture) |> sample(1, max_tokens=8) |> one |> text) == gold + note.text
}
"""


def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, seed, sampling: f"{prompt} {seed % 3}")


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("known", [{"n": 3}, {"words": ["x", "y"], "warmth": 1}, {"question": "why", "n": 6}])
def test_the_value_is_the_same(known: dict[str, Any], level: ttsc.Level) -> None:
    program = ttsc.compile(WORDS, level=level)
    special = program.specialize(known)
    given = {"question": "q", **known}
    rest = {name: value for name, value in given.items() if name not in known}
    for seed in range(3):
        expected = program.run(given, engine=engine(), seed=seed).value
        assert special.run(rest, engine=engine(), seed=seed).value == expected
        assert special.run(given, engine=engine(), seed=seed).value == expected, "the same value may be given again"


def test_what_is_known_is_computed_now() -> None:
    text = print_program(ttsc.compile(WORDS).specialize(n=3, question="why", words=["x"]).ir)
    assert 'user literal "why [x]"' in text and "select vote" not in text and " if " not in text
    assert "%n: int = 3 known in 1..16" in text and "%warmth: float = 0.7)" in text
    assert print_program(read(text)) == text


def test_no_other_value_may_be_given() -> None:
    program = ttsc.compile(WORDS).specialize(n=3)
    with pytest.raises(InputError) as caught:
        program.run(question="q", n=4, engine=engine())
    assert caught.value.problems[0].code == "E0504"
    assert caught.value.problems[0].message == "parameter 'n' is 4, but the program was compiled for 3"
    again = program.specialize(words=["z"])
    assert again.check_input({"question": "q"})["words"] == ("z",) and again.check_input({"question": "q"})["n"] == 3
    with pytest.raises(InputError):
        program.specialize(n=4)


@pytest.mark.parametrize(
    ("known", "code", "message"),
    [
        ({"n": 17}, "E0504", "parameter 'n' is 17, outside of 1..16"),
        ({"n": "x"}, "E0503", "parameter 'n' must be an int"),
        ({"m": 1}, "E0502", "unknown parameter 'm'"),
    ],
)
def test_values_are_checked(known: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        ttsc.compile(WORDS).specialize(known)
    assert caught.value.problems[0].code == code and message in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 8, "is an Image, which can't be compiled in"),
        ("note", {"text": "a"}, "is a Note, which can't be compiled in"),
        ("many", [{"text": "a"}], "is a list[Note], which can't be compiled in"),
        ("gold", "yes", "is an oracle, whose value belongs to one input"),
    ],
)
def test_what_is_no_constant_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        ttsc.compile(UNKNOWN).specialize({name: value})
    assert caught.value.problems[0].message == f"parameter '{name}' {message}"


def known(program: Program) -> dict[str, Any]:
    return {each.name: each.default for each in program.parameters if each.known}


def test_run_compiles_in_what_holds_for_all_inputs() -> None:
    program = ttsc.compile(WORDS)
    rows = [program.check_input({"question": "q", "n": n, "words": ["v"]}) for n in (3, 6)]
    assert known(specialized(program, ("words=[]", "n=3"), rows).ir) == {"words": ("v",)}
    assert known(specialized(program, ("n=3",), rows[:1]).ir) == {"n": 3}
    assert specialized(program, (), rows) is program
    assert specialized(program, ("n=3",), rows) is program
    oracle: Parameter = ttsc.compile(UNKNOWN).parameters[2]
    assert oracle.oracle and not known(ttsc.compile(UNKNOWN).ir)


def test_dump_shows_the_program_for_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "words.tts"
    file.write_text(WORDS)
    shown: Captured = capsys.readouterr
    assert main(["dump", str(file), "--set", "n=3", "--stage", "ir-opt"]) == 0
    assert "known" in shown()[0]
    assert main(["dump", str(file), "--set", "n=3"]) == 0
    assert "select vote" not in shown()[0]
    assert main(["dump", str(file), "--set", "n=30"]) == 2
    assert "error[E0504]" in shown()[1]
    assert main(["dump", str(file), "--set", "n=3", "--stage", "typed"]) == 2
    assert "can't go with --stage typed" in shown()[1]
