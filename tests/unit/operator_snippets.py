"""Snippets of one program over the same declarations, for the tests of operators."""

from __future__ import annotations

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build import build
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.check import check
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary

DECLARATIONS = """
use std.answers (boxed)
model policy, prm, judge, embedder, target
record Plan { steps: list[str, 8], cost: int in 0..10, note: str? }
record Options { block_size: int }
record Task { text: str, needs: list[int] }
prompt f(q: str) { user "{{ q }}" }
prompt g(t: str) { user "{{ t }}" }
prompt compare(a: str, b: str) { user "{{ a }} {{ b }}" }
extern passes(code: str) -> bool
extern alike(a: str, b: str) -> bool
store notes: Task
program other(q: str) -> str { return f(q) |> sample(1) |> one |> text }
"""


def source(body: str, returns: str) -> Source:
    return Source("t.tts", f"{DECLARATIONS}\nprogram p(q: str, n: int = 4) -> {returns} {{ {body} }}\n")


def checked(body: str, returns: str) -> typed.Program:
    """The typed program `p` with this body."""
    return next(p for p in check(source(body, returns), FileLibrary()).programs if p.name == "p")


def lowered(body: str, returns: str) -> ir.Program:
    """The graph of the program `p` with this body, which is well formed."""
    program = build(check(source(body, returns), FileLibrary()), "p")
    verify(program)
    return program


def bound(expression: str) -> typed.Expr:
    """An expression, checked."""
    bind = checked(f"let x = {expression} return q", "str").body[0]
    assert isinstance(bind, typed.Bind)
    return bind.value
