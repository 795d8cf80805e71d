"""Python modules of ttsc as data: which definitions they have, and what each name in them means.

Sources are parsed, not imported. A name means a definition of the module, a definition of another module of ttsc, or
something of another package, which the standalone file imports as the module does.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

OWN = "ttsc."


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition at the top level of a module."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class External:
    """An import of another package: `import module` or `from module import name`."""

    module: str
    name: str | None
    alias: str


@dataclass(slots=True)
class Module:
    """A module's source and its top-level names. `typing_only`: imported for annotations alone."""

    name: str
    lines: list[str]
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    comments: dict[str, ast.stmt] = field(default_factory=dict)
    """The texts that stand below assignments and say what these are."""
    imports: dict[str, Symbol | External] = field(default_factory=dict)
    typing_only: set[str] = field(default_factory=set)

    def meaning(self, name: str) -> Symbol | External | None:
        """What a global name means here; None for a builtin."""
        if name in self.definitions:
            return Symbol(self.name, name)
        return self.imports.get(name)


@lru_cache(maxsize=256)
def module_named(name: str) -> Module:
    """Parse a module of ttsc."""
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, name
    source = Path(spec.origin).read_text(encoding="utf-8")
    module = Module(name, source.split("\n"))
    body = ast.parse(source).body
    for place, node in enumerate(body):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for inner in node.body:
                known = set(module.imports)
                _imported(module, inner)
                module.typing_only |= set(module.imports) - known
        _imported(module, node)
        for defined in _defined(node):
            module.definitions[defined] = node
            after = body[place + 1] if place + 1 < len(body) else None
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                module.comments[defined] = after
    return module


def origin(found: Symbol | External | None) -> Symbol | External | None:
    """Where a name is defined that modules may have handed on."""
    while isinstance(found, Symbol):
        module = module_named(found.module)
        if found.name in module.definitions:
            return found
        found = module.imports.get(found.name)
    return found


def imported_names(node: ast.stmt) -> dict[str, Symbol | External]:
    """The names an import statement binds."""
    names: dict[str, Symbol | External] = {}
    if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
        for alias in node.names:
            bound = alias.asname or alias.name
            own = node.module.startswith(OWN)
            names[bound] = Symbol(node.module, alias.name) if own else External(node.module, alias.name, bound)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            bound = alias.asname or alias.name.partition(".")[0]
            names[bound] = External(alias.name, None, bound)
    return names


def _imported(module: Module, node: ast.stmt) -> None:
    module.imports.update(imported_names(node))


def _defined(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
