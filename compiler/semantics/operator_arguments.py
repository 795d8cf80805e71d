"""Arguments of operators: each checked by the kind of its parameter."""

from __future__ import annotations

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.declarations import Declarations
from ttsc.compiler.semantics.elements import Elements
from ttsc.compiler.semantics.operators.spec import (
    Choice,
    DependencyFunction,
    Either,
    ElementFunction,
    EngineOptions,
    Grid,
    ModelRoleParameter,
    PairFunction,
    ParameterSpec,
    RecordParameter,
    SameAsElement,
    SameAsRecord,
    Scorer,
    Spec,
    TextFunction,
)
from ttsc.compiler.semantics.scopes import Env
from ttsc.compiler.semantics.substitute import Argument
from ttsc.compiler.values.schema import has_schema
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    NEVER,
    STR,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
    assignable,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean

IMPLICIT_MODEL = "policy"
"""The role of a program whose file declares none."""
MEASURES = ("perplexity", "logprob")
"""What a role gives by name: `score(target.perplexity)`."""


class OperatorArguments(Elements):
    """Binds one argument. The abstract methods are those of `Expressions`."""

    declarations: Declarations
    models: dict[str, typed.Model]
    speculative: bool
    """Whether this is a first look at a function, to learn what it gives."""

    def expect(self, e: typed.Expr, target: Type, what: str, code: str = "E0301") -> typed.Expr:
        raise AssertionError("abstract")

    def unknown(self, span: Span) -> typed.Expr:
        raise AssertionError("abstract")

    def argument(
        self, spec: Spec, p: ParameterSpec, given: ast.Expr, element: Type, bound: dict[str, Argument], env: Env
    ) -> Argument:
        """What was given for a parameter. `bound`: the arguments of the parameters before it, which it may add to."""
        what = f"'{p.name}' of '{spec.name}'"
        match p.kind:
            case Choice(words):
                return self._choice(words, given, what)
            case ModelRoleParameter():
                return self._role(given)
            case RecordParameter():
                return self._record_name(given, what)
            case TextFunction(gives, types):
                function = self.element_function(given, STR, what, env)
                self._gives(function, types, what, gives)
                return function
            case Scorer(gives, types):
                role = self._measure(given, env)
                if role is not None:
                    bound["model"] = role[0]
                    return role[1]
                function = self.element_function(given, element, what, env)
                self._gives(function, types, what, gives)
                return function
            case ElementFunction(gives, types, key):
                refines = spec.name == "refine"
                with self.state.forked(f"'{spec.name}'"):
                    function = self.element_function(given, element, what, env, key=key, value=refines)
                self._gives(function, (*types, ListOf(FLOAT)) if key else types, what, gives)
                return function
            case PairFunction(gives, types):
                with self.state.forked(f"'{spec.name}'"):
                    function = self.pair_function(given, element, what, env)
                self._gives(function, types, what, gives)
                return function
            case DependencyFunction():
                return self._dependency(given, element, what, env, spec.name)
            case SameAsElement():
                return self.expect(self.check(given, env), element, what)
            case SameAsRecord():
                record = bound.get("record")
                value = self.check(given, env)
                return self.expect(value, OptionalOf(record), what) if isinstance(record, RecordType) else value
            case Grid(of):
                return self._grid(p, given, of, what, env)
            case Either(types):
                return self._limited(p, self._either(given, types, what, env), what)
            case EngineOptions(grid):
                return self._engine(given, grid, what, env)
            case kind:
                value = self.expect(self.check(given, env), kind, what)
                if p.static and not isinstance(value, typed.Const):
                    self.reporter.error("E0306", f"{what} must be a constant", given.span, "not a literal")
                return self._limited(p, value, what)

    # --- words and names --------------------------------------------------------------------------------------------

    def _choice(self, words: tuple[str, ...], given: ast.Expr, what: str) -> str:
        if isinstance(given, ast.Name) and given.id in words:
            return given.id
        hint = did_you_mean(given.id, words) if isinstance(given, ast.Name) else ""
        if isinstance(given, ast.Literal) and given.value in words:
            hint = f"without quotes: {given.value}"
        if isinstance(given, ast.Literal) and given.value is None and "none" in words:
            return "none"
        self.reporter.error(
            "E0318",
            f"{what} must be one of {', '.join(words)}",
            given.span,
            "not one of them",
            hint or f"one of: {', '.join(words)}",
        )
        return words[0]

    def _role(self, given: ast.Expr) -> str:
        if isinstance(given, ast.Name):
            if self._use_role(given.id):
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

    def _use_role(self, name: str) -> bool:
        found = self.module.scope.get(name)
        if found is None or not isinstance(found[0], ast.Model):
            return False
        self.models.setdefault(name, typed.Model(name, found[0].default))
        return True

    def default_role(self) -> str:
        """The first declared role, or the implicit one."""
        role = self.module.first_role
        name, default = (IMPLICIT_MODEL, None) if role is None else (role.name.id, role.default)
        self.models.setdefault(name, typed.Model(name, default))
        return name

    def _measure(self, given: ast.Expr, env: Env) -> tuple[str, str] | None:
        """`prm` -> (prm, reward); `role.perplexity` -> (role, perplexity); None if no model is named."""
        match given:
            case ast.Name(name) if name not in env and self._use_role(name):
                return name, "reward"
            case ast.Attribute(ast.Name(name), measure) if name not in env and self._use_role(name):
                if measure not in MEASURES:
                    hint = did_you_mean(measure, MEASURES) or f"a reward model alone: score({name}, …)"
                    message = f"a model gives {' or '.join(MEASURES)}, not '{measure}'"
                    self.reporter.error("E0325", message, given.name_span, "unknown measure", hint)
                    measure = MEASURES[0]
                return name, measure
        return None

    def _record_name(self, given: ast.Expr, what: str) -> RecordType | None:
        found = self.module.scope.get(given.id) if isinstance(given, ast.Name) else None
        if found is not None and isinstance(found[0], ast.Record):
            record = self.declarations.record(found[0], found[1])
            if not has_schema(record):
                message = f"no text can be a {record}, which holds what is no data"
                self.reporter.error(
                    "E0333", message, given.span, "has no JSON form", "use str, numbers, bools, lists and records"
                )
            return record
        records = [n for n, (d, _) in self.module.scope.items() if isinstance(d, ast.Record)]
        hint = did_you_mean(given.id, records) if isinstance(given, ast.Name) else ""
        self.reporter.error(
            "E0328",
            f"{what} must be the name of a record",
            given.span,
            "not a declared record",
            hint or "declare it: record Plan { steps: list[str] }",
        )
        return None

    # --- values -----------------------------------------------------------------------------------------------------

    def _grid(self, p: ParameterSpec, given: ast.Expr, of: Type, what: str, env: Env) -> typed.Expr:
        value = self.check(given, env)
        if not isinstance(value.type, ListOf):
            return self._limited(p, self.expect(value, of, what), what)
        item = of.item if isinstance(of, OptionalOf) else of
        if isinstance(value, typed.Pure) and value.op == "list":
            if not value.args:
                self.reporter.error("E0330", f"{what} is an empty list", given.span, "needs at least one value")
            for each in value.args:
                self._limited(p, each, what)
        if not assignable(value.type, ListOf(item)):
            message = f"{what} is {value.type}, expected {item} or list[{item}]"
            self.reporter.error("E0329", message, given.span, f"this is {value.type}")
            return self.unknown(given.span)
        return value

    def _either(self, given: ast.Expr, types: tuple[Type, ...], what: str, env: Env) -> typed.Expr:
        value = self.check(given, env)
        if any(assignable(value.type, t) for t in types):
            return value
        if STR in types and value.type in (CANDIDATE, CONTEXT):
            return self.expect(value, STR, what)
        words = " or ".join(str(t) for t in types)
        self.reporter.error("E0301", f"{what} is {value.type}, expected {words}", given.span, f"this is {value.type}")
        return self.unknown(given.span)

    def _engine(self, given: ast.Expr, grid: bool, what: str, env: Env) -> typed.Expr:
        value = self.check(given, env)
        item = value.type.item if grid and isinstance(value.type, ListOf) else value.type
        if isinstance(item, RecordType):
            wrong = next((f for f in item.fields if f[1] not in (STR, INT, FLOAT, BOOL)), None)
            if wrong is not None:
                message = (
                    f"an option of the engine is a str, int, float or bool, and '{wrong[0]}' of {item} is {wrong[1]}"
                )
                self.reporter.error("E0331", message, given.span, "can't be an option")
            return value
        if item == NEVER:
            return value
        self.reporter.error(
            "E0331",
            f"{what} is {value.type}, expected a record{' or a list of records' if grid else ''}",
            given.span,
            f"this is {value.type}",
            "record Options { block_size: int }, then engine=Options(32)",
        )
        return self.unknown(given.span)

    def _limited(self, p: ParameterSpec, value: typed.Expr, what: str) -> typed.Expr:
        if p.limits is not None and isinstance(value, typed.Const):
            number = value.value
            numeric = isinstance(number, (int, float)) and not isinstance(number, bool)
            if numeric and not p.limits.low <= number <= p.limits.high:  # type: ignore[operator]
                words = f"must be {p.limits.words}"
                self.reporter.error("E0403", f"{what} is {number}, and {words}", value.span, words)
        return value

    # --- functions --------------------------------------------------------------------------------------------------

    def _dependency(self, given: ast.Expr, element: Type, what: str, env: Env, name: str) -> typed.Lambda | None:
        """What a function of found results gives is learnt with results of no type, and then checked with that type."""
        outermost, self.speculative = not self.speculative, True
        with self.state.forked(f"'{name}'"):
            first = self.dependency_function(given, element, what, env, NEVER)
            self.speculative = not outermost
            if first is None or not outermost:
                return first
            function = self.dependency_function(given, element, what, env, first.type)
        if function is not None and NEVER != function.type != first.type:
            message = f"{what} gives {function.type} where it finds {first.type}"
            hint = "what it gives may not depend on the type of what was found"
            self.reporter.error("E0332", message, given.span, f"gives {function.type}", hint)
        return function

    def _gives(self, function: typed.Lambda | None, types: tuple[Type, ...], what: str, words: str) -> None:
        if function is None or not types or any(assignable(function.type, t) for t in types):
            return
        hint = ""
        if isinstance(function.type, OptionalOf) and any(assignable(function.type.item, t) for t in types):
            hint = "say what counts if there is none: or_else(…, 0.0)"
        elif isinstance(function.body, typed.Pure) and function.body.op == "softmax":
            hint = "softmax is of a whole list: give the logits, and normalise=softmax"
        self.reporter.error(
            "E0301", f"{what} gives {function.type}, expected {words}", function.span, f"gives {function.type}", hint
        )
