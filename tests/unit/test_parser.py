"""What the parser makes of correct text: trees, spans, values of literals, limits."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ttsc.grammar import ast, tables
from ttsc.grammar.ast import (
    Assign,
    Attribute,
    Binary,
    Call,
    Choices,
    Conditional,
    Expr,
    If,
    Index,
    Keyword,
    Lambda,
    Let,
    ListExpr,
    Literal,
    Name,
    Pipe,
    Range,
    Repeat,
    Return,
    Statement,
    Unary,
)
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.examples import EXAMPLES
from ttsc.grammar.parser import MAX_DEPTH, MAX_ERRORS, MAX_SOURCE, parse
from ttsc.grammar.render import render_all
from ttsc.grammar.scene import wanted
from ttsc.grammar.source import NOWHERE, Source
from ttsc.grammar.strings import dedent

SELF_CONSISTENCY = '''"""Self-consistency (Wang et al., 2022): n chains of thought, majority answer."""
use std.answers (boxed)

prompt solve(question: str) {
    system "Reason step by step. Put the final answer in \\\\boxed{}."
    user   "{{ question }}"
}

program self_consistency(question: str, n: int = 16 in 1..256) -> str {
    return solve(question)
        |> sample(n, temperature=0.7, max_tokens=1024)
        |> vote(by=boxed)
}
'''
S = NOWHERE


def module(text: str) -> ast.Module:
    return parse(Source("t.tts", text))


def body(text: str) -> tuple[Statement, ...]:
    (program,) = module(f"program p(q: str) -> str {{ {text} }}").declarations
    assert isinstance(program, ast.Program)
    return program.body


def expr(text: str) -> Expr:
    (statement,) = body(f"return {text}")
    assert isinstance(statement, Return)
    return statement.value


def codes(text: str) -> list[str]:
    with pytest.raises(CompileError) as error:
        module(text)
    return [d.code for d in error.value.diagnostics]


def name(id: str) -> Name:
    return Name(id, S)


def number(value: float) -> Literal:
    return Literal(value, S)


def binary(left: Expr, op: str, right: Expr) -> Binary:
    return Binary(op, left, right, S)


a, b, c, d, e, f = (name(x) for x in "abcdef")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b |> f", Pipe(binary(a, "+", b), f, S)),
        ("a |> b |> c", Pipe(Pipe(a, b, S), c, S)),
        ("a if b else c |> f", Pipe(Conditional(a, b, c, S), f, S)),
        ("a if b else c if d else e", Conditional(a, b, Conditional(c, d, e, S), S)),
        ("a or b and not c == d", binary(a, "or", binary(b, "and", Unary("not", binary(c, "==", d), S)))),
        ("a + b * -c - d", binary(binary(a, "+", binary(b, "*", Unary("-", c, S))), "-", d)),
        ("a // b % c / d", binary(binary(binary(a, "//", b), "%", c), "/", d)),
        ("-a.b", Unary("-", Attribute(a, "b", S, S), S)),
        ("(a)", a),
        ("a in [b, c,]", binary(a, "in", ListExpr((b, c), S))),
        ("a[b](c).d", Attribute(Call(Index(a, b, S), (c,), (), S), "d", S, S)),
        ("a => b |> c", Lambda((a,), Pipe(b, c, S), S)),
        ("(a, b) => c => d", Lambda((a, b), Lambda((c,), d, S), S)),
        ("(a) => b", Lambda((a,), b, S)),
        ("f(a, b=c => d, e=e,)", Call(f, (a,), (Keyword("b", Lambda((c,), d, S), S, S), Keyword("e", e, S, S)), S)),
        ("f()", Call(f, (), (), S)),
        ("[]", ListExpr((), S)),
        ("a |> b.c", Pipe(a, Attribute(b, "c", S, S), S)),
        ("a |> f(b)", Pipe(a, Call(f, (b,), (), S), S)),
        ("true if none else false", Conditional(Literal(True, S), Literal(None, S), Literal(False, S), S)),
        ("a <= b", binary(a, "<=", b)),
        ("a # comment |> b\n", a),
    ],
)
def test_expression(text: str, tree: Expr) -> None:
    assert expr(text) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16", 16),
        ("1_000", 1000),
        ("20k", 20_000),
        ("2M", 2_000_000),
        ("0.7", 0.7),
        ("1e15", 1e15),
        ("1.5e-3", 1.5e-3),
        ("9223372036854775807", 2**63 - 1),
        (r'"a\n\t\"\\\u00e9"', 'a\n\t"\\é'),
        ('""', ""),
        ('"""a "quoted" word"""', 'a "quoted" word'),
        ('"""\n    a\n      b\n\n    c\n    """', "a\n  b\n\nc"),
        ('"""\\\\boxed\\n  x"""', "\\boxed\n  x"),
        ('"日本"', "日本"),
    ],
)
def test_literal(text: str, value: object) -> None:
    literal = expr(text)
    assert isinstance(literal, Literal)
    assert (literal.value, type(literal.value)) == (value, type(value))


def test_dedent_keeps_tabs_and_handles_line_ends() -> None:
    assert dedent("\n\ta\n\t\tb\tc\n") == "a\n\tb\tc"
    assert dedent("one") == "one"
    assert dedent("\n  \n ") == ""
    text = module('program p() -> str {\r\n    return """\r\n      a\r\n      b"""\r\n}\r\n').declarations[0]
    assert isinstance(text, ast.Program) and isinstance(text.body[0], Return)
    assert text.body[0].value == Literal("a\nb", S)


def test_statements() -> None:
    let, var, assign, repeat, returned = body(
        "let x: int? = 3 var y = x y = 4 repeat x { y = 5 } until y == 5 return y"
    )
    assert let == Let(name("x"), ast.OptionalType(ast.NamedType("int", S), S), number(3), S)
    assert isinstance(var, ast.Var) and var.type is None
    assert assign == Assign(name("y"), number(4), S)
    assert repeat == Repeat(name("x"), (Assign(name("y"), number(5), S),), binary(name("y"), "==", number(5)), S)
    assert returned == Return(name("y"), S)


def test_if_after_an_expression_is_a_statement_where_a_brace_follows() -> None:
    let, condition = body("let x = f(a) if x { return a } else if b { } else { return c }")
    assert let == Let(name("x"), None, Call(f, (a,), (), S), S)
    assert condition == If(name("x"), (Return(a, S),), (If(b, (), (Return(c, S),), S),), S)


def test_conditional_in_the_condition_of_an_if() -> None:
    (condition,) = body("if a if b else c { }")
    assert condition == If(Conditional(a, b, c, S), (), (), S)


def test_declarations() -> None:
    tree = module(
        'use std.answers (boxed, number,)\nmodel policy, prm = "small"\nrecord R { a: int  b: list[str]?, }\n'
        "extern f(x: str, y: list[R]) -> R\nfunction g(t: str,) -> str? = t\n"
    )
    use, policy, prm, record, extern, function = tree.declarations
    assert use == ast.Use(("std", "answers"), (name("boxed"), name("number")), None, S)
    assert (policy, prm) == (ast.Model(name("policy"), None, S), ast.Model(name("prm"), "small", S))
    strings = ast.OptionalType(ast.ListType(ast.NamedType("str", S), S), S)
    fields = (ast.Field(name("a"), ast.NamedType("int", S), S), ast.Field(name("b"), strings, S))
    assert record == ast.Record(name("R"), fields, None, S)
    assert isinstance(extern, ast.Extern) and extern.returns == ast.NamedType("R", S)
    assert isinstance(function, ast.Function) and function.body == name("t")


def test_tunables() -> None:
    (program,) = module(
        "program p(n: int = 16 in 1..256, t: float in [0.2, -1,], u: str = a.b) -> str { }"
    ).declarations
    assert isinstance(program, ast.Program)
    n, t, u = program.parameters
    assert (n.default, n.tunable) == (number(16), Range(1, 256, S))
    assert (t.default, t.tunable) == (None, Choices((number(0.2), number(-1)), S))
    assert (u.default, u.tunable) == (Attribute(a, "b", S, S), None)


def test_docstrings() -> None:
    assert module('"""A file."""').doc == "A file."
    assert module("").doc is None
    tree = module('"""A file."""\nprogram p() -> str { }\n"""Q."""\nprogram q() -> str { }')
    assert tree.doc == "A file."
    assert [d.doc for d in tree.declarations if isinstance(d, ast.Program)] == [None, "Q."]
    both = module('"""A file."""\n"""P."""\nprogram p() -> str { }').declarations[0]
    assert isinstance(both, ast.Program) and both.doc == "P."


def test_words_are_free_where_they_can_be() -> None:
    assert expr("a.in.model.if") == Attribute(Attribute(Attribute(a, "in", S, S), "model", S, S), "if", S, S)
    call = expr("f(model=model, in=3, prompt=text)")
    assert isinstance(call, Call) and [k.name for k in call.keywords] == ["model", "in", "prompt"]
    assert body("let model = 1 model = prompt record = 2 return use")[1] == Assign(name("model"), name("prompt"), S)
    tree = module("function f(prompt: str) -> str = prompt\nprompt x(model: str) { }\nmodel use\nrecord R { use: int }")
    assert [type(d).__name__ for d in tree.declarations] == ["Function", "Prompt", "Model", "Record"]


def test_spans_are_exact() -> None:
    text = SELF_CONSISTENCY
    tree = module(text)
    use, prompt, program = tree.declarations
    assert isinstance(prompt, ast.Prompt) and isinstance(program, ast.Program) and isinstance(use, ast.Use)
    assert use.span.text == "use std.answers (boxed)"
    assert prompt.turns[1].span.text == 'user   "{{ question }}"'
    assert prompt.turns[1].template.span.text == '"{{ question }}"'
    assert program.span.text.startswith("program self_consistency") and program.span.text.endswith("}")
    n = program.parameters[1]
    assert (n.span.text, n.name.span.text) == ("n: int = 16 in 1..256", "n")
    assert n.tunable is not None and n.tunable.span.text == "1..256"
    (returned,) = program.body
    assert isinstance(returned, Return) and isinstance(returned.value, Pipe)
    assert returned.value.stage.span.text == "vote(by=boxed)"
    grouped = expr("(a + b).c")
    assert isinstance(grouped, Attribute)
    assert (grouped.span.text, grouped.value.span.text, grouped.name_span.text) == ("(a + b).c", "a + b", "c")


def test_every_span_lies_within_its_parent() -> None:
    def visit(node: Any, start: int, end: int) -> None:
        if isinstance(node, tuple):
            for item in node:
                visit(item, start, end)
        elif dataclasses.is_dataclass(node) and hasattr(node, "span"):
            assert start <= node.span.start <= node.span.end <= end, node
            for field in dataclasses.fields(node):
                if not field.name.endswith("span"):
                    visit(getattr(node, field.name), node.span.start, node.span.end)

    visit(module(SELF_CONSISTENCY), 0, len(SELF_CONSISTENCY))


def test_byte_order_mark_tabs_and_line_ends() -> None:
    plain = module(SELF_CONSISTENCY)
    assert module("\ufeff" + SELF_CONSISTENCY.replace("\n", "\r\n").replace("    ", "\t")) == plain
    assert module(" ".join(SELF_CONSISTENCY.split("\n"))) == plain, "newlines mean nothing"


def test_limits() -> None:
    assert codes("#" * (MAX_SOURCE + 1)) == ["E0110"]
    deep = "-" * (MAX_DEPTH + 5)
    assert codes(f"function f() -> int = {deep}1") == ["E0111"]
    module("function f() -> int = " + "(" * 300 + "1" + ")" * 300)
    module("function f() -> list[int] = [" + "1, " * 5000 + "]")
    assert codes("function f() -> int = " + " |> f" * 3) != []


@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000,
        "function f() -> int = " + "(" * 50_000,
        "function f() -> int = " + "x => " * 25_000,
        "function f() -> int = " + "-" * 75_000,
        "function f() -> int = 1" + " + 1" * 25_000,
        "function f() -> int = a" + ".b" * 50_000,
        "program p() -> str { " + "if a { " * 12_000,
        "program p() -> str { " + "if " * 25_000,
        "program p() -> str { " + "let x = f(a " * 10_000,
        "program p() -> str { " + "x = [" * 12_000,
        "program p() -> str { " + "} program p( { " * 10_000,
        "program p() -> str { " + "\nuse x" * 15_000,
        "extern f(x: " + "list[" * 25_000,
        '"' + "\\q" * 50_000 + '"',
        '"""' + '"' * 125_000,
        '"""' + "\\" * 125_000,
        "$ " * 50_000,
        "'" * 75_000,
        "9" * 225_000,
        "if else " * 12_000,
        "{" * 75_000,
        "}" * 75_000,
    ],
    ids=lambda text: text[:30],
)
def test_hostile_text_is_refused_in_time(text: str) -> None:
    begin = time.process_time()
    shown = codes(text)
    assert 0 < len(shown) <= MAX_ERRORS
    assert time.process_time() - begin < 5


