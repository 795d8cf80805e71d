"""Which names in a definition are global: what it refers to, and where."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from ttsc.standalone.modules import External, Symbol, imported_names

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class Reading:
    """What a definition says. `names`: its global names. `annotations`: expressions that only a type checker reads.
    `local_imports`: imports within functions, of ttsc's own modules, with what they bind. `attributes`: every word that
    may name an attribute.
    """

    names: list[ast.Name] = field(default_factory=list)
    annotations: list[ast.expr] = field(default_factory=list)
    local_imports: list[tuple[ast.stmt, dict[str, Symbol]]] = field(default_factory=list)
    attributes: set[str] = field(default_factory=set)


def read(node: ast.AST, skipped: frozenset[ast.AST] = frozenset()) -> Reading:
    """Read a definition, or a part of it; `skipped` parts are left out."""
    reading = Reading()
    _visit(node, frozenset(), reading, skipped)
    return reading


def _visit(node: ast.AST, local: frozenset[str], reading: Reading, skipped: frozenset[ast.AST]) -> None:
    if node in skipped:
        return
    match node:
        case ast.Name(id=name):
            if name not in local:
                reading.names.append(node)
        case ast.Attribute(attr=attr):
            reading.attributes.add(attr)
        case ast.Constant(value=str() as text) if text.isidentifier():
            reading.attributes.add(text)
        case ast.MatchClass(kwd_attrs=words):
            reading.attributes.update(words)
        case ast.keyword(arg=str() as word):
            reading.attributes.add(word)
        case ast.ImportFrom():
            own = {name: found for name, found in imported_names(node).items() if isinstance(found, Symbol)}
            if own:
                reading.local_imports.append((node, own))
            return
    if isinstance(node, Function):
        _function(node, local, reading, skipped)
        return
    if isinstance(node, _COMPREHENSIONS):
        local |= _bound(node.generators)
    annotation = getattr(node, "annotation", None)
    for child in ast.iter_child_nodes(node):
        if child is annotation:
            reading.annotations.append(child)
        else:
            _visit(child, local, reading, skipped)


def _function(node: Function, local: frozenset[str], reading: Reading, skipped: frozenset[ast.AST]) -> None:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    reading.annotations += [each.annotation for each in every if each.annotation is not None]
    for default in [*arguments.defaults, *[each for each in arguments.kw_defaults if each is not None]]:
        _visit(default, local, reading, skipped)
    body = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    inner = local | {each.arg for each in every} | _bound(body)
    if not isinstance(node, ast.Lambda):
        for decorator in node.decorator_list:
            _visit(decorator, local, reading, skipped)
        if node.returns is not None:
            reading.annotations.append(node.returns)
    for each in body:
        _visit(each, inner, reading, skipped)


def _bound(body: list[ast.stmt] | list[ast.comprehension] | list[ast.expr]) -> frozenset[str]:
    """Names that these parts of one scope bind; imports of ttsc's own definitions are none, they become global."""
    found: set[str] = set()
    declared: set[str] = set()
    for node in _same_scope(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.ExceptHandler(name=str() as name):
                found.add(name)
            case ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name):
                found.add(name)
            case ast.MatchMapping(rest=str() as name):
                found.add(name)
            case ast.Import() | ast.ImportFrom():
                found |= {n for n, what in imported_names(node).items() if isinstance(what, External)}
            case ast.Global(names=names):
                declared.update(names)
    return frozenset(found - declared)


def _same_scope(body: list[ast.stmt] | list[ast.comprehension] | list[ast.expr]) -> Iterator[ast.AST]:
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Function | ast.ClassDef):
            continue
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _COMPREHENSIONS):
                # Its targets are its own, its walrus names are this scope's: there are none of these here.
                continue
            stack.append(child)
