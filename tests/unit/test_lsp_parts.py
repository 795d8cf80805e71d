"""The parts of the language server that need no editor: places, names, what a cursor is in, trees of broken texts."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lsp_session import analysed, split
from lsprotocol import types

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS, Spec
from ttsc.grammar import ast
from ttsc.grammar.parser import parse
from ttsc.grammar.partial import parse_partly
from ttsc.grammar.source import Source
from ttsc.lsp import signatures
from ttsc.lsp.actions import actions
from ttsc.lsp.completion import complete
from ttsc.lsp.completion_place import place_at
from ttsc.lsp.documents import Documents
from ttsc.lsp.positions import Lines, changed
from ttsc.lsp.signature_help import signature_help
from ttsc.lsp.walk import walk

ROOT = Path(__file__).resolve().parents[2]
TEXTS = st.text(alphabet="ab😀é\n\r\u2028\f ", max_size=40)
ENCODINGS = st.sampled_from(["utf-8", "utf-16", "utf-32"])


# --- places


@given(TEXTS, ENCODINGS, st.data())
def test_places_and_back(text: str, encoding: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    lines = Lines(text, encoding)
    between = text[:offset].endswith("\r") and text[offset:].startswith("\n")
    assert lines.offset(lines.position(offset)) == (offset - 1 if between else offset)


@given(TEXTS, TEXTS, ENCODINGS, st.data())
@example("a\u2028b\nc", "x", "utf-16", None)
def test_an_edit_changes_what_it_says(text: str, new: str, encoding: str, data: st.DataObject | None) -> None:
    start = 2 if data is None else data.draw(st.integers(0, len(text)))
    end = 5 if data is None else data.draw(st.integers(start, len(text)))
    lines = Lines(text, encoding)
    start, end = lines.offset(lines.position(start)), lines.offset(lines.position(end))
    change = types.TextDocumentContentChangePartial(text=new, range=lines.range(start, end))
    assert changed(text, change, encoding) == text[:start] + new + text[end:]


def test_places_outside_are_the_nearest_inside() -> None:
    lines = Lines("a😀\nb")
    assert lines.offset(types.Position(0, 99)) == 2
    assert lines.offset(types.Position(9, 0)) == 4
    assert lines.offset(types.Position(0, 2)) == 1, "in the middle of a character"


# --- trees of broken texts


def stand_ins(node: Any) -> list[Any]:
    """Names without letters where no expression stands."""
    listed = [d for d in walk(node) if isinstance(d, ast.Module | ast.Program | ast.If | ast.Repeat | ast.Prompt)]
    parts = [part for owner in listed for f in fields(owner) for part in _tuple(getattr(owner, f.name))]
    return [part for part in parts if isinstance(part, ast.Name) and not part.id]


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else ()


BROKEN = [
    "program p(q: str) -> str { let x = = 1  let y = q return y }",
    'prompt f( { user "x" } program p() -> str { return "" }',
    "prompt f() { user } record R { a: , b: int } program p() -> list[ { if { return 1 } return 2 }",
    "program p() -> str { return f(, }\nmodel a, , b",
    'use std.answers boxed) program p() -> str? { return boxed("") }',
    "}}} program p() -> str { for in { } repeat { } return",
]


@pytest.mark.parametrize("text", BROKEN)
def test_the_tree_of_a_broken_text_holds_what_could_be_read(text: str) -> None:
    tree, diagnostics, _ = parse_partly(Source("<text>", text))
    assert diagnostics
    if tree is not None:
        assert not stand_ins(tree)
        assert all(node.span.source.text == text for node in walk(tree) if is_dataclass(node))
    analysed(text)  # nothing is raised


def test_a_right_text_has_the_same_tree_both_ways() -> None:
    for file in sorted((ROOT / "programs").glob("*.tts")):
        source = Source(str(file), file.read_text(encoding="utf-8"))
        assert parse_partly(source)[:2] == (parse(source), ())


def test_what_is_right_beside_an_error_is_known() -> None:
    analysis = analysed("program p(q: str) -> str { let x = length(q)  let y = 2 = 3  return to_str(x) }")
    (x,) = [d for d in analysis.names.definitions if d.name == "x"]
    symbol = analysis.index.symbol(x.span)
    assert symbol is not None and str(symbol.type) == "int"
    assert len(analysis.names.of(x)) == 2


# --- the cursor


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("‸", "declaration"),
        ("use std.answers (boxed)\npro‸", "declaration"),
        ("use ‸", "use path"),
        ("use std.‸", "use path"),
        ("use std.answers (bo‸", "use names"),
        ("use std.answers (boxed) for ‸", "use path"),
        ("use std.answers (boxed) for std.ta‸", "use path"),
        ("use std.answers (boxed, ‸)", "use names"),
        ("program ‸", "nothing"),
        ("program p(q: ‸) -> str { }", "type"),
        ("program p(q: list[‸]) -> str { }", "type"),
        ("program p(q: str, ‸) -> str { }", "parameter"),
        ("program p(q: str) -> ‸", "type"),
        ("prompt f() { ‸ }", "turn"),
        ('prompt f() { system "x" us‸ }', "turn"),
        ("record R { ‸ }", "nothing"),
        ("record R { a: ‸ }", "type"),
        ("program p() -> str { ‸ }", "statement"),
        ("program p() -> str { let x = 1\n ret‸", "statement"),
        ("program p() -> str { let x‸", "nothing"),
        ("program p() -> str { let x = ‸", "expression"),
        ("program p() -> str { return f(‸", "argument"),
        ("program p() -> str { return f(a, b=1, ‸)", "argument"),
        ("program p() -> str { return f(a, b=‸)", "value"),
        ("program p() -> str { return f(a + ‸)", "expression"),
        ("program p() -> str { return x |> ‸", "stage"),
        ("program p() -> str { return x |> vo‸te(by=boxed)", "stage"),
        ("program p() -> str { return x.‸", "member"),
        ("program p() -> str { return xs |> each(x => ‸)", "expression"),
        ("program p() -> str { return [‸]", "expression"),
        ('test "x" { ‸ }', "test item"),
        ('test "x" { expect ‸ }', "test expression"),
        ("program p(q: str) -> str budget ‸", "budget"),
        ("program p(q: str) -> str budget tokens <= 20k, ‸ { }", "budget"),
        ("model a, ‸", "nothing"),
        ("# comm‸ent", "nothing"),
        ('function f() -> str = "te‸xt"', "nothing"),
        ("function f() -> str = ‸", "expression"),
        ("program p() -> str { return 12‸ }", "nothing"),
    ],
)
def test_what_a_cursor_is_in(text: str, kind: str) -> None:
    place = place_at(*split(text))
    assert place.kind == kind


def test_the_call_around_a_cursor() -> None:
    place = place_at(*split("program p() -> str { return xs |> vote(by=f(a, x=1), ties=‸, otherwise=2)"))
    assert (place.callee, place.name, place.piped) == ("vote", "ties", True)
    assert place.given == {"by", "ties", "otherwise"}


@pytest.mark.parametrize(
    ("text", "label", "active"),
    [
        ("program p(c: Context) -> str { return c |> sample(‸)", "sample(n: int, temperature", "n"),
        ("program p(c: Context) -> str { return c |> sample(4, top_p=‸)", "sample(n: int, temperature", "top_p"),
        ("program p(c: Context) -> str { return sample(c, ‸)", "sample(n: int, temperature", "n"),
        ("extern e(a: str, b: int) -> str\nprogram p(q: str) -> str { return e(f(q, 1), ‸)", "e(a: str, b: int)", "b"),
        ("extern e(a: str, b: int) -> str\nprogram p(q: str) -> str { return q |> e(‸)", "e(a: str, b: int)", "b"),
        ("record R { a: str, b: int }\nprogram p(q: str) -> R { return R(b=‸)", "R(a: str, b: int)", "b"),
        ("program p(q: str) -> str { return replace(q, ‸", "replace(str, str, str) -> str", None),
    ],
)
def test_the_arguments_of_the_call_around_a_cursor(text: str, label: str, active: str | None) -> None:
    text, at = split(text)
    found = signature_help(Documents().open("untitled:x", text, 1), at)
    assert found is not None and found.signatures[0].label.startswith(label)
    parameters = found.signatures[0].parameters or []
    if active is None:
        assert found.active_parameter is None
    else:
        assert found.active_parameter is not None
        assert str(parameters[found.active_parameter].label).startswith(active)


def test_what_other_programs_do_is_not_read() -> None:
    text = "program a() -> str { if x { return y } return z }\nmodel m\nprogram b() -> str { let q = 1  return ‸ }\n"
    text += 'test "t" { expect a() == "" }'
    place = place_at(*split(text))
    assert place.marked == (
        'program a() -> str {}\nmodel m\nprogram b() -> str { let q = 1  return zz_cursor_zz }\ntest "t" {}'
    )
    assert place.marked[place.at :].startswith("zz_cursor_zz")


@pytest.mark.parametrize(
    "text",
    [
        'prompt f(q: str, r: str) { user "{{ ‸ }}" }',
        'prompt f(q: str, r: str) { user "{{ q }} {% if ‸ %}{% endif %}" }',
        'prompt f(q: str, r: str) {\n    user "{{ ‸\n}',
        'prompt f(q: str, r: str) {\n    user """\n        {{ ‸\n',
    ],
)
def test_a_template_knows_its_parameters(text: str) -> None:
    text, at = split(text)
    assert [item.label for item in complete(Documents().open("untitled:x", text, 1), at)] == ["q", "r"]


