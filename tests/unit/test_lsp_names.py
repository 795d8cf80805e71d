"""Names, for the language server: what each stands for, what is said about it, how it is renamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsp_session import analysed, split

from ttsc.grammar.build import ROLES
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary
from ttsc.lsp.analysis import analyze
from ttsc.lsp.definition import definition, references
from ttsc.lsp.hover import hover
from ttsc.lsp.rename import RenameRefused, rename
from ttsc.lsp.template_names import names_in

ROOT = Path(__file__).resolve().parents[2]

EVERYTHING = """use std.answers (boxed)

model policy, prm

record Step { text: str, grade: int in 0..10, note: str? }
store lessons: Step
environment extern act(x: str) -> str
oracle extern correct(x: str) -> bool

prompt solve(question: str) { user "{{ question }}" }

program elect(question: str, oracle gold: str, n: int = 4 in 1..8) -> str {
    offline let notes = solve(question) |> sample(1) |> one |> text
    var steps: list[Step]
    steps = [Step(text=notes, grade=3)]
    for step in steps {
        lessons += step
        steps += [Step(step.text, step.grade, note=none)]
    } until length(steps) > 3
    for a, b in zip(steps, steps) { steps += [a, b] }
    let high = steps |> filter(grade > 5)
    let pool = solve(question) |> sample(n) |> score(prm) |> keep(2, by=[finished, -tokens])
    let found = act(gold)
    if correct(found) { return found }
    return pool |> vote(by=boxed)
}

program twice(question: str) -> str budget tokens <= 20k, latency <= 30s { return elect(question, gold="x", n=2) }