def test_errors_are_capped_with_a_note() -> None:
    with pytest.raises(CompileError) as error:
        module("program p() -> str {\n" + "    let x 3\n" * 30 + "}")
    assert len(error.value.diagnostics) == MAX_ERRORS
    assert error.value.diagnostics[-1].notes == ("10 more syntax errors in this file not shown",)


def test_errors_come_in_the_order_of_the_text() -> None:
    with pytest.raises(CompileError) as error:
        module("program p() -> str {\n    let x = )\n    let y = $\n    let z = 'a'\n}")
    starts = [diagnostic.span.start for diagnostic in error.value.diagnostics]
    assert starts == sorted(starts)


def test_committed_tables_are_those_of_the_grammar() -> None:
    from ttsc.grammar import _tables

    assert _tables.GRAMMAR == tables.fingerprint(), "run python -m ttsc.grammar.tables"
    assert tables.decode(tables.compute()) == tables.load()


def test_tables_are_built_when_the_file_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    from ttsc.grammar import _tables

    monkeypatch.setattr(_tables, "GRAMMAR", "of another grammar")
    assert tables._read() == tables.load()


def test_parsing_does_not_import_lark() -> None:
    import subprocess

    program = (
        "import sys, ttsc.grammar.parser as p; p.load(); assert not any(m.startswith('lark') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_parsing_in_threads() -> None:
    results: list[ast.Module] = []
    threads = [threading.Thread(target=lambda: results.append(module(SELF_CONSISTENCY))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [module(SELF_CONSISTENCY)] * 8


def test_every_state_has_words_for_what_it_expects() -> None:
    kinds = set().union(*tables.load().actions)
    for row in tables.load().actions:
        expected = frozenset(kind for kind in row if not kind.startswith("BAD_"))
        words = wanted(expected, "")
        assert words
        assert not any(kind in words for kind in kinds if kind.isupper() and len(kind) > 1), words


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.code for example in EXAMPLES])
def test_example(example: Any, golden: Callable[[str, str], None]) -> None:
    with pytest.raises(CompileError) as error:
        parse(Source(f"{example.code}.tts", example.text))
    assert {d.code for d in error.value.diagnostics} == {example.code}
    shown = example.text if len(example.text) < 2000 else example.text[:60] + "…\n"
    golden(f"errors/{example.code}.txt", f"{example.title}\n\n{shown}\n{render_all(error.value.diagnostics)}")


def test_every_code_has_an_example() -> None:
    import re

    source = "".join(
        path.read_text("utf-8") for path in tables.GRAMMAR_FILE.parent.glob("*.py") if path.stem != "examples"
    )
    used = set(re.findall(r'"(E01\d\d)"', source))
    assert used == {example.code for example in EXAMPLES}
    assert len(EXAMPLES) == len(used), "one example for each"
