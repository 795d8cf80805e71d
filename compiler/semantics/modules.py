"""Files and what `use` brings from one to another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Protocol

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.semantics.tasks import TASK, Declared, misfits
from ttsc.grammar import ast
from ttsc.grammar.diagnostics import CompileError
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source
from ttsc.grammar.spelling import did_you_mean

Named = Declared


class Library(Protocol):
    """Where `use` looks. The driver supplies one; it decides which files may be reached."""

    @property
    def task(self) -> Source | None:
        """What stands in for `std.task` in the whole program, or None."""

    def find(self, path: tuple[str, ...], user: Source) -> Source | None:
        """The source that `use a.b` in `user` means, or None."""

    def names(self) -> tuple[str, ...]:
        """Dotted paths that exist, for suggestions."""


@dataclass(eq=False)
class Task:
    """What `std.task` is for some files: the file `own`, and for names that it does not declare `base`, the library's.

    `wrong`: names that do not fit what `base` has; they were reported.
    """

    source: Source
    base: Module | None = None
    own: Module | None = None
    wrong: set[str] = field(default_factory=set)

    @property
    def declared(self) -> dict[str, tuple[Named, Module]]:
        """What others may use of it."""
        own = {} if self.own is None else self.own.declared
        base = {} if self.base is None else self.base.declared
        return {**base, **{name: found for name, found in own.items() if name not in self.wrong}}


@dataclass(eq=False)
class Module:
    """One parsed file. `scope` maps a name to its declaration and the module it was declared in.

    `task`: what stands in for `std.task` in it, or None. `unresolved`: names that a failed `use` should have brought;
    they were reported once.
    """

    source: Source
    tree: ast.Module
    task: Task | None = None
    scope: dict[str, tuple[Named, Module]] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)

    @property
    def declared(self) -> dict[str, tuple[Named, Module]]:
        """What others may use of it: its own declarations."""
        return {name: found for name, found in self.scope.items() if found[1] is self}

    @cached_property
    def first_role(self) -> ast.Model | None:
        """The first model role that is declared. To be asked for once the file is loaded."""
        return next((d for d, _ in self.scope.values() if isinstance(d, ast.Model)), None)


MAX_USES = 50
"""Files that may use each other in a row."""


@lru_cache(maxsize=128)
def _tree(source: Source, task: str) -> ast.Module:
    """The tree of a file that others use, one for each task: a declaration with two tasks is two. Libraries that hand
    out one `Source` for one text have it read once.
    """
    return parse(source)


class _TooManyUses(Exception):
    """More than `MAX_USES` files use each other in a row."""


class Loader:
    """Parses a file and everything it uses, each once for each task."""

    def __init__(self, library: Library, reporter: Reporter) -> None:
        self._library = library
        self._reporter = reporter
        self._modules: dict[tuple[str, str], Module] = {}
        self._tasks: dict[str, Task] = {}
        self._open = 0

    def load(self, source: Source, tree: ast.Module | None = None) -> Module:
        """The module of `source`; `tree` is its tree, if known.

        Raises CompileError if it, or the library's task, can't be parsed; other errors are reported.
        """
        given = self._library.task
        return self._load(source, tree or parse(source), None if given is None else self._task(given))

    def _load(self, source: Source, tree: ast.Module, task: Task | None) -> Module:
        module = Module(source, tree, task)
        self._modules[source.path, _key(task)] = module
        for declaration in module.tree.declarations:
            if not isinstance(declaration, ast.Use | ast.Test):
                self._declare(module, declaration)
        for declaration in module.tree.declarations:
            if isinstance(declaration, ast.Use):
                self._use(module, declaration)
        return module

    def _task(self, source: Source) -> Task:
        """A file as a task: what it declares, and for the rest `std.task`'s own. Raises CompileError."""
        known = self._tasks.get(source.path)
        if known is not None:
            known.own = known.own or self._modules.get((source.path, ""))
            return known
        task = self._tasks[source.path] = Task(source)
        try:
            default = self._library.find(TASK, source)
            task.base = None if default is None else self._module(default, None)
            task.own = self._module(source, None)
        except (CompileError, _TooManyUses):
            del self._tasks[source.path]
            raise
        base = {} if task.base is None else _declarations(task.base)
        task.wrong = misfits(_declarations(task.own), base, source, self._reporter)
        return task

    def _module(self, source: Source, task: Task | None) -> Module:
        """The module of a file that is used, loaded if it isn't yet. Raises CompileError, _TooManyUses."""
        known = self._modules.get((source.path, _key(task)))
        if known is not None:
            return known
        if self._open >= MAX_USES:
            raise _TooManyUses
        self._open += 1
        try:
            return self._load(source, _tree(source, _key(task)), task)
        finally:
            self._open -= 1

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
        exported = self._exported(module, use)
        if exported is None:
            module.unresolved.update(n.id for n in use.names)
            return
        for name in use.names:
            found = exported.get(name.id)
            if found is None:
                hint = did_you_mean(name.id, exported) or f"it has: {', '.join(sorted(exported))}"
                module.unresolved.add(name.id)
                message = f"'{'.'.join(use.path)}' has no '{name.id}'"
                self._reporter.error("E0206", message, name.span, "not found", hint)
            elif name.id in module.scope and module.scope[name.id][0] is not found[0]:
                self._reporter.error("E0201", f"'{name.id}' is declared twice", name.span, "brought in a second time")
            else:
                module.scope[name.id] = found

    def _exported(self, module: Module, use: ast.Use) -> dict[str, tuple[Named, Module]] | None:
        """What there is to take from the file that a `use` names; None if it can't be read, which is reported."""
        source = self._find(use.path, module, use)
        stands_in = None if use.task in (None, TASK) else self._find(use.task, module, use)
        if source is None or (stands_in is None and use.task not in (None, TASK)):
            return None
        try:
            task = module.task if use.task is None else None if stands_in is None else self._task(stands_in)
            if use.path == TASK and task is not None:
                return task.declared
            return self._module(source, None if use.path == TASK else task).declared
        except CompileError as error:
            self._reporter.extend(error.diagnostics)
        except _TooManyUses:
            message = f"more than {MAX_USES} files use each other in a row"
            self._reporter.error("E0210", message, use.span, "one too many", "use what is needed directly")
        return None

    def _find(self, path: tuple[str, ...], module: Module, use: ast.Use) -> Source | None:
        """The file of a path; None if there is none, which is reported."""
        source = self._library.find(path, module.source)
        if source is None:
            dotted = ".".join(path)
            hint = did_you_mean(dotted, self._library.names()) or "the library's files: " + ", ".join(
                self._library.names()
            )
            self._reporter.error("E0205", f"there is nothing to use at '{dotted}'", use.span, "not found", hint)
        return source


def _key(task: Task | None) -> str:
    return "" if task is None else task.source.path


def _declarations(module: Module) -> dict[str, Declared]:
    return {name: declaration for name, (declaration, _) in module.declared.items()}
