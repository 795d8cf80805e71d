"""How large and how deep a file becomes once the functions and programs that it calls stand in their places.

Calls are inlined, so forty functions that call each other twice would make 2⁴⁰ copies of the first; this is found by
counting, before anything is checked or copied. The count is over names in the tree, whatever they turn out to be, and
takes time linear in the text. A cycle is not followed: who calls himself is told so by the checker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

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


@dataclass(frozen=True, slots=True)
class _Call:
    callee: _Callable
    home: Module
    level: int


@dataclass(frozen=True, slots=True)
class _Body:
    """A declaration as written."""

    nodes: int
    depth: int
    calls: tuple[_Call, ...]


def check_inlining(module: Module, reporter: Reporter) -> bool:
    """Reports each function and program of the file that grows too large (E0418) or too deep (E0419); is there none?"""
    bodies: dict[int, _Body] = {}
    extents: dict[int, _Extent] = {}
    fine = True
    for declaration in module.tree.declarations:
        if not isinstance(declaration, ast.Function | ast.Program):
            continue
        if _fits(_measure(declaration, module, bodies, extents)):
            continue
        fine = False
        calls = bodies[id(declaration)].calls
        if all(_fits(extents[id(call.callee)]) for call in calls if id(call.callee) != id(declaration)):
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


def _measure(start: _Callable, home: Module, bodies: dict[int, _Body], extents: dict[int, _Extent]) -> _Extent:
    """The extent of a declaration, and of all that it calls; without recursion, as chains of calls may be long."""
    path: list[tuple[int, _Body, Iterator[_Call]]] = []

    def enter(declaration: _Callable, module: Module) -> None:
        body = bodies[id(declaration)] = _read(declaration, module)
        path.append((id(declaration), body, iter(body.calls)))

    if id(start) not in extents:
        enter(start, home)
    while path:
        key, body, calls = path[-1]
        # One that is read and not yet measured is open: a cycle.
        unknown = next((call for call in calls if id(call.callee) not in bodies), None)
        if unknown is not None:
            enter(unknown.callee, unknown.home)
            continue
        path.pop()
        extents[key] = _extent(body, extents)
    return extents[id(start)]


def _extent(body: _Body, extents: dict[int, _Extent]) -> _Extent:
    nodes, depth = body.nodes, body.depth
    for call in body.calls:
        callee = extents.get(id(call.callee))
        if callee is not None:
            nodes += callee.nodes
            depth = max(depth, call.level + callee.depth)
    return _Extent(body.nodes, nodes, depth)


def _read(declaration: _Callable, module: Module) -> _Body:
    """One pass over a body; the names that it binds are left out."""
    body: tuple[object, ...] = declaration.body if isinstance(declaration, ast.Program) else (declaration.body,)
    pending: list[tuple[object, int]] = [(node, 1) for node in body]
    nodes = depth = 0
    calls: list[_Call] = []
    while pending:
        node, level = pending.pop()
        nodes += 1
        depth = max(depth, level)
        if isinstance(node, ast.Name):
            found = _callee(node, module)
            if found is not None:
                calls.append(_Call(*found, level))
            continue
        for name in _children(node.__class__):
            value = getattr(node, name)
            if isinstance(value, tuple):
                pending.extend((part, level + 1) for part in value)
            elif value is not None:
                pending.append((value, level + 1))
    return _Body(nodes, depth, tuple(calls))


_CHILDREN: dict[type, tuple[str, ...]] = {ast.Literal: (), ast.Abstain: ()}


def _children(kind: type) -> tuple[str, ...]:
    """The fields of a node that hold expressions and statements."""
    known = _CHILDREN.get(kind)
    if known is not None:
        return known
    left_out = {"name", "names", "params", "span", "name_span", "type", "id", "op", "offline"}
    _CHILDREN[kind] = tuple(field.name for field in fields(kind) if field.name not in left_out)
    return _CHILDREN[kind]


def _callee(name: ast.Name, module: Module) -> tuple[_Callable, Module] | None:
    """The function or program that a name stands for, and the file it is declared in."""
    found = module.scope.get(name.id)
    if found is not None and isinstance(found[0], ast.Function | ast.Program):
        return found[0], found[1]
    return None
