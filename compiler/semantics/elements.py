"""Functions of elements, as operators take them.

Where a function of one element is expected there may stand a lambda, the name of a function, prompt, extern or
program, a field's name, or an expression over fields: names that are neither variables nor declared and are fields of
the element are the element's. All of these become lambdas here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.scopes import Env, Inner
from ttsc.compiler.semantics.substitute import Substitution
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CANDIDATE_FIELDS,
    CONTEXT,
    FLOAT,
    NEVER,
    NODE,
    NODE_FIELDS,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Type,
    assignable,
)
from ttsc.grammar import ast
from ttsc.grammar.source import NOWHERE
from ttsc.grammar.spelling import did_you_mean

if TYPE_CHECKING:
    from ttsc.compiler.semantics.modules import Module
    from ttsc.compiler.semantics.reporter import Reporter
    from ttsc.compiler.semantics.state import State

SECOND = "(second)"
"""The name of the second element in a call that has none in the source."""


class Elements:
    """Makes lambdas. The abstract methods are those of `Expressions` and `Calls`."""

    module: Module
    reporter: Reporter
    state: State
    implicit: set[typed.Symbol]
    """Fields that stand as names; an inner element's fields of the same name go before them."""

    def check(self, e: ast.Expr, env: Env) -> typed.Expr:
        raise AssertionError("abstract")

    def call(self, call: ast.Call, source: typed.Expr | None, env: Env) -> typed.Expr:
        raise AssertionError("abstract")

    def element_function(
        self, given: ast.Expr, element: Type, what: str, env: Env, *, key: bool = False, value: bool = False
    ) -> typed.Lambda | None:
        """A lambda of one element. `key`: bools count as numbers, also in a list; `value`: a value does for each."""
        if element == NEVER and not isinstance(given, ast.Lambda):
            return self._of_nothing(given, env)
        match given:
            case ast.Lambda(params, body) if len(params) == 1:
                symbol = typed.Symbol(params[0].id, element, "element", params[0].span)
                return typed.Lambda(symbol, self._body(body, Inner(env, (symbol,)), key), given.span)
            case ast.Lambda():
                return self._apart(given, element, what, env, key)
            case ast.Name(name) if not self._variable(name, element, env):
                return self._named(given, element, what, env, key)
        symbol = typed.Symbol("x", element, "element", given.span)
        fields = fields_of(element)
        free = [
            n for n in value_names(given) if n.id not in self.module.scope and not self._variable(n.id, element, env)
        ]
        if any(n.id in fields for n in free):
            return self._over_fields(given, symbol, fields, env, key)
        unknown = next((n for n in free if n.id not in OPERATORS and n.id not in FUNCTIONS), None)
        if unknown is not None and not value and fields:
            self._unknown(unknown, element, env)
            return None
        repeated = self._body(given, env, key)
        if value:
            return typed.Lambda(symbol, repeated, given.span)
        if repeated.type != NEVER:
            hint = "write x => …, the name of a function, or a field"
            if isinstance(given, ast.Name) and given.id in fields:
                hint = f"'{given.id}' is a variable here; the field is x => x.{given.id}"
            message = f"{what} must be a function of one element"
            self.reporter.error("E0319", message, given.span, "not a function", hint)
        return None

    def pair_function(self, given: ast.Expr, element: Type, what: str, env: Env) -> typed.Lambda | None:
        """A lambda of two elements: `(a, b) => …`, or the name of what takes two."""
        match given:
            case ast.Lambda((first, second), body):
                a = typed.Symbol(first.id, element, "element", first.span)
                b = typed.Symbol(second.id, element, "element", second.span)
                return typed.Lambda(a, self.check(body, Inner(env, (a, b))), given.span, (b,))
            case ast.Name(name) if name not in env and self._callable(name):
                a = typed.Symbol("a", element, "element", given.span)
                b = typed.Symbol(SECOND, element, "element", given.span)
                call = ast.Call(given, (ast.Name(SECOND, NOWHERE),), (), given.span)
                body_ = self.call(call, typed.Read(a, given.span), Inner(env, (b,)))
                return typed.Lambda(a, body_, given.span, (b,))
        if not isinstance(given, ast.Lambda):
            self.check(given, env)
        self.reporter.error(
            "E0323", f"{what} must be a function of two elements", given.span, "takes two", "write (a, b) => …"
        )
        return None

    def dependency_function(
        self, given: ast.Expr, element: Type, what: str, env: Env, found: Type
    ) -> typed.Lambda | None:
        """A lambda of an element and the list of what those it needs gave, which is list[`found`]."""
        match given:
            case ast.Lambda((first, second), body):
                x = typed.Symbol(first.id, element, "element", first.span)
                results = typed.Symbol(second.id, ListOf(found), "element", second.span)
                inner = Inner(env, (x, results))
                return typed.Lambda(x, self.check(body, inner), given.span, (results,))
        if not isinstance(given, ast.Lambda):
            self.check(given, env)
        self.reporter.error(
            "E0323",
            f"{what} must be a function of an element and of what it needs",
            given.span,
            "takes two",
            "write (x, found) => …",
        )
        return None

    def anything(self, e: ast.Expr, env: Env) -> Env:
        """Inside of an element whose type is not known: any name may be a field of it."""
        names = (n for n in value_names(e) if n.id not in env and n.id not in self.module.scope)
        return Inner(env, (typed.Symbol(n.id, NEVER, "element", n.span) for n in names))

    # --- one element ------------------------------------------------------------------------------------------------

    def _apart(self, given: ast.Lambda, element: Type, what: str, env: Env, key: bool) -> typed.Lambda | None:
        """`(a, b) => …` over pairs."""
        if not isinstance(element, PairOf) or len(given.params) != 2:
            hint = (
                "two names take a pair apart, as zip, cross and enumerate give them" if len(given.params) == 2 else ""
            )
            message = f"{what} is given one element, not {len(given.params)}"
            self.reporter.error("E0319", message, given.span, f"each is {element}", hint)
            return None
        pair = typed.Symbol("pair", element, "element", given.span)
        types = (element.first, element.second)
        parts = [typed.Symbol(p.id, t, "element", p.span) for p, t in zip(given.params, types, strict=True)]
        body = self._body(given.body, Inner(env, parts), key)
        read = typed.Read(pair, given.span)
        replaced = {
            p: typed.Pure("field", (read,), p.type, name, p.span)
            for p, name in zip(parts, ("first", "second"), strict=True)
        }
        return typed.Lambda(pair, Substitution(replaced).expr(body), given.span)

    def _of_nothing(self, given: ast.Expr, env: Env) -> typed.Lambda:
        """A function of the elements of an empty list, or of a list that was reported as wrong."""
        symbol = typed.Symbol("x", NEVER, "element", given.span)
        if isinstance(given, ast.Name) and given.id not in env:
            return typed.Lambda(symbol, typed.Const(None, NEVER, given.span), given.span)
        return typed.Lambda(symbol, self.check(given, self.anything(given, env)), given.span)

    def _named(self, given: ast.Name, element: Type, what: str, env: Env, key: bool) -> typed.Lambda | None:
        symbol = typed.Symbol("x", element, "element", given.span)
        read = typed.Read(symbol, given.span)
        fields = fields_of(element)
        if given.id in fields and given.id not in self.module.scope:
            body: typed.Expr = typed.Pure("field", (read,), fields[given.id], given.id, given.span)
        elif self._callable(given.id):
            body = self.call(ast.Call(given, (), (), given.span), read, env)
        else:
            self._unknown(given, element, env)
            return None
        return typed.Lambda(symbol, as_number(body) if key else body, given.span)

    def _over_fields(
        self, given: ast.Expr, symbol: typed.Symbol, fields: Mapping[str, Type], env: Env, key: bool
    ) -> typed.Lambda | None:
        read = typed.Read(symbol, given.span)
        names = [
            typed.Symbol(name, type_, "element", given.span)
            for name, type_ in fields.items()
            if name not in self.module.scope and not self._variable(name, symbol.type, env)
        ]
        self.implicit.update(names)
        body = self._body(given, Inner(env, names), key)
        self.implicit.difference_update(names)
        replaced = {s: typed.Pure("field", (read,), s.type, s.name, given.span) for s in names}
        return typed.Lambda(symbol, Substitution(replaced).expr(body), given.span)

    def _body(self, body: ast.Expr, env: Env, key: bool) -> typed.Expr:
        if not key or not isinstance(body, ast.ListExpr):
            checked = self.check(body, env)
            return as_number(checked) if key else checked
        items = [as_number(self.check(item, env)) for item in body.items]
        for item in items:
            if not assignable(item.type, FLOAT):
                hint = "say what counts if there is none: or_else(…, 0.0)" if isinstance(item.type, OptionalOf) else ""
                message = f"a key is a number or a bool, not {item.type}"
                self.reporter.error("E0324", message, item.span, f"this is {item.type}", hint)
        return typed.Pure("list", tuple(items), ListOf(FLOAT), span=body.span)

    def _variable(self, name: str, element: Type, env: Env) -> bool:
        """Whether a name means a variable, and not the field of an inner element."""
        symbol = env.get(name)
        return symbol is not None and not (symbol in self.implicit and name in fields_of(element))

    def _callable(self, name: str) -> bool:
        return name in self.module.scope or name in OPERATORS or name in FUNCTIONS

    def _unknown(self, name: ast.Name, element: Type, env: Env) -> None:
        if name.id in self.module.unresolved:
            return
        fields = fields_of(element)
        hint = did_you_mean(name.id, [*fields, *env, *self.module.scope, *FUNCTIONS, *OPERATORS])
        if not hint and name.id in ("boxed", "number", "letter", "yes_no", "stated"):
            hint = f"use std.answers ({name.id})"
        if not hint and fields:
            hint = f"fields of {element}: {', '.join(fields)}"
        what = f"a function, nor a field of {element}" if fields else "a function"
        self.reporter.error("E0322", f"'{name.id}' is not {what}", name.span, "not defined here", hint)


