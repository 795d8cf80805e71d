"""From a source to a checked program: the entry of the semantic stage."""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.declarations import Declarations
from ttsc.compiler.semantics.expressions import Expressions
from ttsc.compiler.semantics.index import Index
from ttsc.compiler.semantics.modules import Library, Loader, Module
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.semantics.statements import Statements, always_returns
from ttsc.grammar import ast
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Source


@dataclass(frozen=True, slots=True)
class Checked:
    """A file without errors: its programs, and what else it declares."""

    source: Source
    tree: ast.Module
    doc: str
    programs: tuple[typed.Program, ...]
    functions: tuple[typed.Function, ...]
    prompts: tuple[typed.Prompt, ...]
    externs: tuple[typed.Extern, ...]
    warnings: tuple[Diagnostic, ...]


def check(source: Source, library: Library, index: Index | None = None) -> Checked:
    """Parse, resolve and type a file. Raises CompileError with every error of the stage that failed.

    `index` is told what was found out, in any case; the tree it holds is taken for the file's.
    """
    reporter = Reporter(index)
    module = Loader(library, reporter).load(source, None if index is None else index.tree)
    if index is not None:
        index.module = module
    declarations = Declarations(reporter)
    functions: dict[int, typed.Function | None] = {}
    programs: list[typed.Program] = []
    prompts: list[typed.Prompt] = []
    externs: list[typed.Extern] = []
    for d in module.tree.declarations:
        match d:
            case ast.Record():
                declarations.record(d, module)
            case ast.Prompt():
                prompts.append(declarations.prompt(d, module))
            case ast.Extern():
                externs.append(declarations.extern(d, module))
            case ast.Function():
                Expressions(module, declarations, reporter, functions).function(d, module, d.name.span)
            case ast.Program():
                programs.append(_program(d, module, declarations, reporter, functions))
    reporter.raise_errors()
    return Checked(
        source,
        module.tree,
        module.tree.doc or "",
        tuple(programs),
        tuple(f for f in functions.values() if f is not None),
        tuple(prompts),
        tuple(externs),
        reporter.of("warning"),
    )


def _program(
    d: ast.Program,
    module: Module,
    declarations: Declarations,
    reporter: Reporter,
    functions: dict[int, typed.Function | None],
) -> typed.Program:
    parameters = declarations.parameters(d, module)
    returns = declarations.type(d.returns, module)
    expressions = Expressions(module, declarations, reporter, functions)
    body = Statements(expressions, returns).body(d.body, {p.name: p.symbol for p in parameters})
    if not always_returns(d.body):
        reporter.error(
            "E0404",
            f"program '{d.name.id}' can end without returning",
            d.name.span,
            "not every way returns",
            "end it with a return",
        )
    doc = d.doc or module.tree.doc or ""
    return typed.Program(d.name.id, doc, parameters, returns, tuple(expressions.models.values()), body, d.span)
