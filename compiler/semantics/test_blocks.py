"""`test` blocks: what the models say, what the host gives, the programs that are called, and what must hold of them."""

from __future__ import annotations

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.expressions import Expressions
from ttsc.compiler.semantics.literals import constant
from ttsc.compiler.semantics.modules import Module
from ttsc.compiler.semantics.shared import Shared
from ttsc.compiler.semantics.statements import Statements
from ttsc.compiler.values.pattern import valid_pattern
from ttsc.compiler.values.types import FLOAT, INT, NEVER, STR, ListOf, assignable
from ttsc.grammar import ast
from ttsc.grammar.source import NOWHERE
from ttsc.grammar.spelling import did_you_mean

MEASURES = {
    "calls": "requests that were started",
    "tokens": "tokens decoded, those of aborted requests included",
    "prefill": "prompt tokens that were not in the cache",
    "aborted": "requests that were stopped before their end",
    "externs": "calls of externs",
}
"""What an expectation may ask of the run, each an int of the whole test."""


def check_test(d: ast.Test, module: Module, shared: Shared) -> typed.Test:
    """A typed test; what is wrong with it is reported."""
    return _Checker(module, shared).check(d)


class _Checker:
    def __init__(self, module: Module, shared: Shared) -> None:
        self._module = module
        self._shared = shared
        self._reporter = shared.reporter
        self._x = Expressions(module, shared)
        self._x.in_test = True
        self._scope: dict[str, typed.Symbol] = {}
        self._measures = {
            name: typed.Symbol(name, INT, "parameter", NOWHERE) for name in MEASURES if name not in module.scope
        }

    def check(self, d: ast.Test) -> typed.Test:
        scripted: list[typed.Scripted] = []
        stubs: list[typed.Stub] = []
        stores: list[typed.StubStore] = []
        body: list[typed.Bind] = []
        expects: list[typed.Expect] = []
        statements = Statements(self._x, NEVER)
        for item in d.items:
            match item:
                case ast.Scripted():
                    scripted.append(self._scripted(item))
                case ast.Stub():
                    stubs.extend(self._stub(item))
                case ast.StubStore():
                    stores.extend(self._store(item))
                case ast.Let():
                    bound = statements.bind(item, self._scope)
                    what = f"'{item.name.id}' of a test"
                    self._shared.declarations.data_only(bound.symbol.type, item.value.span, what)
                    body.append(bound)
                case ast.Expect(condition, span=span):
                    inner = Expressions(self._module, self._shared)
                    inner.pure = "'expect'"
                    test = inner.condition(condition, {**self._measures, **self._scope}, "'expect'")
                    expects.append(typed.Expect(test, span))
        if not expects:
            hint = 'say what must hold: expect answer == "4"'
            self._reporter.error("E0358", f"test '{d.title}' expects nothing", d.span, "it can't fail", hint)
        models = tuple(self._x.models.values())
        return typed.Test(
            d.title,
            tuple(scripted),
            tuple(stubs),
            tuple(stores),
            tuple(body),
            tuple(expects),
            tuple(self._measures.values()),
            models,
            d.span,
            tuple(self._x.stores.values()),
        )

    def _scripted(self, item: ast.Scripted) -> typed.Scripted:
        """Texts, or numbers for a model that scores."""
        known, value, type_ = constant(item.replies)
        items = value if isinstance(value, tuple) else (value,)
        fits = any(assignable(type_, t) for t in (STR, FLOAT, ListOf(STR), ListOf(FLOAT)))
        if not known or not fits or not items:
            hint = 'write a text, a number, or a list of them: model policy => ["first", "second"]'
            self._reporter.error("E0359", "a model's replies are texts or numbers", item.replies.span, "", hint)
            items = ("",)
        replies = tuple(x if isinstance(x, str) else float(x) for x in items if isinstance(x, (str, int, float)))
        self._role(item.role)
        problem = valid_pattern(item.pattern) if item.pattern is not None else None
        if problem:
            message = f"this regular expression can't be read: {problem}"
            hint = 'in a string, write a backslash twice: "\\\\("'
            self._reporter.error("E0316", message, item.span, "a prompt's pattern", hint)
        return typed.Scripted(item.role.id, item.pattern, replies, item.span)

    def _role(self, role: ast.Name) -> None:
        roles = [n for n, (d, _) in self._module.scope.items() if isinstance(d, ast.Model)] or ["policy"]
        if role.id not in roles and role.id not in self._x.models:
            hint = did_you_mean(role.id, roles) or f"the file's models: {', '.join(roles)}"
            self._reporter.error("E0204", f"unknown model '{role.id}'", role.span, "not a model", hint)

    def _stub(self, item: ast.Stub) -> list[typed.Stub]:
        found = self._module.scope.get(item.name.id)
        if found is None or not isinstance(found[0], ast.Extern):
            externs = [n for n, (d, _) in self._module.scope.items() if isinstance(d, ast.Extern)]
            hint = did_you_mean(item.name.id, externs) or "an extern that the file declares or uses"
            self._reporter.error("E0204", f"unknown extern '{item.name.id}'", item.name.span, "not an extern", hint)
            return []
        extern = self._shared.declarations.extern(found[0], found[1])
        if len(item.parameters) > len(extern.parameters):
            names = ", ".join(p.name for p in extern.parameters)
            count = len(extern.parameters)
            message = f"extern '{extern.name}' takes {count} parameter{'s' * (count != 1)}" + (names and f": {names}")
            self._reporter.error("E0314", message, item.parameters[-1].span, "one too many")
            return []
        symbols = tuple(
            typed.Symbol(given.id, p.type, "parameter", given.span)
            for given, p in zip(item.parameters, extern.parameters, strict=False)
        )
        inner = Expressions(self._module, self._shared)
        inner.pure = f"extern '{extern.name}' of a test"
        value = inner.check(item.value, {s.name: s for s in symbols})
        value = inner.expect(value, extern.returns, f"what '{extern.name}' gives")
        return [typed.Stub(extern, symbols, value, item.span)]

    def _store(self, item: ast.StubStore) -> list[typed.StubStore]:
        store = self._x.store(item.name.id)
        if store is None:
            stores = [n for n, (d, _) in self._module.scope.items() if isinstance(d, ast.Store)]
            hint = did_you_mean(item.name.id, stores)
            self._reporter.error("E0204", f"unknown store '{item.name.id}'", item.name.span, "not a store", hint)
            return []
        inner = Expressions(self._module, self._shared)
        inner.pure = f"store '{store.name}' of a test"
        items = inner.expect(inner.check(item.items, {}), store.symbol.type, f"what '{store.name}' holds")
        return [typed.StubStore(store, items, item.span)]