def fields_of(type_: Type) -> Mapping[str, Type]:
    """The fields that an element of this type has, by name."""
    match type_:
        case RecordType(_, fields):
            return dict(fields)
        case PairOf(first, second):
            return {"first": first, "second": second}
        case _ if type_ in (CANDIDATE, CONTEXT):
            return CANDIDATE_FIELDS
        case _ if type_ == NODE:
            return NODE_FIELDS
    return {}


def as_number(e: typed.Expr) -> typed.Expr:
    """A bool as 1 or 0; anything else as it is."""
    if e.type != BOOL:
        return e
    one, zero = typed.Const(1.0, FLOAT, e.span), typed.Const(0.0, FLOAT, e.span)
    return typed.Conditional(e, one, zero, FLOAT, e.span)


def value_names(e: ast.Expr) -> Iterator[ast.Name]:
    """Names that an expression reads as values: neither what it calls nor the parameters of its lambdas."""
    match e:
        case ast.Name():
            yield e
        case ast.Lambda(params, body):
            own = {p.id for p in params}
            yield from (n for n in value_names(body) if n.id not in own)
        case ast.Call(callee, args, keywords):
            if not isinstance(callee, ast.Name):
                yield from value_names(callee)
            for argument in (*args, *(k.value for k in keywords)):
                yield from value_names(argument)
        case ast.Pipe(value, stage):
            yield from value_names(value)
            if not isinstance(stage, ast.Name):
                yield from value_names(stage)
        case ast.ListExpr(items):
            for item in items:
                yield from value_names(item)
        case ast.Attribute(value) | ast.Unary(_, value):
            yield from value_names(value)
        case ast.Index(left, right) | ast.Binary(_, left, right):
            yield from value_names(left)
            yield from value_names(right)
        case ast.Conditional(then, condition, otherwise):
            for part in (then, condition, otherwise):
                yield from value_names(part)
