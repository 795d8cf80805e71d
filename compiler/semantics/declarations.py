"""Declarations: their types, parameters, constants and templates, each checked once and kept."""

from __future__ import annotations

from typing import Literal, cast

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.constraints import allowed_values, check_default
from ttsc.compiler.semantics.literals import constant
from ttsc.compiler.semantics.modules import Module, Named
from ttsc.compiler.semantics.reporter import Reporter
from ttsc.compiler.values.templates import TemplateInvalid, is_static, variables
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CONTEXT,
    FLOAT,
    IMAGE,
    INT,
    NEVER,
    NODE,
    STR,
    TREE,
    Allowed,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
    assignable,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean

BASIC: dict[str, Type] = {
    "str": STR,
    "int": INT,
    "float": FLOAT,
    "bool": BOOL,
    "Context": CONTEXT,
    "Candidate": CANDIDATE,
    "Tree": TREE,
    "Node": NODE,
    "Image": IMAGE,
}
INNER = (CONTEXT, CANDIDATE, TREE, NODE)
"""Types whose values mean something inside of a program only."""


class Declarations:
    """Types and signatures of what modules declare."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._records: dict[int, RecordType] = {}
        self._prompts: dict[int, typed.Prompt] = {}
        self._externs: dict[int, typed.Extern] = {}
        self._stores: dict[int, typed.Store] = {}
        self._open: set[int] = set()

    # --- types ------------------------------------------------------------------------------------------------------

    def type(self, expr: ast.TypeExpr, module: Module) -> Type:
        match expr:
            case ast.ListType(item, limit=limit):
                if limit is not None and limit < 1:
                    self._reporter.error("E0354", "a list of at most 0", expr.span, "nothing fits", "list[str, 8]")
                return ListOf(self.type(item, module), limit)
            case ast.OptionalType(item):
                inner = self.type(item, module)
                return inner if isinstance(inner, OptionalOf) else OptionalOf(inner)
            case ast.NamedType(name):
                if name in BASIC:
                    return BASIC[name]
                found = module.scope.get(name)
                if found is not None and isinstance(found[0], ast.Record):
                    return self.record(found[0], found[1])
                records = [n for n, (d, _) in module.scope.items() if isinstance(d, ast.Record)]
                hint = did_you_mean(name, [*BASIC, *records]) or "types: " + ", ".join(
                    [*BASIC, "list[T]", "T?", *records]
                )
                self._reporter.error("E0207", f"unknown type '{name}'", expr.span, "not a type", hint)
                return NEVER

    def record(self, record: ast.Record, module: Module) -> RecordType:
        known = self._records.get(id(record))
        if known is not None:
            return known
        if id(record) in self._open:
            self._reporter.error(
                "E0303", f"record '{record.name.id}' contains itself", record.name.span, "unbounded in size"
            )
            return RecordType(record.name.id, ())
        if record.name.id in BASIC:
            self._reporter.error(
                "E0202", f"'{record.name.id}' is a type of the language", record.name.span, "can't be declared"
            )
        if not record.fields:
            hint = "write a field, as in text: str"
            self._reporter.error("E0360", f"record '{record.name.id}' has no fields", record.name.span, "empty", hint)
        self._open.add(id(record))
        fields: dict[str, Type] = {}
        allowed: dict[str, Allowed] = {}
        for f in record.fields:
            if f.name.id in fields:
                self._reporter.error(
                    "E0201", f"field '{f.name.id}' is declared twice", f.name.span, "second declaration"
                )
            fields[f.name.id] = self.type(f.type, module)
            values = allowed_values(self._reporter, f.name.id, f.allowed, fields[f.name.id])
            if values is not None:
                allowed[f.name.id] = values
            self.data_only(fields[f.name.id], f.type.span, f"field '{f.name.id}' of record '{record.name.id}'")
        self._open.discard(id(record))
        result = RecordType(record.name.id, tuple(fields.items()), tuple(allowed.items()))
        self._records[id(record)] = result
        return result

    # --- parameters -------------------------------------------------------------------------------------------------

    def parameters(self, owner: Named, module: Module) -> tuple[typed.Parameter, ...]:
        parameters = () if isinstance(owner, (ast.Model, ast.Record, ast.Store)) else owner.parameters
        result: dict[str, typed.Parameter] = {}
        optional_seen = False
        for p in parameters:
            type_ = self.type(p.type, module)
            if p.name.id in result:
                self._reporter.error(
                    "E0201", f"parameter '{p.name.id}' is declared twice", p.name.span, "second declaration"
                )
            if p.tunable is not None and not isinstance(owner, ast.Program):
                self._reporter.error(
                    "E0304", "only a program's parameter can be tunable", p.tunable.span, "range not allowed here"
                )
            if p.oracle and not isinstance(owner, ast.Program):
                self._reporter.error(
                    "E0355",
                    "only a program's parameter can be an oracle",
                    p.span,
                    "oracle not allowed here",
                    "a function that knows the answer is an oracle extern",
                )
            if isinstance(owner, ast.Program) and _holds(type_, INNER):
                self._reporter.error(
                    "E0310",
                    f"parameter '{p.name.id}' is {type_}, which can't come from outside",
                    p.type.span,
                    "not data",
                )
            default = self._default(p, type_)
            if optional_seen and p.default is None:
                self._reporter.error(
                    "E0305",
                    f"parameter '{p.name.id}' without a default follows one with a default",
                    p.name.span,
                    hint="put parameters without a default first",
                )
            optional_seen = optional_seen or p.default is not None
            symbol = typed.Symbol(p.name.id, type_, "parameter", p.name.span)
            tunable = allowed_values(self._reporter, p.name.id, p.tunable, type_)
            check_default(self._reporter, p.name.id, tunable, default, p.default is not None, p.span)
            result[p.name.id] = typed.Parameter(symbol, p.default is None, default, tunable, p.oracle)
        return tuple(result.values())

    def _default(self, p: ast.Parameter, type_: Type) -> typed.Constant:
        if p.default is None:
            return None
        found, value, value_type = constant(p.default)
        if not found:
            self._reporter.error(
                "E0306",
                f"the default of '{p.name.id}' must be a constant",
                p.default.span,
                "not a literal",
                "write a string, number, true, false, none, or a list of these",
            )
        elif not assignable(value_type, type_):
            self._reporter.error(
                "E0301",
                f"the default of '{p.name.id}' is {value_type}, but its type is {type_}",
                p.default.span,
                f"expected {type_}",
            )
        return float(value) if type_ == FLOAT and isinstance(value, int) and not isinstance(value, bool) else value

    # --- prompts and externs ----------------------------------------------------------------------------------------

    def prompt(self, prompt: ast.Prompt, module: Module) -> typed.Prompt:
        known = self._prompts.get(id(prompt))
        if known is None:
            known = self._check_prompt(prompt, module)
            self._prompts[id(prompt)] = known
        return known

    def _check_prompt(self, prompt: ast.Prompt, module: Module) -> typed.Prompt:
        parameters = self.parameters(prompt, module)
        names = [p.name for p in parameters]
        used: set[str] = set()
        turns: list[typed.Turn] = []
        for turn in prompt.turns:
            template = str(turn.template.value)
            try:
                found = variables(template)
            except TemplateInvalid as error:
                self._reporter.error(
                    "E0307",
                    f"this template can't be read: {error}",
                    turn.template.span,
                    "Jinja template",
                    "templates have {{ values }}, {% for %}, {% if %} and filters; literal braces are {{ '{{' }}",
                )
                continue
            role = cast("Literal['system', 'user', 'assistant']", turn.role)
            turns.append(typed.Turn(role, template, tuple(found), not is_static(template), turn.span))
            for name in found:
                used.add(name)
                if name not in names:
                    hint = did_you_mean(name, names) or (
                        f"the prompt's parameters: {', '.join(names)}" if names else "the prompt has no parameters"
                    )
                    self._reporter.error(
                        "E0208",
                        f"prompt '{prompt.name.id}' uses an undefined variable '{name}'",
                        turn.template.span,
                        f"'{name}' is not a parameter",
                        hint,
                    )
        for p in parameters:
            if p.name not in used:
                self._reporter.warning(
                    "W0201", f"prompt '{prompt.name.id}' doesn't use '{p.name}'", p.symbol.span, "unused"
                )
        if not prompt.turns:
            self._reporter.error(
                "E0308", f"prompt '{prompt.name.id}' has no turns", prompt.name.span, hint='add user "…"'
            )
        for turn in prompt.turns[1:]:
            if turn.role == "system":
                self._reporter.error("E0309", "a system turn comes first or not at all", turn.span, "not first")
        return typed.Prompt(prompt.name.id, parameters, tuple(turns), prompt.doc or "", prompt.span)

    def extern(self, extern: ast.Extern, module: Module) -> typed.Extern:
        known = self._externs.get(id(extern))
        if known is None:
            parameters = self.parameters(extern, module)
            returns = self.type(extern.returns, module)
            for p in parameters:
                self.data_only(p.type, p.symbol.span, f"parameter '{p.name}' of extern '{extern.name.id}'")
            self.data_only(returns, extern.returns.span, f"the result of extern '{extern.name.id}'")
            kind = extern.modifier or "plain"
            known = typed.Extern(extern.name.id, parameters, returns, extern.doc or "", extern.span, kind)
            self._externs[id(extern)] = known
        return known

    def data_only(self, type_: Type, span: Span, what: str) -> None:
        if _holds(type_, INNER):
            self._reporter.error(
                "E0310", f"{what} is {type_}, which can't leave the program", span, "not data", "pass its text"
            )

    def store(self, store: ast.Store, module: Module) -> typed.Store:
        known = self._stores.get(id(store))
        if known is None:
            item = self.type(store.item, module)
            self.data_only(item, store.item.span, f"an item of store '{store.name.id}'")
            symbol = typed.Symbol(store.name.id, ListOf(item), "store", store.name.span)
            known = typed.Store(store.name.id, item, symbol, store.doc or "", store.span)
            self._stores[id(store)] = known
        return known


def _holds(type_: Type, kinds: tuple[Type, ...]) -> bool:
    """Whether a value of the type may hold one of `kinds`."""
    match type_:
        case ListOf(item) | OptionalOf(item):
            return _holds(item, kinds)
        case RecordType(fields=fields):
            return any(_holds(t, kinds) for _, t in fields)
    return type_ in kinds
