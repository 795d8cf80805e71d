"""The one renderer: excerpts, underlines, wide characters, what a terminal must not see, JSON, did-you-mean."""

from __future__ import annotations

import json

import pytest

from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.render import render, render_all, to_json
from ttsc.grammar.source import NOWHERE, Source, Span
from ttsc.grammar.spelling import did_you_mean, distance, suggest


def error(text: str, start: int, end: int, **parts: object) -> Diagnostic:
    return Diagnostic("E0203", "unknown step 'genrate'", Span(Source("programs/vote.tts", text), start, end), **parts)  # type: ignore[arg-type]


def underlined(text: str, start: int, end: int) -> tuple[str, str]:
    """The line and the underline, as shown."""
    lines = render(error(text, start, end)).split("\n")
    return lines[3][4:], lines[4][4:]


def test_whole_shape() -> None:
    diagnostic = error("x\n    genrate 4\n", 6, 13, label="not a step", hint="did you mean 'generate'?", notes=("one",))
    assert render(diagnostic) == (
        "error[E0203]: unknown step 'genrate'\n"
        " --> programs/vote.tts:2:5\n"
        "  |\n"
        "2 |     genrate 4\n"
        "  |     ^^^^^^^ not a step\n"
        "hint: did you mean 'generate'?\n"
        "note: one"
    )


def test_gutter_is_as_wide_as_the_line_number() -> None:
    lines = render(error("\n" * 99 + "abc", 99, 102)).split("\n")
    assert lines[1:] == ["   --> programs/vote.tts:100:1", "    |", "100 | abc", "    | ^^^"]


def test_tabs_stay_tabs() -> None:
    assert underlined("\tgen\trate x", 1, 9) == ("\tgen\trate x", "\t^^^\t^^^^")
    assert underlined("a\tb", 1, 2) == ("a\tb", " ^")


@pytest.mark.parametrize(
    ("text", "start", "end", "marks"),
    [
        ("日本語 x", 0, 3, "^^^^^^"),
        ("日本語 x", 4, 5, "       ^"),
        ("e\u0301x", 2, 3, " ^"),
        ("x", 1, 1, " ^"),
        ("", 0, 0, "^"),
    ],
)
def test_cells(text: str, start: int, end: int, marks: str) -> None:
    assert underlined(text, start, end)[1] == marks


def test_range_of_several_lines() -> None:
    shown = render(error("ab cd\nef", 3, 8))
    assert "1 | ab cd\n  |    ^^\n" in shown
    assert shown.endswith("note: it goes on to line 2, column 2")


def test_nothing_acts_on_the_terminal() -> None:
    source = Source("a\x1b[2J.tts", "x \x1b[31m \u202e y\x07")
    shown = render(Diagnostic("E0101", "a\x1b[0m\nb", Span(source, 2, 3), "l\x9b", "h\r", ("n\x00",)))
    assert not set(shown) & set("\x1b\x07\x9b\x00\r\u202e")
    assert "<U+001B>" in shown and shown.count("\n") == 6
    assert render(error("abc\r\n", 0, 3)).count("\r") == 0


def test_long_lines_are_cut_around_the_range() -> None:
    line, marks = underlined("a" * 5000 + "HERE" + "b" * 5000, 5000, 5004)
    assert len(line) < 200
    assert line[marks.index("^") : marks.rindex("^") + 1] == "HERE"


def test_color_changes_nothing_but_color() -> None:
    import re

    diagnostic = error("x\n    genrate 4\n", 6, 13, label="not a step", hint="h", notes=("n",))
    colored = render(diagnostic, color=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(diagnostic)
    assert colored.count("\x1b[0m") > 5


def test_no_place() -> None:
    assert render(Diagnostic("E0501", "no model", NOWHERE, hint="name one")) == "error[E0501]: no model\nhint: name one"


def test_warnings_and_several() -> None:
    warning = Diagnostic("W0201", "unused", Span(Source("a", "b"), 0, 1), severity="warning")
    assert render(warning).startswith("warning[W0201]: unused")
    assert render_all([warning, warning]) == render(warning) + "\n\n" + render(warning)


def test_json() -> None:
    diagnostic = error("x\n    genrate 4\n", 6, 13, label="l", hint="h", notes=("n",))
    assert json.loads(json.dumps(to_json(diagnostic))) == {
        "code": "E0203",
        "severity": "error",
        "message": "unknown step 'genrate'",
        "file": "programs/vote.tts",
        "start": {"line": 2, "column": 5, "offset": 6},
        "end": {"line": 2, "column": 12, "offset": 13},
        "label": "l",
        "hint": "h",
        "notes": ["n"],
    }


@pytest.mark.parametrize(
    ("name", "candidates", "found"),
    [
        ("smaple", ["sample", "simple", "score"], ("sample", "simple")),
        ("retrun", ["return", "repeat"], ("return",)),
        ("Sample", ["sample"], ("sample",)),
        ("temp", ["temperature", "top_p"], ("temperature",)),
        ("x", ["y", "z"], ()),
        ("n", ["n"], ()),
        ("abcdef", ["uvwxyz"], ()),
        ("aaa", ["aab", "aac", "aad", "aae"], ("aab", "aac", "aad")),
        ("", ["a"], ()),
    ],
)
def test_suggest(name: str, candidates: list[str], found: tuple[str, ...]) -> None:
    assert suggest(name, candidates) == found


def test_did_you_mean() -> None:
    assert did_you_mean("smaple", ["sample"]) == "did you mean 'sample'?"
    assert did_you_mean("aaa", ["aab", "aac", "aad"]) == "did you mean 'aab', 'aac' or 'aad'?"
    assert did_you_mean("aaa", ["aab", "aac"]) == "did you mean 'aab' or 'aac'?"
    assert did_you_mean("unknown", ["sample"]) == ""


def test_distance() -> None:
    assert distance("abc", "abc", 3) == 0
    assert distance("abc", "acb", 3) == 1
    assert distance("kitten", "sitting", 3) == 3
    assert distance("kitten", "sitting", 2) == 3