test "title" {
    model policy "2" => ["\\\\boxed{4}", "\\\\boxed{5}"]
    model prm => 0.7
    extern act(x) = x + "!"
    extern correct(x) = true
    store lessons = []
    let answer = twice("2 + 2?")
    expect answer == "x!"
    expect calls <= 3
}
"""
"""Every construct that defines or reads a name."""


def test_every_name_of_every_construct_is_known() -> None:
    analysis = analysed(EVERYTHING)
    assert analysis.diagnostics == ()
    known = {o.span.start for o in analysis.names.occurrences}
    words = {"tokens", "latency", "calls"}  # of a budget and of a test
    for token in analysis.tokens:
        if token.kind == "NAME" and token.text not in {*ROLES, "list", "std", "answers"}:
            before = EVERYTHING[: token.start].rsplit(maxsplit=1)[-1]
            if token.text in words and before in {"budget", "expect", "30s", "20k,"}:
                continue
            assert token.start in known, token


@pytest.mark.parametrize(
    "name",
    ["policy", "Step", "grade", "lessons", "act", "solve", "elect", "gold", "notes", "steps", "step", "a", "answer"],
)
def test_a_renaming_of_anything_leaves_a_right_program(name: str) -> None:
    analysis = analysed(EVERYTHING)
    (first, *_) = [d for d in analysis.names.definitions if d.name == name]
    text = EVERYTHING
    places = rename(analysis, first.span.start, "other", FileLibrary())
    for span in sorted(places, key=lambda span: span.start, reverse=True):
        text = text[: span.start] + "other" + text[span.end :]
    after = analysed(text)
    assert after.diagnostics == ()
    assert len(places) > 1 and len(after.names.occurrences) == len(analysis.names.occurrences)


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ("steps {", "var steps: list[Step]"),
        ("step.text", "step: Step"),
        ("grade > 5", "grade: int in 0..10"),
        ("tokens])", "tokens: int"),
        ("notes, grade", "offline let notes: str"),
        ("lessons +=", "store lessons: Step"),
        ("act(gold)", "environment extern act(x: str) -> str"),
        ("gold)\n", "oracle gold: str"),
        ("gold)\n", "Known in evaluation only"),
        ("twice(question", "It changes its environment, calls externs, knows the answer"),
        ("twice(question", "generations"),
        ("answer ==", "let answer: str"),
        ("Step(text", "record Step { text: str, grade: int in 0..10, note: str? }"),
    ],
)
def test_hover(mark: str, shown: str) -> None:
    analysis = analysed(EVERYTHING)
    found = hover(analysis, EVERYTHING.index(mark))
    assert found is not None and shown in found[0]


def test_a_narrowed_value_has_its_type_where_it_is_read() -> None:
    text = 'program p(q: str?) -> str { let x = q  if x == none { return "" }  return x }'
    analysis = analysed(text)
    assert [hover(analysis, text.index(mark))[0] for mark in ("x =", "x ==", "x }")] == [  # type: ignore[index]
        "```tts\nlet x: str?\n```",
        "```tts\nlet x: str?\n```",
        "```tts\nlet x: str\n```",
    ]


def test_the_task_of_a_use_leads_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.tts").write_text('"""My task."""\nprompt solve(question: str) { user "{{ question }}" }\n')
    text = (
        "use std.self_consistency (self_consistency) for mine\nprogram p(q: str) -> str? { return self_consistency(q) }"
    )
    analysis = analyze(Source(str(tmp_path / "main.tts"), text), FileLibrary(tmp_path))
    assert not analysis.diagnostics
    for name, path in (("mine", str(tmp_path / "mine.tts")), ("std.self_consistency", "std:self_consistency")):
        found = definition(analysis, text.index(name))
        assert found is not None and found.source.path == path
    used = definition(analysis, text.index("self_consistency)"))
    assert used is not None and used.source.path == "std:self_consistency"


@pytest.mark.parametrize("file", sorted((ROOT / "programs").rglob("*.tts")), ids=lambda file: file.stem)
def test_every_definition_of_a_program_leads_to_itself(file: Path) -> None:
    source = Source(str(file), file.read_text(encoding="utf-8"))
    analysis = analyze(source, FileLibrary(file.parent))
    assert not [d for d in analysis.diagnostics if d.severity == "error"]
    assert analysis.names.definitions
    for d in analysis.names.definitions:
        assert definition(analysis, d.span.start) == d.span
        assert all(o.text == d.name for o in references(analysis, d.span.start))


@pytest.mark.parametrize(
    ("text", "new", "result"),
    [
        (
            "function f(x: int) -> int = x + x\nprogram p(x: int) -> int { return f(x‸) }",
            "y",
            "function f(x: int) -> int = x + x\nprogram p(y: int) -> int { return f(y) }",
        ),
        (
            "program p(xs: list[int]) -> list[int] { let ys = xs |> each(x => x‸ + 1)  return xs |> each(x => x) }",
            "it",
            "program p(xs: list[int]) -> list[int] { let ys = xs |> each(it => it + 1)  return xs |> each(x => x) }",
        ),
        (
            "prompt f(a‸: str, b: str) { user \"{{ a }} a {{ b.a }} {% if a %}{{ 'a' }}{{ b | a }}{% endif %}\" }\n"
            "program p(a: str) -> str { return f(a=a, b=a) |> sample(1) |> one |> text }",
            "t",
            "prompt f(t: str, b: str) { user \"{{ t }} a {{ b.a }} {% if t %}{{ 'a' }}{{ b | a }}{% endif %}\" }\n"
            "program p(a: str) -> str { return f(t=a, b=a) |> sample(1) |> one |> text }",
        ),
        (
            "record R { a: int, b: int }\nextern g() -> R\nprogram p() -> int { let a = g()  return a.a‸ + a.b }",
            "c",
            "record R { c: int, b: int }\nextern g() -> R\nprogram p() -> int { let a = g()  return a.c + a.b }",
        ),
        (
            'model small‸, large\nprompt f() { user "x" }\n'
            "program p() -> str { return f() |> sample(1, model=small) |> one |> text }",
            "tiny",
            'model tiny, large\nprompt f() { user "x" }\n'
            "program p() -> str { return f() |> sample(1, model=tiny) |> one |> text }",
        ),
        (
            "program p(n: int) -> int { var x‸ = n  repeat 2 { x = x + 1 } until x > 3  return x }",
            "total",
            "program p(n: int) -> int { var total = n  repeat 2 { total = total + 1 } until total > 3  return total }",
        ),
    ],
)
def test_renaming(text: str, new: str, result: str) -> None:
    text, at = split(text)
    analysis = analysed(text)
    for span in sorted(rename(analysis, at, new, FileLibrary()), key=lambda span: span.start, reverse=True):
        text = text[: span.start] + new + text[span.end :]
    assert text == result


@pytest.mark.parametrize(
    ("text", "new", "why"),
    [
        ("program p(x‸: int) -> int { return = }", "y", "correct the syntax errors first"),
        ("record R { a‸: int }\nprogram p() -> int { return z }", "b", "correct the errors first"),
        ("record R { a‸: int, b: int }", "b", "'b' is already defined on line 1"),
        ("program p(x‸: int) -> int { let y = 1  return x }", "y", "already defined"),
        ('prompt f(x‸: str) { user "{% for y in x %}{{ y }}{% endfor %}" }', "y", "a template binds 'y' itself"),
        ("program p(x‸: int) -> int { return x }", "p", "already defined"),
        ("record R‸ { a: int }", "Candidate", "'Candidate' is a type of the language"),
    ],
)
def test_a_renaming_is_refused(text: str, new: str, why: str) -> None:
    text, at = split(text)
    with pytest.raises(RenameRefused, match=why):
        rename(analysed(text), at, new, FileLibrary())


def test_names_in_a_template() -> None:
    template = (
        '"{{ a }} b {{ c.d | e(f=g) }} {% for h in i %}{{ h }}{% endfor %}{# j #}{{ \\"k\\" }}{{ l is defined }}"'
    )
    words = {"for", "in", "endfor"}
    assert [name for name, _, _ in names_in(template) if name not in words] == ["a", "c", "g", "i", "l"]
    for name, start, end in names_in(template):
        assert template[start:end] == name
