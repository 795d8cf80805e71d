"""Files and what `use` brings from one to another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.grammar import ast
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source
from ttsc.grammar.spelling import did_you_mean

Named = ast.Model | ast.Prompt | ast.Record | ast.Extern | ast.Function | ast.Program | ast.Store


class Library(Protocol):
    """Where `use` looks. The driver supplies one; it decides which files may be reached."""

    def find(self, path: tuple[str, ...], user: Source) -> Source | None:
        """The source that `use a.b` in `user` means, or None."""

    def names(self) -> tuple[str, ...]:
        """Dotted paths that exist, for suggestions."""


@dataclass(eq=False)
class Module:
    """One parsed file. `scope` maps a name to its declaration and the module it was declared in.

    `unresolved`: names that a failed `use` should have brought; they were reported once.
    """

    source: Source
    tree: ast.Module
    scope: dict[str, tuple[Named, Module]] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)

    @cached_property
    def first_role(self) -> ast.Model | None:
        """The first model role that is declared. To be asked for once the file is loaded."""
        return next((d for d, _ in self.scope.values() if isinstance(d, ast.Model)), None)


MAX_USES = 50
"""Files that may use each other in a row."""


@lru_cache(maxsize=32)
def _tree(source: Source) -> ast.Module:
    """The tree of a file that others use. Libraries that hand out one `Source` for one text have it read once."""
    return parse(source)


class Loader:
    """Parses a file and everything it uses, each once."""

    def __init__(self, library: Library, reporter: Reporter) -> None:
        self._library = library
        self._reporter = reporter
        self._modules: dict[str, Module] = {}
        self._open = 0

    def load(self, source: Source, tree: ast.Module | None = None) -> Module:
        """The module of `source`; `tree` is its tree, if known.

        Raises CompileError if it can't be parsed; other errors are reported.
        """
        module = Module(source, tree or parse(source))
        self._modules[source.path] = module
        for declaration in module.tree.declarations:
            if not isinstance(declaration, ast.Use | ast.Test):
                self._declare(module, declaration)
        for declaration in module.tree.declarations:
            if isinstance(declaration, ast.Use):
                self._use(module, declaration)
        return module

    def _declare(self, module: Module, declaration: Named) -> None:
        name = declaration.name
        if name.id in OPERATORS or name.id in FUNCTIONS:
            self._reporter.error(
                "E0202",
                f"'{name.id}' is an operator of the language",
                name.span,
                "can't be declared",
                "choose another name",
            )
        elif name.id in module.scope:
            first, _ = module.scope[name.id]
            line, _ = module.source.line_col(first.name.span.start)
            self._reporter.error(
                "E0201",
                f"'{name.id}' is declared twice",
                name.span,
                "second declaration",
                notes=(f"the first is on line {line}",),
            )
        else:
            module.scope[name.id] = (declaration, module)

    def _use(self, module: Module, use: ast.Use) -> None:
        dotted = ".".join(use.path)
        source = self._library.find(use.path, module.source)
        if source is None:
            hint = did_you_mean(dotted, self._library.names()) or "the library's files: " + ", ".join(
                self._library.names()
            )
            self._reporter.error("E0205", f"there is nothing to use at '{dotted}'", use.span, "not found", hint)
            module.unresolved.update(n.id for n in use.names)
            return
        used = self._modules.get(source.path)
        if used is None and self._open >= MAX_USES:
            message = f"more than {MAX_USES} files use each other in a row"
            self._reporter.error("E0210", message, use.span, "one too many", "use what is needed directly")
            module.unresolved.update(n.id for n in use.names)
            return
        if used is None:
            self._open += 1
            try:
                used = self.load(source, _tree(source))
            except CompileError as error:
                self._reporter.extend(error.diagnostics)
                module.unresolved.update(n.id for n in use.names)
                return
            finally:
                self._open -= 1
        exported = {n: d for n, (d, home) in used.scope.items() if home is used}
        for name in use.names:
            found = exported.get(name.id)
            if found is None:
                hint = did_you_mean(name.id, exported) or f"it has: {', '.join(sorted(exported))}"
                module.unresolved.add(name.id)
                self._reporter.error("E0206", f"'{dotted}' has no '{name.id}'", name.span, "not found", hint)
            elif name.id in module.scope and module.scope[name.id][0] is not found:
                self._reporter.error("E0201", f"'{name.id}' is declared twice", name.span, "brought in a second time")
            else:
                module.scope[name.id] = (found, used)