def test_the_text_of_a_template_is_left_alone() -> None:
    text, at = split('prompt f(q: str) { user "{{ q }} te‸xt" }')
    assert complete(Documents().open("untitled:x", text, 1), at) == []


# --- what is open


def test_an_open_text_counts_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.tts").write_text("function f() -> int = 1", encoding="utf-8")
    documents = Documents()
    user = documents.open((tmp_path / "main.tts").as_uri(), "use other (g)\nfunction h() -> int = g()", 1)
    assert [d.code for d in user.analysis.diagnostics] == ["E0206"]
    other = documents.open((tmp_path / "other.tts").as_uri(), "function g() -> int = 1", 1)
    assert documents.users(other) == [user]
    user.forget()
    assert user.analysis.diagnostics == ()


def test_a_used_file_that_can_not_be_read_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "other.tts").write_bytes(b"\xff\xfe")
    user = Documents().open((tmp_path / "main.tts").as_uri(), "use other (g)", 1)
    assert [d.code for d in user.analysis.diagnostics] == ["E0205"]


def test_without_the_extra_the_command_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pygls'] = sys.modules['lsprotocol'] = None\nfrom ttsc.cli import main; main(['lsp'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "E0519" in done.stderr and "pip install 'ttsc[lsp]'" in done.stderr


