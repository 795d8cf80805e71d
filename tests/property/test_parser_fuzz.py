"""Whatever the text, the parser returns a module or raises CompileError, in time, with messages that can be shown.

Three sources of text: any characters, the language's own tokens in any order, and correct programs with a few changes.
Hypothesis prints the seed of a failure; `pytest --hypothesis-seed=N` runs it again.
"""

from __future__ import annotations

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ttsc.grammar import ast
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.parser import MAX_ERRORS, parse
from ttsc.grammar.render import render_all, to_json
from ttsc.grammar.source import Source
from ttsc.grammar.tables import load

PROGRAMS = (
    '''"""First Finish Search: n traces race, the shortest to finish wins."""
use std.answers (boxed, number)
model policy, prm = "small"

prompt solve(question: str) {
    system "Reason step by step. Put the final answer in \\\\boxed{}."
    user   "{{ question }}"
}

program first_finish(question: str, n: int = 4 in 1..64) -> str {
    return solve(question) |> sample(n) |> stop_first(1, order=tokens, truncated=exclude) |> one |> boxed
}
''',
    '''"""Beam search over steps, guided by a process reward model."""
program beam_search(question: str, width: int = 4 in 1..16, fanout: int = 4 in [1, 2, 4]) -> str {
    var beams = [solve(question)]
    repeat 40 {
        beams = beams
            |> branch(fanout, until="\\n\\n", max_tokens=512, temperature=0.7)
            |> score(prm, reduce=last)
            |> keep(width, by=(x, y) => x.score - y.score, duplicates=drop)
    } until all(beams, finished)
    return beams |> best(by=score) |> boxed
}
''',
    '''record Report { passed: bool, output: str? }
"""Runs tests in a sandbox."""
extern run_tests(code: str, tests: list[str]) -> Report
function short(text: str, limit: int) -> str = text if length(text) < limit else "…"
"""Write, run, repair."""
program repair(task: str, tests: list[str], rounds: int = 4 in 0..8) -> str {
    var draft = write(task) |> sample(1) |> one  # the first
    repeat rounds {
        let report = run_tests(draft.text, tests)
        if report.passed and not (report.output in ["a", """b"""]) { return draft.text }
        else if draft.tokens >= 20k { draft = draft |> refine(fix(task, report.output)) }
        else { return short(draft.text, -1 + 2 * 3 // 4) }
    }
    return draft.text
}
''',
    '''"""A file."""
use std.answers (boxed)
model policy, judge = "small"
"""D."""
record R { a: int in 0..10, b: list[str, 8]?, c: str in ["x", "y"] }
oracle extern known(x: str) -> bool
environment extern act(x: str) -> str
store notes: R
prompt s(q: str) { system "a" user "{{ q }}" assistant "b" }
function f(x: int) -> int? = x if x > 0 and not x in [1, 2] else none
program p(q: str, oracle gold: str, n: int = 4 in 1..8) -> str? budget tokens <= 20k, latency <= 30s, cost <= $0.05 {
    offline let a = s(q) |> sample(1) |> one |> text
    var x: list[str]
    x = []
    x += [a]
    for y in x { x += [y] } until length(x) > 3
    for y, z in zip(x, x) { if y == z { return y } else if y != z { return none } else { x = x } }
    repeat 3 { x = each(x, y => y) } until true
    return abstain
}
test "t" { model policy "a" => ["b"] model judge => 0.5 extern act(x) = "o"
    store notes = [] let y = p("q", gold="g") expect y == "4" }
''',
)

LEXEMES = sorted(
    {lexeme for row in load().actions for lexeme in row if not lexeme.isupper() and lexeme != "$END"}
    | {
        "name",
        "x",
        "16",
        "0.5",
        "20k",
        '"text"',
        '"open',
        '"""doc"""',
        '"""',
        "'",
        ";",
        "&&",
        "30s",
        "$0.05",
        "def",
        "None",
        "lambda",
    }
    | {"\n", "\n    ", "# c\n", "elif", "$", "λ", "\x00", "1..2", "=> ", "\r\n", "\t", "\\", "007", 'f"x"', "|"}
)

limited = settings(max_examples=150, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def check(text: str) -> None:
    source = Source("fuzz.tts", text)
    try:
        module = parse(source)
    except CompileError as error:
        assert 0 < len(error.diagnostics) <= MAX_ERRORS
        for diagnostic in error.diagnostics:
            assert re.fullmatch(r"E01\d\d", diagnostic.code)
            assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
            to_json(diagnostic)
        shown = render_all(error.diagnostics)
        assert "BAD_" not in shown or "BAD_" in text
    else:
        assert isinstance(module, ast.Module)


@given(st.text(max_size=200))
@limited
def test_any_text(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from(LEXEMES), max_size=60), st.sampled_from(["", " ", "\n"]))
@limited
def test_token_soup(lexemes: list[str], separator: str) -> None:
    check(separator.join(lexemes))
    check("program p(q: str) -> str {" + separator.join(lexemes) + "\n}\nmodel m\n")


@given(st.data())
@limited
def test_changed_programs(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(PROGRAMS))
    tokens = Lexer(Source("", text)).tokens
    for _ in range(data.draw(st.integers(1, 4))):
        token = data.draw(st.sampled_from(tokens))
        change = data.draw(st.sampled_from(["drop", "double", "put", "replace", "cut", "character"]))
        start, end = min(token.start, len(text)), min(token.end, len(text))
        lexeme = data.draw(st.sampled_from(LEXEMES))
        if change == "drop":
            text = text[:start] + text[end:]
        elif change == "double":
            text = text[:end] + " " + text[start:end] + text[end:]
        elif change == "put":
            text = text[:start] + lexeme + " " + text[start:]
        elif change == "replace":
            text = text[:start] + lexeme + text[end:]
        elif change == "cut":
            text = text[:end]
        else:
            text = text[:start] + data.draw(st.characters()) + text[start + 1 :]
    check(text)


@given(st.sampled_from(PROGRAMS), st.lists(st.sampled_from([" ", "\n", "\t", "\r\n", "# c\n", "\n\n  "]), min_size=1))
@limited
def test_space_means_nothing(text: str, spaces: list[str]) -> None:
    """Any space between the tokens of a program leaves its tree as it is."""
    tokens = Lexer(Source("", text)).tokens[:-1]
    spread = "".join(text[t.start : t.end] + spaces[i % len(spaces)] for i, t in enumerate(tokens))
    assert parse(Source("", spread)) == parse(Source("", text))


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=60))
@limited
def test_strings_mean_what_they_say(value: str) -> None:
    """A text, escaped and quoted, comes back as it was."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    module = parse(Source("", f'model m = "{escaped}"'))
    (model,) = module.declarations
    assert isinstance(model, ast.Model) and model.default == value
