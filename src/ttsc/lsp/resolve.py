"""Finds what each name of a tree stands for: declarations, parameters, variables, arguments, fields, templates' names.

The order in which a name is looked up is the checker's: what is bound nearest, then the language's own names where
something is called, then the file's declarations and what it uses.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from ttsc.compiler.semantics.declarations import BASIC
from ttsc.compiler.semantics.elements import fields_of
from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.index import Index
from ttsc.compiler.semantics.modules import Library
from ttsc.compiler.semantics.operators import OPERATORS, Choice, ParameterSpec, Spec
from ttsc.compiler.values.types import NEVER, RecordType, Type
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.tokens import Token
from ttsc.lsp.names import Builtin, Definition, DefinitionKind, File, Names, Occurrence, Target
from ttsc.lsp.template_names import names_in

Env = MutableMapping[str, Definition]
_KINDS: dict[type, DefinitionKind] = {
    ast.Model: "model",
    ast.Prompt: "prompt",
    ast.Record: "record",
    ast.Extern: "extern",
    ast.Function: "function",
    ast.Program: "program",
    ast.Store: "store",
}
_PATH = r"\s+(\w+(?:\s*\.\s*\w+)*)"
_USED = re.compile(rf"use{_PATH}")
_TASK = re.compile(rf"\bfor{_PATH}\s*\Z")


def resolve(tree: ast.Module, index: Index, library: Library, tokens: list[Token]) -> Names:
    """The names of `tree`, the tree of the indexed source."""
    resolver = _Resolver(tree, index, library)
    resolver.run()
    return Names(resolver.found, tokens)


class _Resolver:
    def __init__(self, tree: ast.Module, index: Index, library: Library) -> None:
        self._tree = tree
        self._index = index
        self._library = library
        self._known: dict[int, Definition] = {}
        self._scope: dict[str, Any] = {}
        self._owner: Any = None
        self._elements: list[Type] = []
        self.found: list[Occurrence] = []

    def run(self) -> None:
        if self._index.module is not None:
            self._scope = {name: declaration for name, (declaration, _) in self._index.module.scope.items()}
        for d in self._tree.declarations:
            if type(d) in _KINDS:
                self._scope.setdefault(d.name.id, d)  # type: ignore[union-attr]
        for d in self._tree.declarations:
            self._owner = d
            self._declaration(d)

    # --- what names stand for

    def _definition(self, node: Any, kind: DefinitionKind, name: ast.Name, owner: Any = None) -> Definition:
        """The one definition that a piece of tree makes of a name."""
        key = id(name)
        if key not in self._known:
            self._known[key] = Definition(name.id, kind, name.span, node, owner)
        return self._known[key]

    def _declared(self, d: Any) -> Definition:
        return self._definition(d, _KINDS[type(d)], d.name)

    def _add(self, span: Span, target: Target, defines: bool = False, value: ast.Expr | None = None) -> None:
        if span.source is self._tree.span.source and span.end > span.start:
            self.found.append(Occurrence(span, target, defines, value))

    def _bind(self, name: ast.Name, kind: DefinitionKind, node: Any, env: Env) -> None:
        definition = self._definition(node, kind, name, self._owner)
        self._add(name.span, definition, defines=True)
        env[name.id] = definition

    # --- declarations

    def _declaration(self, d: ast.Declaration) -> None:
        if type(d) in _KINDS:
            self._add(d.name.span, self._declared(d), defines=True)  # type: ignore[union-attr]
        match d:
            case ast.Use():
                self._use(d)
            case ast.Prompt():
                env = self._parameters(d.parameters)
                for turn in d.turns:
                    span = turn.template.span
                    for name, start, end in names_in(span.text):
                        if name in env:
                            self._add(Span(span.source, span.start + start, span.start + end), env[name])
            case ast.Record():
                for field in d.fields:
                    self._add(field.name.span, self._definition(field, "field", field.name, d), defines=True)
                    self._type(field.type)
            case ast.Extern():
                self._parameters(d.parameters)
                self._type(d.returns)
            case ast.Function():
                env = self._parameters(d.parameters)
                self._type(d.returns)
                self._expression(d.body, env)
            case ast.Program():
                env = self._parameters(d.parameters)
                self._type(d.returns)
                self._statements(d.body, env)
            case ast.Store():
                self._type(d.item)
            case ast.Test():
                self._test(d)
            case ast.Model():
                pass

    def _use(self, use: ast.Use) -> None:
        for named, written in ((use.path, _USED), (use.task, _TASK)):
            source = None if named is None else self._library.find(named, use.span.source)
            path = written.search(use.span.text)
            if source is not None and path is not None:
                start = use.span.start + path.start(1)
                self._add(Span(use.span.source, start, use.span.start + path.end(1)), File(source))
        for name in use.names:
            declaration = self._scope.get(name.id)
            if declaration is not None and declaration.span.source is not use.span.source:
                self._add(name.span, self._declared(declaration))

    def _parameters(self, parameters: Sequence[ast.Parameter]) -> dict[str, Definition]:
        env: dict[str, Definition] = {}
        for p in parameters:
            self._bind(p.name, "parameter", p, env)
            self._type(p.type)
            if p.default is not None:
                self._expression(p.default, {})
        return env

    def _test(self, test: ast.Test) -> None:
        env: dict[str, Definition] = {}
        for item in test.items:
            match item:
                case ast.Let():
                    self._let(item, env)
                case ast.Scripted() | ast.StubStore():
                    name = item.role if isinstance(item, ast.Scripted) else item.name
                    self._reference(name, {})
                    self._expression(item.replies if isinstance(item, ast.Scripted) else item.items, env)
                case ast.Stub():
                    self._reference(item.name, {})
                    inner = ChainMap({}, env)
                    for name in item.parameters:
                        self._bind(name, "element", item, inner)
                    self._expression(item.value, inner)
                case ast.Expect():
                    self._expression(item.condition, env)

    def _type(self, type_: ast.TypeExpr) -> None:
        match type_:
            case ast.NamedType(name):
                declaration = self._scope.get(name)
                if name in BASIC:
                    self._add(type_.span, Builtin(name, "type"))
                elif isinstance(declaration, ast.Record):
                    self._add(type_.span, self._declared(declaration))
            case ast.ListType() | ast.OptionalType():
                self._type(type_.item)

    # --- statements

    def _statements(self, statements: Sequence[ast.Statement], env: Env) -> None:
        inner = ChainMap({}, env)
        for s in statements:
            match s:
                case ast.Let() | ast.Var():
                    self._let(s, inner)
                case ast.Assign() | ast.Add():
                    self._expression(s.value, inner)
                    self._reference(s.name, inner)
                case ast.If():
                    self._expression(s.condition, inner)
                    self._statements(s.then, inner)
                    self._statements(s.otherwise, inner)
                case ast.Repeat():
                    self._expression(s.count, inner)
                    self._statements(s.body, inner)
                    if s.until is not None:
                        self._expression(s.until, inner)
                case ast.For():
                    self._expression(s.over, inner)
                    loop = ChainMap({}, inner)
                    for name in s.names:
                        self._bind(name, "element", s, loop)
                    self._statements(s.body, loop)
                    if s.until is not None:
                        self._expression(s.until, loop)
                case ast.Return():
                    self._expression(s.value, inner)

    def _let(self, s: ast.Let | ast.Var, env: Env) -> None:
        if s.value is not None:
            self._expression(s.value, env)
        if s.type is not None:
            self._type(s.type)
        self._bind(s.name, "let" if isinstance(s, ast.Let) else "var", s, env)

    # --- expressions

    def _expression(self, e: ast.Expr, env: Env) -> None:
        match e:
            case ast.Name():
                self._reference(e, env)
            case ast.Attribute():
                self._expression(e.value, env)
                self._attribute(e)
            case ast.Call():
                self._call(e, env, e, piped=False)
            case ast.Pipe():
                self._expression(e.value, env)
                if isinstance(e.stage, ast.Name):
                    self._callee(e.stage, env, e)
                elif isinstance(e.stage, ast.Call):
                    self._call(e.stage, env, e, piped=True)
                else:
                    self._expression(e.stage, env)
            case ast.Lambda():
                inner = ChainMap({}, env)
                for param in e.params:
                    self._bind(param, "element", e, inner)
                self._expression(e.body, inner)
            case _:
                self._parts(e, env)

    def _parts(self, e: Any, env: Env) -> None:
        """The expressions that an expression of another kind is made of."""
        for field in fields(e):
            value = getattr(e, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if is_dataclass(part) and not isinstance(part, Span):
                    self._expression(part, env)  # type: ignore[arg-type]

    def _reference(self, name: ast.Name, env: Env, value: ast.Expr | None = None) -> None:
        if name.id in env:
            self._add(name.span, env[name.id], value=value or name)
        elif name.id in self._scope:
            self._add(name.span, self._declared(self._scope[name.id]), value=value or name)
        else:
            for element in reversed(self._elements):
                if name.id in fields_of(element):
                    self._field(name.id, name.span, element, name)
                    break

    def _callee(self, name: ast.Name, env: Env, whole: ast.Expr) -> Any:
        """Resolves what `whole` calls; gives the `Spec` or the declaration, if there is one."""
        if name.id in env:
            self._reference(name, env)
            return None
        if name.id in OPERATORS:
            spec = OPERATORS[name.id]
            self._add(name.span, Builtin(name.id, "operator", spec), value=whole)
            return spec
        if name.id in FUNCTIONS:
            self._add(name.span, Builtin(name.id, "function", FUNCTIONS[name.id]), value=whole)
            return None
        self._reference(name, env, whole)
        return self._scope.get(name.id)

    def _attribute(self, e: ast.Attribute) -> None:
        type_ = self._index.type_of(e.value.span)
        if type_ is not None:
            self._field(e.name, e.name_span, type_, e)

    def _field(self, name: str, span: Span, of: Type, value: ast.Expr) -> None:
        """A field of a value, or of the element that an operator's argument is about."""
        if isinstance(of, RecordType):
            record = self._record(of)
            for field in record.fields if record else ():
                if field.name.id == name:
                    self._add(span, self._definition(field, "field", field.name, record), value=value)
        elif name in fields_of(of):
            self._add(span, Builtin(name, "field", of), value=value)

    def _record(self, type_: RecordType) -> ast.Record | None:
        """The declaration of a record's type: the file's own, one it uses, or one that those use."""
        near = self._scope.get(type_.name)
        if isinstance(near, ast.Record):
            return near
        for module in self._index.modules():
            for d in module.tree.declarations:
                if isinstance(d, ast.Record) and d.name.id == type_.name:
                    return d
        return None

    # --- calls

    def _call(self, call: ast.Call, env: Env, whole: ast.Expr, piped: bool) -> None:
        called: Any = None
        if isinstance(call.callee, ast.Name):
            called = self._callee(call.callee, env, whole)
        else:
            self._expression(call.callee, env)
        if isinstance(called, Spec):
            self._operator(called, call, env, whole, piped)
            return
        named: dict[str, Definition] = {}
        for p in getattr(called, "parameters", ()):
            named[p.name.id] = self._definition(p, "parameter", p.name, called)
        if isinstance(called, ast.Record):
            named = {f.name.id: self._definition(f, "field", f.name, called) for f in called.fields}
        for argument in call.args:
            self._expression(argument, env)
        for keyword in call.keywords:
            if keyword.name in named:
                self._add(keyword.name_span, named[keyword.name])
            self._expression(keyword.value, env)

    def _operator(self, spec: Spec, call: ast.Call, env: Env, whole: ast.Expr, piped: bool) -> None:
        positional = list(call.args)
        source = whole.value if isinstance(whole, ast.Pipe) else None
        if not piped and positional:
            source = positional.pop(0)
            self._expression(source, env)
        given = None if source is None else self._index.type_of(source.span)
        element = None if given is None else spec.takes(given)
        self._elements.append(element or NEVER)
        for i, argument in enumerate(positional):
            self._argument(spec.parameters[i] if i < len(spec.parameters) else None, argument, env)
        by_name = {p.name: p for p in spec.parameters}
        for keyword in call.keywords:
            parameter = by_name.get(keyword.name)
            if parameter is not None:
                self._add(keyword.name_span, Builtin(parameter.name, "argument", spec, parameter))
            self._argument(parameter, keyword.value, env)
        self._elements.pop()

    def _argument(self, parameter: ParameterSpec | None, given: ast.Expr, env: Env) -> None:
        """An argument of an operator, which may be a bare word: of a choice, of a function, of a candidate's field."""
        if not isinstance(given, ast.Name):
            self._expression(given, env)
        elif parameter is not None and isinstance(parameter.kind, Choice) and given.id in parameter.kind.words:
            self._add(given.span, Builtin(given.id, "word", parameter))
        elif given.id in env or given.id in self._scope or self._is_field(given.id):
            self._reference(given, env)
        elif given.id in OPERATORS or given.id in FUNCTIONS:
            self._callee(given, env, given)
        else:
            self._reference(given, env)

    def _is_field(self, name: str) -> bool:
        """A field goes before a function of the same name, as `text` is one."""
        return any(name in fields_of(element) for element in self._elements[-1:])
