"""Calls of the language's operators: arguments matched to the `Spec`, element functions made lambdas, result types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.operators import (
    Choice,
    ElementFunction,
    ModelRoleParameter,
    ParameterSpec,
    SameAsElement,
    Spec,
    TextFunction,
)
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CANDIDATE_FIELDS,
    CONTEXT,
    FLOAT,
    NEVER,
    POOL,
    STR,
    ListOf,
    OptionalOf,
    Type,
    assignable,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean

if TYPE_CHECKING:
    from ttsc.compiler.semantics.modules import Module
    from ttsc.compiler.semantics.reporter import Reporter

Env = Mapping[str, typed.Symbol]
Argument = typed.Expr | typed.Lambda | str | None

IMPLICIT_MODEL = "policy"
"""The role of a program whose file declares none."""

LIMITS: dict[str, tuple[float, float, str]] = {
    "n": (1, 100_000, "at least 1"),
    "max_tokens": (1, 10_000_000, "at least 1"),
    "temperature": (0, 100, "0 (greedy) or more"),
    "top_p": (1e-9, 1, "above 0 and at most 1"),
    "min_p": (0, 1, "from 0 to 1"),
}
"""Constants outside these bounds are errors; values known only at run time are checked there."""


STATIC = ("max_weight", "maximum")
"""Arguments that a decision rule must know before anything runs."""


class OperatorCalls:
    """Binds operators. The abstract methods are those of `Expressions` and `Calls`."""

    module: Module
    reporter: Reporter
    models: dict[str, typed.Model]

    def check(self, e: ast.Expr, env: Env) -> typed.Expr:
        raise AssertionError("abstract")

    def call(self, call: ast.Call, source: typed.Expr | None, env: Env) -> typed.Expr:
        raise AssertionError("abstract")

    def expect(self, e: typed.Expr, target: Type, what: str, code: str = "E0301") -> typed.Expr:
        raise AssertionError("abstract")

    def unknown(self, span: Span) -> typed.Expr:
        raise AssertionError("abstract")

    def impure(self, what: str, span: Span) -> None:
        raise AssertionError("abstract")

    def operator_call(self, spec: Spec, call: ast.Call, piped: typed.Expr | None, env: Env) -> typed.Expr:
        positional = list(call.args)
        source = piped
        if source is None:
            if not positional:
                self.reporter.error(
                    "E0314",
                    f"'{spec.name}' needs {spec.source}",
                    call.span,
                    "nothing piped in",
                    f"value |> {spec.name}(…)",
                )
                return self.unknown(call.span)
            source = self.check(positional.pop(0), env)
        if spec.group in ("generation", "judgement"):
            self.impure(f"'{spec.name}'", call.callee.span)
        element = self._element(spec, source)
        given = self._match(spec, positional, call)
        arguments = [(p.name, self._argument(spec, p, given.get(p.name), element, call, env)) for p in spec.parameters]
        if element is None:
            return self.unknown(call.span)
        type_ = self._result(spec, source, element, dict(arguments), call)
        return typed.Operator(spec.name, source, tuple(arguments), type_, call.span)

    # --- what is piped in -------------------------------------------------------------------------------------------

    def _element(self, spec: Spec, source: typed.Expr) -> Type | None:
        """The type of one element of the source, or None if the source does not fit (reported)."""
        type_ = source.type
        if type_ == NEVER:
            return None
        item = type_.item if isinstance(type_, ListOf) else None
        fits = False
        match spec.name:
            case "sample":
                fits = type_ == CONTEXT or item == CONTEXT
            case "branch" | "force" | "refine":
                fits = assignable(type_, CANDIDATE) or (item is not None and assignable(item, CANDIDATE))
            case "vote":
                fits = item is not None and (item == CANDIDATE or assignable(item, OptionalOf(STR)))
            case "verify" | "score" | "best" | "keep" | "stop_first":
                fits = item is not None and assignable(item, CANDIDATE)
            case _:
                fits = item is not None
        if not fits:
            hint = ""
            if spec.name == "sample" and (type_ == CANDIDATE or item == CANDIDATE):
                hint = "branch(n) continues candidates; refine(prompt) adds a turn"
            elif item is None and assignable(type_, CANDIDATE):
                hint = f"'{spec.name}' takes a pool; put it in a list: [candidate] |> {spec.name}(…)"
            self.reporter.error(
                "E0301", f"'{spec.name}' takes {spec.source}, not {type_}", source.span, f"this is {type_}", hint
            )
            return None
        return item if item is not None else type_

    # --- arguments --------------------------------------------------------------------------------------------------

    def _match(self, spec: Spec, positional: list[ast.Expr], call: ast.Call) -> dict[str, ast.Expr]:
        names = [p.name for p in spec.parameters]
        given: dict[str, ast.Expr] = dict(zip(names, positional, strict=False))
        if len(positional) > len(names):
            self.reporter.error("E0314", f"'{spec.name}' takes at most {len(names)} arguments", call.span, spec.doc)
        for keyword in call.keywords:
            if keyword.name not in names:
                hint = did_you_mean(keyword.name, names) or f"it takes: {', '.join(names)}"
                self.reporter.error(
                    "E0315",
                    f"'{spec.name}' has no argument '{keyword.name}'",
                    keyword.name_span,
                    "unknown argument",
                    hint,
                )
            elif keyword.name in given:
                self.reporter.error("E0315", f"'{keyword.name}' is given twice", keyword.name_span, "second value")
            else:
                given[keyword.name] = keyword.value
        return given

    def _argument(
        self, spec: Spec, p: ParameterSpec, given: ast.Expr | None, element: Type | None, call: ast.Call, env: Env
    ) -> Argument:
        what = f"'{p.name}' of '{spec.name}'"
        if given is None:
            return self._default(spec, p, element, call, env)
        match p.kind:
            case Choice(words):
                if isinstance(given, ast.Name) and given.id in words:
                    return given.id
                hint = (
                    did_you_mean(given.id, words) if isinstance(given, ast.Name) else ""
                ) or f"one of: {', '.join(words)}"
                self.reporter.error(
                    "E0318", f"{what} must be one of {', '.join(words)}", given.span, "not one of them", hint
                )
                return words[0]
            case ModelRoleParameter():
                return self._model(given)
            case TextFunction(gives):
                function = self._function_of(given, STR, what, env, allow_value=False)
                if function is not None and not assignable(function.type, gives):
                    self.reporter.error(
                        "E0301", f"{what} gives {function.type}, expected {gives}", given.span, f"gives {function.type}"
                    )
                return function
            case ElementFunction():
                if element is None:
                    return None
                return self._function_of(given, element, what, env, allow_value=spec.name == "refine")
            case SameAsElement():
                value = self.check(given, env)
                return value if element is None else self.expect(value, element, what)
            case kind:
                value = self.expect(self.check(given, env), kind, what)
                if p.name in STATIC and not isinstance(value, typed.Const):
                    self.reporter.error("E0306", f"{what} must be a constant", given.span, "not a literal")
                self._check_limit(p.name, value, what)
                return value

    def _default(self, spec: Spec, p: ParameterSpec, element: Type | None, call: ast.Call, env: Env) -> Argument:
        required = p.required or (spec.name == "vote" and p.name == "by" and element == CANDIDATE)
        if required:
            hint = "by=boxed reads the answer of each candidate" if p.name == "by" and spec.name == "vote" else p.doc
            self.reporter.error("E0314", f"'{spec.name}' needs '{p.name}'", call.span, f"'{p.name}' is missing", hint)
        match p.kind:
            case Choice():
                return p.default if isinstance(p.default, str) else None
            case ModelRoleParameter():
                return self._default_model() if spec.group in ("generation", "judgement") else None
            case ElementFunction():
                if isinstance(p.default, str) and element is not None:
                    return self._function_of(
                        ast.Name(p.default, call.span), element, f"'{p.name}'", {}, allow_value=False
                    )
                return None
            case TextFunction() | SameAsElement():
                return None
            case kind:
                return None if p.default is None else typed.Const(p.default, kind, call.span)

    def _check_limit(self, name: str, value: typed.Expr, what: str) -> None:
        limit = LIMITS.get(name)
        if limit is None or not isinstance(value, typed.Const) or not isinstance(value.value, (int, float)):
            return
        low, high, words = limit
        if not low <= value.value <= high:
            self.reporter.error(
                "E0403", f"{what} is {value.value}, and must be {words}", value.span, f"must be {words}"
            )

    def _model(self, given: ast.Expr) -> str:
        if isinstance(given, ast.Name):
            found = self.module.scope.get(given.id)
            if found is not None and isinstance(found[0], ast.Model):
                self.models.setdefault(given.id, typed.Model(given.id, found[0].default))
                return given.id
            roles = [n for n, (d, _) in self.module.scope.items() if isinstance(d, ast.Model)]
            hint = did_you_mean(given.id, roles) or f"declare it: model {given.id}"
            self.reporter.error("E0209", f"unknown model '{given.id}'", given.span, "not a declared model", hint)
        else:
            self.reporter.error(
                "E0209",
                "a model is named by its declared role",
                given.span,
                "not a role",
                "model judge, then model=judge",
            )
        return IMPLICIT_MODEL

    def _default_model(self) -> str:
        for name, (declaration, _) in self.module.scope.items():
            if isinstance(declaration, ast.Model):
                self.models.setdefault(name, typed.Model(name, declaration.default))
                return name
        self.models.setdefault(IMPLICIT_MODEL, typed.Model(IMPLICIT_MODEL, None))
        return IMPLICIT_MODEL

    # --- element functions ------------------------------------------------------------------------------------------

    def _function_of(
        self, given: ast.Expr, element: Type, what: str, env: Env, *, allow_value: bool
    ) -> typed.Lambda | None:
        """A lambda of one element: as written, or `x => f(x)` for the name of a function, or `x => x.field`."""
        match given:
            case ast.Lambda(params, body):
                if len(params) != 1:
                    self.reporter.error(
                        "E0319", f"{what} is given one element, not {len(params)}", given.span, "takes one"
                    )
                    return None
                symbol = typed.Symbol(params[0].id, element, "element", params[0].span)
                return typed.Lambda(symbol, self.check(body, {**env, symbol.name: symbol}), given.span)
            case ast.Name(name) if name not in env:
                symbol = typed.Symbol("x", element, "element", given.span)
                read = typed.Read(symbol, given.span)
                if assignable(element, CANDIDATE) and name in CANDIDATE_FIELDS and name not in self.module.scope:
                    return typed.Lambda(
                        symbol, typed.Pure("field", (read,), CANDIDATE_FIELDS[name], name, given.span), given.span
                    )
                return typed.Lambda(symbol, self.call(ast.Call(given, (), (), given.span), read, env), given.span)
        if allow_value:
            return typed.Lambda(typed.Symbol("x", element, "element", given.span), self.check(given, env), given.span)
        self.check(given, env)
        self.reporter.error(
            "E0319",
            f"{what} must be a function of one element",
            given.span,
            "not a function",
            "write x => …, the name of a function, or a field",
        )
        return None

    # --- results ----------------------------------------------------------------------------------------------------

    def _result(
        self, spec: Spec, source: typed.Expr, element: Type, arguments: dict[str, Argument], call: ast.Call
    ) -> Type:
        listed = isinstance(source.type, ListOf)
        match spec.name:
            case "sample" | "branch":
                return POOL
            case "force":
                return POOL if listed else CANDIDATE
            case "refine":
                function = arguments["with"]
                if isinstance(function, typed.Lambda) and not isinstance(function.body, typed.PromptCall):
                    if function.type != NEVER:
                        self.reporter.error(
                            "E0320",
                            "'refine' takes a call of a prompt",
                            function.span,
                            "not a prompt call",
                            "declare the new turns as a prompt: |> refine(fix(task, report.output))",
                        )
                return POOL if listed else CANDIDATE
            case "verify":
                self._gives(arguments["test"], (BOOL, CONTEXT), "'test' of 'verify'", "a bool, or a judge prompt")
                return POOL
            case "score":
                self._gives(arguments["by"], (FLOAT, CONTEXT), "'by' of 'score'", "a number, or a judge prompt")
                return POOL
            case "vote":
                self._gives(arguments["by"], (OptionalOf(STR),), "'by' of 'vote'", "a str or str?")
                self._gives(arguments["weight"], (FLOAT,), "'weight' of 'vote'", "a number")
                return STR
            case "best":
                self._gives(arguments["by"], (FLOAT,), "'by' of 'best'", "a number")
                return CANDIDATE
            case "keep":
                self._gives(arguments["by"], (FLOAT,), "'by' of 'keep'", "a number")
                return POOL
            case "stop_first":
                return POOL
            case "one":
                return element
            case "each":
                function = arguments["do"]
                return ListOf(function.type) if isinstance(function, typed.Lambda) else NEVER
            case "filter":
                self._gives(arguments["where"], (BOOL,), "'where' of 'filter'", "a bool")
                return ListOf(element)
            case _:
                if arguments["where"] is None and element != BOOL:
                    self.reporter.error(
                        "E0314",
                        f"'{spec.name}' needs a condition for {element}",
                        call.span,
                        "what must hold?",
                        f"{spec.name}(xs, x => …)",
                    )
                self._gives(arguments["where"], (BOOL,), f"'where' of '{spec.name}'", "a bool")
                return BOOL

    def _gives(self, function: Argument, allowed: tuple[Type, ...], what: str, words: str) -> None:
        if not isinstance(function, typed.Lambda) or any(assignable(function.type, t) for t in allowed):
            return
        hint = "say what counts if there is none: or_else(…, 0.0)" if isinstance(function.type, OptionalOf) else ""
        self.reporter.error(
            "E0301", f"{what} gives {function.type}, expected {words}", function.span, f"gives {function.type}", hint
        )
