"""From a source to a checked program: the entry of the semantic stage."""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.declarations import Declarations
from ttsc.compiler.semantics.expressions import Expressions
from ttsc.compiler.semantics.index import Index
from ttsc.compiler.semantics.inlining import check_inlining
from ttsc.compiler.semantics.modules import Library, Loader
from ttsc.compiler.semantics.programs import Programs
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.semantics.test_blocks import check_test
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
    stores: tuple[typed.Store, ...]
    tests: tuple[typed.Test, ...]
    warnings: tuple[Diagnostic, ...]


def check(source: Source, library: Library, index: Index | None = None) -> Checked:
    """Parse, resolve and type a file. Raises CompileError with every error of the stage that failed.

    `index` is told what was found out, in any case; the tree it holds is taken for the file's.
    """
    reporter = Reporter(index)
    module = Loader(library, reporter).load(source, None if index is None else index.tree)
    if index is not None:
        index.module = module
    if not check_inlining(module, reporter):
        reporter.raise_errors()  # what follows recurses
    declarations = Declarations(reporter)
    checker = Programs(declarations, reporter)
    shared = checker.shared
    programs: list[typed.Program] = []
    prompts: list[typed.Prompt] = []
    externs: list[typed.Extern] = []
    stores: list[typed.Store] = []
    tests: list[typed.Test] = []
    for d in module.tree.declarations:
        match d:
            case ast.Record():
                declarations.record(d, module)
            case ast.Prompt():
                prompts.append(declarations.prompt(d, module))
            case ast.Extern():
                externs.append(declarations.extern(d, module))
            case ast.Function():
                Expressions(module, shared).function(d, module, d.name.span)
            case ast.Program():
                program = checker.program(d, module, d.name.span)
                if program is not None:
                    programs.append(program)
            case ast.Store():
                stores.append(declarations.store(d, module))
            case ast.Test():
                tests.append(check_test(d, module, shared))
    reporter.raise_errors()
    return Checked(
        source,
        module.tree,
        module.tree.doc or "",
        tuple(programs),
        tuple(f for f in shared.functions.values() if f is not None),
        tuple(prompts),
        tuple(externs),
        tuple(stores),
        tuple(tests),
        reporter.of("warning"),
    )
