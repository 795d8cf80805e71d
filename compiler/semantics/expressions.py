"""Expressions: names resolved, types inferred, sugar removed.

An expression that can't be checked becomes `Const(None, never)`, which fits everywhere, so that one mistake gives one
message.
"""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.calls import Calls
from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.literals import literal_type
from ttsc.compiler.semantics.modules import Module
from ttsc.compiler.semantics.narrowing import known, narrowed, read
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.compiler.semantics.shared import Shared
from ttsc.compiler.semantics.state import State
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import (
    ABSTAIN,
    BOOL,
    CANDIDATE,
    CANDIDATE_FIELDS,
    CONTEXT,
    FLOAT,
    INT,
    NEVER,
    NODE,
    NODE_FIELDS,
    NONE,
    STR,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
    Type,
    assignable,
    join,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean, with_article

ARITHMETIC = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod"}
COMPARISON = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


class Expressions(Calls):
    """Checks the expressions of one module. `pure` forbids calls of models and externs (inside a function)."""

    def __init__(self, module: Module, shared: Shared) -> None:
        self.module = module
        self.shared = shared
        self.declarations = shared.declarations
        self.reporter = shared.reporter
        self.functions = shared.functions
        self.state = State(shared.reporter)
        self.pure = ""
        self.in_test = False
        self.models: dict[str, typed.Model] = {}
        self.stores: dict[typed.Symbol, typed.Store] = {}
        self.unassigned: set[typed.Symbol] = set()
        """Variables that may have no value yet where the checker is."""
        self.implicit: set[typed.Symbol] = set()
        self.speculative = False

    def child(self, home: Module) -> Expressions:
        return Expressions(home, self.shared)

    # --- expressions ------------------------------------------------------------------------------------------------

    def check(self, e: ast.Expr, env: Mapping[str, typed.Symbol]) -> typed.Expr:
        checked = self._check(e, env)
        if self.reporter.index is not None:
            self.reporter.index.expression(e, checked)
        return checked

    def _check(self, e: ast.Expr, env: Mapping[str, typed.Symbol]) -> typed.Expr:
        match e:
            case ast.Literal(value):
                return typed.Const(value, literal_type(value), e.span)
            case ast.Abstain():
                return typed.Const(ABSTAINED, ABSTAIN, e.span)
            case ast.Name(name):
                return self._name(name, e.span, env)
            case ast.ListExpr(items):
                return self._list([self.check(i, env) for i in items], e.span)
            case ast.Attribute(value, name):
                return self._attribute(self.check(value, env), name, e.name_span, e.span)
            case ast.Index(value, index):
                return self._index(self.check(value, env), self.check(index, env), e.span)
            case ast.Call():
                return self.call(e, None, env)
            case ast.Pipe(value, stage):
                return self._pipe(value, stage, env)
            case ast.Lambda():
                self.reporter.error(
                    "E0311",
                    "a function stands where a value is expected",
                    e.span,
                    "not a value",
                    "functions are arguments: xs |> each(x => …)",
                )
                return self.unknown(e.span)
            case ast.Unary(op, operand):
                return self._unary(op, self.check(operand, env), e.span)
            case ast.Binary("and", left, right):
                a, b = self.condition(left, env, "'and'"), self._side(right, env, left, True, "'and'")
                return typed.Conditional(a, b, typed.Const(False, BOOL, e.span), BOOL, e.span)
            case ast.Binary("or", left, right):
                a, b = self.condition(left, env, "'or'"), self._side(right, env, left, False, "'or'")
                return typed.Conditional(a, typed.Const(True, BOOL, e.span), b, BOOL, e.span)
            case ast.Binary("==" | "!=" as op, left, ast.Literal(None)) | ast.Binary(
                "==" | "!=" as op, ast.Literal(None), left
            ):
                return self._missing(op, self.check(left, env), e.span)
            case ast.Binary(op, left, right):
                return self._binary(op, self.check(left, env), self.check(right, env), e.span)
            case ast.Conditional(then, condition, otherwise):
                test = self.condition(condition, env, "'if'")
                holds, fails = known(condition)
                with self.state.forked("one side of 'if … else'"):
                    a, b = self.check(then, narrowed(env, holds)), self.check(otherwise, narrowed(env, fails))
                type_ = join(a.type, b.type)
                if type_ is None:
                    self.reporter.error("E0302", f"the two sides are {a.type} and {b.type}", e.span, "no common type")
                    type_ = NEVER
                return typed.Conditional(test, a, b, type_, e.span)

    def unknown(self, span: Span) -> typed.Expr:
        """What stands for an expression that was reported as wrong."""
        return typed.Const(None, NEVER, span)

    def expect(self, e: typed.Expr, target: Type, what: str, code: str = "E0301") -> typed.Expr:
        """`e`, reported if it does not fit `target`; a candidate where text is expected gives its text."""
        if assignable(e.type, target):
            return e
        if target in (STR, OptionalOf(STR)) and e.type in (CANDIDATE, CONTEXT):
            return typed.Pure("text", (e,), STR, span=e.span)
        hint = ""
        if isinstance(e.type, OptionalOf) and assignable(e.type.item, target):
            hint = f"it may be none: say what then, with or_else(…, {_example(target)})"
        elif e.type == ListOf(CANDIDATE) and target in (CANDIDATE, STR):
            hint = "take one of the pool: |> one, |> best(by=…), |> vote(by=…)"
        elif e.type == ABSTAIN:
            hint = f"only what may have no value can abstain: declare {target}?"
        elif target == STR and e.type in (INT, FLOAT, BOOL):
            hint = "to_str(…) makes it text"
        self.reporter.error(code, f"{what} is {e.type}, expected {target}", e.span, f"this is {e.type}", hint)
        return self.unknown(e.span)

    def condition(self, e: ast.Expr, env: Mapping[str, typed.Symbol], what: str) -> typed.Expr:
        return self.expect(self.check(e, env), BOOL, f"the condition of {what}")

    def _side(
        self, e: ast.Expr, env: Mapping[str, typed.Symbol], before: ast.Expr, held: bool, what: str
    ) -> typed.Expr:
        """The second part of `and` and `or`, read only if the first held or did not."""
        holds, fails = known(before)
        with self.state.forked(f"the right side of {what}"):
            return self.condition(e, narrowed(env, holds if held else fails), what)

    def _missing(self, op: str, value: typed.Expr, span: Span) -> typed.Expr:
        """`x == none`: whether it has no value, be it none or withheld."""
        if not (isinstance(value.type, OptionalOf) or value.type in (NONE, ABSTAIN, NEVER)):
            self.reporter.warning(
                "W0202",
                f"{with_article(value.type)} is never none",
                span,
                f"always {'false' if op == '==' else 'true'}",
            )
        missing = typed.Pure("missing", (value,), BOOL, span=span)
        return missing if op == "==" else typed.Pure("not", (missing,), BOOL, span=span)

    def store(self, name: str) -> typed.Store | None:
        """The store that a name stands for, noted as used."""
        found = self.module.scope.get(name)
        if found is None or not isinstance(found[0], ast.Store):
            return None
        store = self.declarations.store(found[0], found[1])
        self.stores[store.symbol] = store
        return store

    def _name(self, name: str, span: Span, env: Mapping[str, typed.Symbol]) -> typed.Expr:
        if name in env:
            if env[name] in self.unassigned:
                hint = "assign it on every way that leads here, or give it a first value"
                self.reporter.error("E0409", f"'{name}' may have no value yet", span, "read here", hint)
            return read(env[name], span)
        store = self.store(name)
        if store is not None:
            self.impure(f"store '{name}'", span)
            return typed.Read(store.symbol, span)
        if name in self.module.scope:
            declaration, _ = self.module.scope[name]
            kind = type(declaration).__name__.lower()
            hint = f"call it: {name}(…)" if not isinstance(declaration, ast.Model) else f"give it as model={name}"
            self.reporter.error("E0311", f"'{name}' is {with_article(kind)}, not a value", span, "not a value", hint)
        elif name in OPERATORS or name in FUNCTIONS:
            self.reporter.error(
                "E0311", f"'{name}' is an operator, not a value", span, "not a value", f"call it: value |> {name}(…)"
            )
        elif name not in self.module.unresolved:
            hint = did_you_mean(name, [*env, *self.module.scope])
            self.reporter.error("E0204", f"unknown name '{name}'", span, "not defined here", hint)
        return self.unknown(span)

    def _list(self, items: list[typed.Expr], span: Span) -> typed.Expr:
        type_: Type = NEVER
        for item in items:
            wider = join(type_, item.type)
            if wider is None:
                self.reporter.error(
                    "E0302",
                    f"a list of {type_} can't hold {with_article(item.type)}",
                    item.span,
                    f"this is {item.type}",
                )
            else:
                type_ = wider
        return typed.Pure("list", tuple(items), ListOf(type_), span=span)

    def _attribute(self, value: typed.Expr, name: str, name_span: Span, span: Span) -> typed.Expr:
        match value.type:
            case RecordType() as record:
                fields = dict(record.fields)
            case t if t in (CANDIDATE, CONTEXT):
                fields = CANDIDATE_FIELDS
            case t if t == NODE:
                fields = NODE_FIELDS
            case PairOf(first, second):
                fields = {"first": first, "second": second}
            case t if t == NEVER:
                return self.unknown(span)
            case t:
                hint = "use each(x => x.…) for every element" if isinstance(t, ListOf) else ""
                self.reporter.error("E0203", f"{with_article(t)} has no fields", name_span, f"no field '{name}'", hint)
                return self.unknown(span)
        if name not in fields:
            hint = did_you_mean(name, fields) or "its fields: " + ", ".join(fields)
            self.reporter.error("E0203", f"{value.type} has no field '{name}'", name_span, "unknown field", hint)
            return self.unknown(span)
        return typed.Pure("field", (value,), fields[name], attr=name, span=span)

    def _index(self, value: typed.Expr, index: typed.Expr, span: Span) -> typed.Expr:
        index = self.expect(index, INT, "the index")
        if isinstance(value.type, ListOf):
            return typed.Pure("item", (value, index), value.type.item, span=span)
        if value.type != NEVER:
            self.reporter.error(
                "E0301",
                f"{with_article(value.type)} can't be indexed",
                value.span,
                f"this is {value.type}, expected a list",
            )
        return self.unknown(span)

    def _pipe(self, value: ast.Expr, stage: ast.Expr, env: Mapping[str, typed.Symbol]) -> typed.Expr:
        source = self.check(value, env)
        match stage:
            case ast.Name():
                return self.call(ast.Call(stage, (), (), stage.span), source, env)
            case ast.Call():
                return self.call(stage, source, env)
        self.reporter.error(
            "E0312",
            "this can't stand after '|>'",
            stage.span,
            "expected an operator or a call",
            "each(x => …) applies an expression to every element",
        )
        return self.unknown(stage.span)

    # --- operators on values ----------------------------------------------------------------------------------------

    def _unary(self, op: str, operand: typed.Expr, span: Span) -> typed.Expr:
        if op == "not":
            return typed.Pure("not", (self.expect(operand, BOOL, "the operand of 'not'"),), BOOL, span=span)
        if isinstance(operand, typed.Const) and operand.type in (INT, FLOAT):
            assert isinstance(operand.value, (int, float))
            return typed.Const(-operand.value, operand.type, span)
        operand = self.expect(operand, FLOAT, "the operand of '-'")
        return typed.Pure("neg", (operand,), operand.type, span=span)

    def _binary(self, op: str, a: typed.Expr, b: typed.Expr, span: Span) -> typed.Expr:
        if NEVER in (a.type, b.type) and op not in COMPARISON:
            return self.unknown(span) if op in ARITHMETIC else typed.Pure("in", (a, b), BOOL, span=span)
        type_ = self._binary_type(op, a.type, b.type)
        if type_ is None:
            hint = ""
            optional = next((t for t in (a.type, b.type) if isinstance(t, OptionalOf)), None)
            if optional is not None and op not in ("==", "!="):
                hint = f"it may be none: or_else(…, {_example(optional.item)})"
            elif op == "+" and STR in (a.type, b.type):
                hint = "to_str(…) makes a number text"
            self.reporter.error(
                "E0313", f"'{op}' can't take {a.type} and {b.type}", span, f"{a.type} {op} {b.type}", hint
            )
            return self.unknown(span)
        return typed.Pure(ARITHMETIC.get(op) or COMPARISON.get(op) or "in", (a, b), type_, span=span)

    def _binary_type(self, op: str, a: Type, b: Type) -> Type | None:
        numbers = assignable(a, FLOAT) and assignable(b, FLOAT)
        data = all(t not in (CANDIDATE, CONTEXT) for t in (a, b))
        match op:
            case "==" | "!=":
                return BOOL if data and join(a, b) is not None else None
            case "<" | "<=" | ">" | ">=":
                return BOOL if numbers or a == b == STR else None
            case "in":
                inside = b.item if isinstance(b, ListOf) else STR if b == STR else NONE
                return BOOL if data and inside != NONE and join(a, inside) is not None else None
            case "+":
                if a == b == STR:
                    return STR
                if isinstance(a, ListOf) and isinstance(b, ListOf):
                    return join(a, b)
                return join(a, b) if numbers else None
            case "/":
                return FLOAT if numbers else None
            case _:
                return join(a, b) if numbers else None


def _example(target: Type) -> str:
    return {"str": '""', "int": "0", "float": "0.0", "bool": "false"}.get(str(target), "…")
