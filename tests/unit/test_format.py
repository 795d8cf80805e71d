"""The one style, case by case, and `ttsc fmt`. What holds for any program is in `tests/property/test_format.py`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from cli_programs import Captured

from ttsc.cli import run
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.format import format_source

UGLY = "program p( q:str )->str{return q}\n"
PRETTY = "program p(q: str) -> str { return q }\n"


def body(*lines: str) -> str:
    return "\n".join(("program p(q: str) -> str {", *(f"    {line}" if line else "" for line in lines), "}", ""))


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("", ""),
        ("\n\n# only a comment\n\n", "# only a comment\n"),
        (UGLY, PRETTY),
        ("program p() -> str {\n\n\n}", "program p() -> str {}\n"),
        ("program p() -> str { # c\n}", "program p() -> str {  # c\n}\n"),
        ("program p() -> str {\n# c\n}", "program p() -> str {\n    # c\n}\n"),
        ("record R{a:int b:str?,}", "record R { a: int, b: str? }\n"),
        ("record R {\na:int in 0..10, # c\n\nb:str}", "record R {\n    a: int in 0..10  # c\n\n    b: str\n}\n"),
        ('prompt p(){user   "a"}', 'prompt p() { user "a" }\n'),
        ('prompt p(){system "a" user "b"}', 'prompt p() {\n    system "a"\n    user "b"\n}\n'),
        ("use a.b(c,d,)\nuse e (f)", "use a.b (c, d)\nuse e (f)\n"),
        ('model a,b="x"\n\n\n\nmodel c', 'model a, b = "x"\n\nmodel c\n'),
        ('"""A file."""\n"""D."""\nstore a:list[str,8]?', '"""A file."""\n\n"""D."""\nstore a: list[str, 8]?\n'),
        ("environment  extern f(a:int=-3 in[1,2,])->bool", "environment extern f(a: int = -3 in [1, 2]) -> bool\n"),
        ("function f(x:int)->int=- - x", "function f(x: int) -> int = --x\n"),
        ("function f(x:int)->int=(((x)))", "function f(x: int) -> int = (x)\n"),
        ("function f(x:int)->int=20k+1_000*0.50", "function f(x: int) -> int = 20k + 1_000 * 0.50\n"),
        (
            "program p()->str budget tokens<=20k,cost<=$0.05{return 1}",
            "program p() -> str budget tokens <= 20k, cost <= $0.05 { return 1 }\n",
        ),
        (
            'test "t"{model m "a"=>["b"] extern f( x )=1 store s=[] expect a(n=1)==2}',
            'test "t" {\n    model m "a" => ["b"]\n    extern f(x) = 1\n    store s = []\n    expect a(n=1) == 2\n}\n',
        ),
        ("\ufeffmodel a\r\nmodel b\r\n", "model a\nmodel b\n"),
    ],
)
def test_declarations(text: str, formatted: str) -> None:
    assert format_source(text) == formatted


@pytest.mark.parametrize(
    ("lines", "formatted"),
    [
        (["let   x:int=3 var y:str y=x y+=1"], ["let x: int = 3", "var y: str", "y = x", "y += 1"]),
        (["if a { return b }"], ["if a { return b }"]),
        (["if a { return b } else{return c}"], ["if a { return b } else { return c }"]),
        (["if a {", "return b }"], ["if a {", "    return b", "}"]),
        (["if a { let b = 1 return b }"], ["if a {", "    let b = 1", "    return b", "}"]),
        (["if a{ } else if b { }else{ }"], ["if a {} else if b {} else {}"]),
        (["for a,b in c{x=1}until d"], ["for a, b in c { x = 1 } until d"]),
        (["repeat 3{", "}", "until d"], ["repeat 3 {} until d"]),
        (["offline  let x=1"], ["offline let x = 1"]),
        (["return a|>b|>c(1)|>d"], ["return a |> b |> c(1) |> d"]),
        (["return a |> b(1) |> c(2) |> d(3)"], ["return a", "    |> b(1)", "    |> c(2)", "    |> d(3)"]),
        (["return a", "|> b"], ["return a", "    |> b"]),
        (["return f(a ,b=(x,y)=>x+y,c=[1,2,],)"], ["return f(a, b=(x, y) => x + y, c=[1, 2])"]),
        (["return a[ 0 ].b if not c else - d"], ["return a[0].b if not c else -d"]),
        (["let a = 1", "", "", "let b = 2"], ["let a = 1", "", "let b = 2"]),
        (["", "let a = 1", ""], ["let a = 1"]),
        (["let a = 1 # one", "# two", "", "# three", "let b = 2"], None),
    ],
)
def test_statements(lines: list[str], formatted: list[str] | None) -> None:
    expected = ["let a = 1  # one", "# two", "", "# three", "let b = 2"] if formatted is None else formatted
    text = "program p(q: str) -> str {\n" + "\n".join(lines) + "\n}\n"
    assert format_source(text) == body(*expected)


def test_long_lines_are_broken_at_the_outermost_brackets() -> None:
    name = "a_rather_long_name_" * 2
    text = body(f"return f({name}1, {name}2, g({name}3, 4))")
    assert format_source(text) == body("return f(", f"    {name}1,", f"    {name}2,", f"    g({name}3, 4),", ")")
    long = body(f"return {name}1 + {name}2 * 3 - {name}4")
    assert format_source(long) == body(f"return {name}1", f"    + {name}2 * 3", f"    - {name}4")


def test_a_single_stage_is_broken_within_if_no_line_holds_it() -> None:
    name = "a_rather_long_name_" * 2
    assert format_source(body(f"return xs |> f({name}, {name}, {name})")) == body(
        "return xs |> f(", f"    {name},", f"    {name},", f"    {name},", ")"
    )
    assert format_source(body(f"let x = {name} |> f({name}, {name})")) == body(
        f"let x = {name}", f"    |> f({name}, {name})"
    )


def test_a_long_header_has_a_line_for_each_parameter() -> None:
    parameters = [f"parameter_number_{i}: str" for i in range(5)]
    text = f"program p({', '.join(parameters)}) -> str {{\n    return 1\n}}\n"
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    assert format_source(text) == f"program p(\n{lines}) -> str {{\n    return 1\n}}\n"


def test_comments_stay_between_stages_and_arguments() -> None:
    text = body(
        "return f(  # a", "    # b", "    x,  # c", "    y,", "    # d", ")", "    # e", "    |> g  # f", "    |> h"
    )
    assert format_source(text) == text


def test_a_comment_within_a_line_ends_it() -> None:
    text = body("let x = # a", "1 + # b", "2")
    assert format_source(text) == body("let x =  # a", "    1", "    +  # b", "        2")


def test_texts_of_several_lines_stay_as_they_are() -> None:
    text = 'prompt p() {\n    user """\n  first\n        second\n\n"""\n}\n'
    assert format_source(text) == text
    assert format_source(text.replace("\n", "\r\n")) == text


def test_a_text_with_errors_is_refused() -> None:
    with pytest.raises(CompileError):
        format_source("program p( {")


# --- ttsc fmt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ugly.tts").write_text(UGLY, encoding="utf-8")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pretty.tts").write_text(PRETTY, encoding="utf-8")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "ugly.tts").write_text(UGLY, encoding="utf-8")
    return tmp_path


def test_fmt_writes_what_differs(folder: Path, output: Captured) -> None:
    ugly, pretty = folder / "ugly.tts", folder / "lib" / "pretty.tts"
    ugly.chmod(0o640)
    before = pretty.stat().st_mtime_ns
    assert run(["fmt", str(folder)]) == 0
    assert output() == ("", "1 of 2 files changed\n")
    assert ugly.read_text(encoding="utf-8") == PRETTY
    assert ugly.stat().st_mode & 0o777 == 0o640
    assert pretty.stat().st_mtime_ns == before
    assert (folder / ".hidden" / "ugly.tts").read_text(encoding="utf-8") == UGLY
    assert sorted(path.name for path in folder.iterdir()) == [".hidden", "lib", "ugly.tts"], "nothing is left behind"
    assert run(["fmt", str(folder)]) == 0
    assert output() == ("", "2 files, all formatted\n")


def test_fmt_check_and_diff_write_nothing(folder: Path, output: Captured) -> None:
    ugly = folder / "ugly.tts"
    assert run(["fmt", "--check", str(folder)]) == 1
    assert output() == ("", f"{ugly}: not formatted\n1 of 2 files would change\n")
    assert run(["fmt", "--diff", str(ugly)]) == 0
    shown, _ = output()
    assert f"-{UGLY}+{PRETTY}" in shown
    assert run(["fmt", "--check", "--diff", str(ugly)]) == 1
    assert ugly.read_text(encoding="utf-8") == UGLY
    assert run(["fmt", "--check", str(folder / "lib")]) == 0


def test_fmt_of_standard_input(monkeypatch: pytest.MonkeyPatch, output: Captured) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(UGLY.encode())))
    assert run(["fmt", "-"]) == 0
    assert output() == (PRETTY, "")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert run(["fmt", "-"]) == 2


def test_fmt_leaves_files_with_errors(folder: Path, output: Captured) -> None:
    wrong = folder / "wrong.tts"
    wrong.write_text("program p( {", encoding="utf-8")
    assert run(["fmt", str(folder)]) == 3
    _, shown = output()
    assert "E01" in shown and str(wrong) in shown
    assert wrong.read_text(encoding="utf-8") == "program p( {"
    assert (folder / "ugly.tts").read_text(encoding="utf-8") == PRETTY, "the others are formatted"


def test_fmt_names_what_it_cannot_read(folder: Path, output: Captured) -> None:
    (folder / "empty").mkdir()
    assert run(["fmt", str(folder / "none.tts")]) == 2
    assert run(["fmt", str(folder / "empty")]) == 2
    assert output()[1].count("E0509") == 2


def test_fmt_keeps_a_link_a_link(folder: Path) -> None:
    link = folder / "link.tts"
    link.symlink_to(folder / "ugly.tts")
    assert run(["fmt", str(link)]) == 0
    assert link.is_symlink()
    assert (folder / "ugly.tts").read_text(encoding="utf-8") == PRETTY


def test_fmt_says_when_it_cannot_write(folder: Path, output: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    assert run(["fmt", str(folder / "ugly.tts")]) == 2
    assert "E0505" in output()[1]
    assert (folder / "ugly.tts").read_text(encoding="utf-8") == UGLY
    assert sorted(path.name for path in folder.iterdir()) == [".hidden", "lib", "ugly.tts"], "nothing is left behind"