# --- what is said


@pytest.mark.parametrize("spec", OPERATORS.values(), ids=lambda spec: spec.name)
def test_every_operator_can_be_shown(spec: Spec) -> None:
    shown = signatures.operator(spec) + signatures.operator_doc(spec)
    assert not re.search(r"[A-Z]\w+\([a-z]\w*=", shown), "the inside of a table"
    for p in spec.parameters:
        assert p.doc, f"{p.name} of {spec.name} has no meaning"
        assert f"`{signatures.argument(p)}` {p.doc}" in shown


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_can_be_shown(name: str) -> None:
    assert signatures.function(name, FUNCTIONS[name]).startswith(f"{name}(")
    assert signatures.function_doc(FUNCTIONS[name])


@pytest.mark.parametrize(
    ("text", "title", "result"),
    [
        (
            "program p(q: str) -> str? { return boxed(q) }",
            "Add 'use std.answers (boxed)'",
            "use std.answers (boxed)\n\nprogram p(q: str) -> str? { return boxed(q) }",
        ),
        (
            "use std.answers (number)\nprogram p(q: str) -> str? { return boxed(q) }",
            "Add 'use std.answers (boxed)'",
            "use std.answers (number)\nuse std.answers (boxed)\nprogram p(q: str) -> str? { return boxed(q) }",
        ),
        (
            "program p(q: str) -> bool { return q == q && true }",
            "Change to 'and'",
            "program p(q: str) -> bool { return q == q and true }",
        ),
        ("program p() -> bool { return True }", "Change to 'true'", "program p() -> bool { return true }"),
        ("function f(x: colour) -> int = 1", "", "function f(x: colour) -> int = 1"),
    ],
)
def test_fixes(text: str, title: str, result: str) -> None:
    document = Documents().open("untitled:x", text, 1)
    found = actions(document, 0, len(text))
    assert [action.title for action in found] == ([title] if title else [])
    for action in found:
        assert action.edit is not None and action.edit.changes is not None
        (edit,) = action.edit.changes["untitled:x"]
        start, end = document.lines.offset(edit.range.start), document.lines.offset(edit.range.end)
        text = text[:start] + edit.new_text + text[end:]
    assert text == result
