"""One version of one text, analysed: its tree, its messages, its names and types, as far as it has them.

    analyze(source, library) -> Analysis

Nothing is raised for what is wrong with the text. A fault of the compiler itself is logged and leaves the analysis with
less.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

from ttsc.compiler.bounds.check import check_bounds, check_money
from ttsc.compiler.semantics.check import Checked, check
from ttsc.compiler.semantics.index import Index
from ttsc.compiler.semantics.modules import Library
from ttsc.grammar import ast
from ttsc.grammar.diagnostics import CompileError, Diagnostic
from ttsc.grammar.partial import parse_partly
from ttsc.grammar.source import Source
from ttsc.grammar.tokens import Token
from ttsc.lsp.names import Names
from ttsc.lsp.resolve import resolve

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Analysis:
    """`tree`: without what could not be read, None if nothing could. `checked`: the typed programs of a text without
    errors. `diagnostics`: errors and warnings about syntax, names and types, of this file and of files that it uses.
    """

    source: Source
    tree: ast.Module | None
    tokens: list[Token]
    diagnostics: tuple[Diagnostic, ...]
    index: Index
    names: Names
    checked: Checked | None

    @cached_property
    def messages(self) -> tuple[Diagnostic, ...]:
        """Everything that `ttsc check` shows: also programs without bounds, and what wastes money."""
        if self.checked is None:
            return self.diagnostics
        try:
            return (*self.diagnostics, *check_money(self.checked, check_bounds(self.checked)))
        except CompileError as error:
            return (*self.diagnostics, *error.diagnostics)
        except Exception:
            log.exception("the bounds of %s", self.source.path)
            return self.diagnostics


def analyze(source: Source, library: Library) -> Analysis:
    """Read, check and resolve a text."""
    tree, diagnostics, tokens = parse_partly(source)
    index = Index(source, tree)
    if tree is None:
        return Analysis(source, None, tokens, diagnostics, index, Names((), tokens), None)
    checked: Checked | None = None
    errors: tuple[Diagnostic, ...] = ()
    try:
        checked = check(source, library, index)
        errors = checked.warnings
    except CompileError as error:
        errors = error.diagnostics
    except Exception:
        log.exception("the checker failed on %s", source.path)
    names = Names((), tokens)
    try:
        names = resolve(tree, index, library, tokens)
    except Exception:
        log.exception("names of %s could not be resolved", source.path)
    return Analysis(source, tree, tokens, diagnostics or errors, index, names, None if diagnostics else checked)
