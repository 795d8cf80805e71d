"""How large and how deep a file becomes once the functions and programs that it calls stand in their places.

Calls are inlined, so forty functions that call each other twice would make 2⁴⁰ copies of the first; this is found by
counting, before anything is checked or copied. The count is over names in the tree, whatever they turn out to be, and
takes time linear in the text. A cycle is not followed: who calls himself is told so by the checker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from ttsc.compiler.semantics.modules import Module
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.grammar import ast

COPIES = 20_000
"""Nodes that calls may add to a declaration, whatever its own size."""
COPIES_PER_NODE = 30
"""Nodes that calls may add for each node of its own."""
DEPTH = 200
"""Levels of nesting, those of called functions included: later stages recurse over them."""

_Callable = ast.Function | ast.Program


@dataclass(frozen=True, slots=True)
class _Extent:
    """Nodes and levels of a declaration with all calls in place; `own`: nodes as written."""

    own: int
    nodes: int
    depth: int


def check_inlining(module: Module, reporter: Reporter) -> bool:
    """Reports each function and program of the file that grows too large (E0418) or too deep (E0419); is there none?"""
    extents: dict[int, _Extent] = {}
    fine = True
    for declaration in module.tree.declarations:
        if not isinstance(declaration, ast.Function | ast.Program):
            continue
        if _fits(_measure(declaration, module, extents)):
            continue
        fine = False
        if all(_fits(extents[id(callee)]) for callee, _ in _calls(declaration, module) if id(callee) in extents):
            _report(declaration, extents[id(declaration)], reporter)  # those that call it grow because it does
    return fine


def _fits(extent: _Extent) -> bool:
    return extent.nodes - extent.own <= COPIES + COPIES_PER_NODE * extent.own and extent.depth <= DEPTH


def _report(declaration: _Callable, extent: _Extent, reporter: Reporter) -> None:
    name = declaration.name
    if extent.depth > DEPTH:
        message = f"'{name.id}' nests {extent.depth:,} levels deep, through the functions that it calls"
        reporter.error("E0419", message, name.span, f"more than {DEPTH}", "call fewer functions from functions")
    else:
        grown = f"{extent.nodes:,}" if extent.nodes < 10**12 else f"over {10**12:,}"
        message = f"'{name.id}' grows to {grown} parts where the functions it calls are put in place"
        hint = "call each of them once, and pass the value on"
        reporter.error("E0418", message, name.span, "too many copies", hint)


def _measure(start: _Callable, home: Module, extents: dict[int, _Extent]) -> _Extent:
    """The extent of a declaration, and of all that it calls; without recursion, as chains of calls may be long."""
    path: list[tuple[_Callable, Module, Iterator[tuple[_Callable, Module]]]] = []
    open_: set[int] = set()

    def enter(declaration: _Callable, module: Module) -> None:
        open_.add(id(declaration))
        path.append((declaration, module, iter(list(_calls(declaration, module)))))

    if id(start) not in extents:
        enter(start, home)
    while path:
        declaration, module, callees = path[-1]
        unknown = next((c for c in callees if id(c[0]) not in extents and id(c[0]) not in open_), None)
        if unknown is not None:
            enter(*unknown)
            continue
        path.pop()
        open_.discard(id(declaration))
        extents[id(declaration)] = _extent(declaration, module, extents)
    return extents[id(start)]


def _calls(declaration: _Callable, module: Module) -> Iterator[tuple[_Callable, Module]]:
    for node, _ in _walk(declaration):
        found = _callee(node, module)
        if found is not None:
            yield found


def _extent(declaration: _Callable, module: Module, extents: dict[int, _Extent]) -> _Extent:
    own = nodes = depth = 0
    for node, level in _walk(declaration):
        own += 1
        nodes += 1
        depth = max(depth, level)
        found = _callee(node, module)
        callee = extents.get(id(found[0])) if found is not None else None
        if callee is not None:
            nodes += callee.nodes
            depth = max(depth, level + callee.depth)
    return _Extent(own, nodes, depth)


def _callee(node: object, module: Module) -> tuple[_Callable, Module] | None:
    """The function or program that a name stands for, and the file it is declared in."""
    if not isinstance(node, ast.Name):
        return None
    declaration, home = module.scope.get(node.id, (None, None))
    if isinstance(declaration, ast.Function | ast.Program) and home is not None:
        return declaration, home
    return None


def _walk(declaration: _Callable) -> Iterator[tuple[object, int]]:
    """The nodes of a body, each with its level; the names that it binds are left out."""
    body: tuple[object, ...] = declaration.body if isinstance(declaration, ast.Program) else (declaration.body,)
    pending: list[tuple[object, int]] = [(node, 1) for node in body]
    while pending:
        node, level = pending.pop()
        yield node, level
        for field in fields(node):  # type: ignore[arg-type]
            value = getattr(node, field.name)
            if field.name in {"name", "names", "params", "span", "name_span", "type"}:
                continue
            if isinstance(value, tuple):
                pending.extend((part, level + 1) for part in value if is_dataclass(part))
            elif is_dataclass(value):
                pending.append((value, level + 1))
