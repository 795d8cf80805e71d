"""Calls of the language's operators: arguments matched to the `Spec`, and what they must be together."""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.operator_arguments import OperatorArguments
from ttsc.compiler.semantics.operator_results import result_type
from ttsc.compiler.semantics.operator_rules import judge_of, misused, needs_role
from ttsc.compiler.semantics.operators.spec import (
    Choice,
    ElementFunction,
    Grid,
    ModelRoleParameter,
    ParameterSpec,
    Spec,
)
from ttsc.compiler.semantics.scopes import Env
from ttsc.compiler.semantics.substitute import Argument
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    FLOAT,
    INT,
    NEVER,
    STR,
    ListOf,
    RecordType,
    Type,
    assignable,
)
from ttsc.grammar import ast
from ttsc.grammar.source import Span
from ttsc.grammar.spelling import did_you_mean

RANDOM = ("resample", "shuffle", "select", "random")
"""Operators that draw random numbers of their own."""


class OperatorCalls(OperatorArguments):
    """Binds operators. The abstract methods are those of `Expressions` and `Calls`."""

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
        if spec.group in ("generation", "judgement") or spec.name in RANDOM:
            self.impure(f"'{spec.name}'", call.callee.span)
        element = self._element(spec, source)
        given = self._match(spec, positional, call)
        if element is None:
            for value in given.values():
                if not isinstance(value, (ast.Lambda, ast.Name, ast.Attribute)):
                    self.check(value, self.anything(value, env))
            return self.unknown(call.span)
        bound: dict[str, Argument] = {}
        for p in spec.parameters:
            if p.name in given:
                bound[p.name] = self.argument(spec, p, given[p.name], element, bound, env)
            else:
                bound.setdefault(p.name, self._default(spec, p, element, call))
        if bound.get("model", "") is None and needs_role(spec, bound):
            bound["model"] = self.default_role()
            self.impure(f"'{spec.name}'", call.callee.span)
        self._together(spec, element, bound, given, call)
        arguments = tuple((p.name, bound[p.name]) for p in spec.parameters)
        return typed.Operator(
            spec.name, source, arguments, result_type(spec.name, source.type, element, bound), call.span
        )

    # --- what is piped in -------------------------------------------------------------------------------------------

    def _element(self, spec: Spec, source: typed.Expr) -> Type | None:
        """The type of one element of the source, or None if the source does not fit (reported)."""
        type_ = source.type
        if type_ == NEVER:
            return None
        element = spec.takes(type_)
        if element is None:
            item = type_.item if isinstance(type_, ListOf) else type_
            hint = ""
            if spec.name == "sample" and item == CANDIDATE:
                hint = "branch(n) continues candidates; refine(prompt) adds a turn"
            elif not isinstance(type_, ListOf) and assignable(type_, CANDIDATE):
                hint = f"'{spec.name}' takes a pool; put it in a list: [candidate] |> {spec.name}(…)"
            elif item == ListOf(CANDIDATE):
                hint = "flatten(…) makes one pool of several"
            self.reporter.error(
                "E0301", f"'{spec.name}' takes {spec.source}, not {type_}", source.span, f"this is {type_}", hint
            )
        return element

    # --- arguments --------------------------------------------------------------------------------------------------

    def _match(self, spec: Spec, positional: list[ast.Expr], call: ast.Call) -> dict[str, ast.Expr]:
        names = [p.name for p in spec.parameters]
        given: dict[str, ast.Expr] = dict(zip(names, positional, strict=False))
        if len(positional) > len(names):
            takes = f"at most {len(names)} argument{'s' * (len(names) != 1)}" if names else "no arguments"
            self.reporter.error("E0314", f"'{spec.name}' takes {takes}", call.span, spec.doc)
        for keyword in call.keywords:
            if keyword.name not in names:
                hint = did_you_mean(keyword.name, names)
                if not hint:
                    hint = f"it takes: {', '.join(names)}" if names else "it takes no arguments"
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

    def _default(self, spec: Spec, p: ParameterSpec, element: Type, call: ast.Call) -> Argument:
        required = p.required or (spec.name == "vote" and p.name == "by" and element == CANDIDATE)
        candidate = assignable(element, CANDIDATE)
        if isinstance(p.kind, ElementFunction) and p.default is not None and not candidate:
            required = True
        if required:
            hint = "by=boxed reads the answer of each candidate" if p.name == "by" and spec.name == "vote" else p.doc
            if element == ListOf(CANDIDATE):
                hint = "flatten(…) makes one pool of several"
            self.reporter.error("E0314", f"'{spec.name}' needs '{p.name}'", call.span, f"'{p.name}' is missing", hint)
            return None
        match p.kind:
            case Choice():
                return p.default if isinstance(p.default, str) else None
            case ModelRoleParameter():
                return self.default_role() if spec.group == "generation" else None
            case ElementFunction():
                if isinstance(p.default, str):
                    return self.element_function(
                        ast.Name(p.default, call.span), element, f"'{p.name}'", {}, key=p.kind.key
                    )
                return None
            case Grid(of):
                return None if p.default is None else typed.Const(p.default, of, call.span)
            case kind:
                if p.default is None:
                    return None
                constant = STR if isinstance(p.default, str) else FLOAT if isinstance(p.default, float) else INT
                return typed.Const(p.default, kind if kind == FLOAT else constant, call.span)

    # --- what must fit together -------------------------------------------------------------------------------------

    def _together(
        self, spec: Spec, element: Type, bound: dict[str, Argument], given: Mapping[str, ast.Expr], call: ast.Call
    ) -> None:
        for name, why in misused(spec, bound, given):
            self.reporter.error("E0326", f"'{name}' of '{spec.name}' has no effect here", given[name].span, why)
        match spec.name:
            case "refine":
                self._refines(bound["with"])
            case "any" | "all" if bound["where"] is None and element not in (BOOL, NEVER):
                self.reporter.error(
                    "E0314",
                    f"'{spec.name}' needs a condition for {element}",
                    call.span,
                    "what must hold?",
                    f"{spec.name}(xs, x => …)",
                )
            case "cluster":
                ways = [name for name in ("by", "same", "near") if name in given]
                if len(ways) != 1:
                    what = "one of by, same and near" if not ways else f"one of {' and '.join(ways)}, not both"
                    hint = "by=key, same=(a, b) => …, or near=x => embed(x, model=…)"
                    self.reporter.error("E0327", f"'cluster' needs {what}", call.span, "what makes a group?", hint)
            case "vote" if bound["stop"] != "never" and bound["weight"] is not None:
                self.reporter.error(
                    "E0361",
                    f"'stop={bound['stop']}' of 'vote' counts votes, and these have weights",
                    given["stop"].span,
                    "for votes without weights",
                    "a vote with weights is decided early by its bounds: leave 'stop' out",
                )
            case "resample":
                conditional = bound["method"] == "conditional"
                if conditional and "reference" not in given:
                    self.reporter.error(
                        "E0334",
                        "'resample' with method=conditional needs 'reference'",
                        call.span,
                        "'reference' is missing",
                        "the candidate that keeps its place: reference=chosen",
                    )
            case "expand":
                self._children(bound, call)
            case "distinct" | "nearest" if bound["by"] is None and not _has_text(element, spec.name):
                self.reporter.error(
                    "E0314",
                    f"'{spec.name}' needs 'by' for {element}",
                    call.span,
                    "'by' is missing",
                    f"{spec.parameter('by').doc}: by=x => …",
                )
            case "keep" if bound["duplicates"] == "drop" and not assignable(element, CANDIDATE):
                self.reporter.error(
                    "E0335",
                    f"'duplicates' of 'keep' compares the texts of candidates, and these are {element}",
                    given["duplicates"].span,
                    "not candidates",
                    "distinct(by=…) before it",
                )
        if spec.name in ("score", "verify", "tournament", "cluster"):
            judge = judge_of(spec, bound)
            if judge is not None and isinstance(bound.get("schema"), RecordType) and bound["read"] is None:
                record = given["schema"].span.text
                hint = f"read=t => f(parse(t, {record})), where f makes a number or a bool of the record"
                message = f"'{spec.name}' with a schema needs 'read'"
                self.reporter.error("E0336", message, given["schema"].span, "how is the JSON read?", hint)

    def _refines(self, function: Argument) -> None:
        if isinstance(function, typed.Lambda) and not isinstance(function.body, typed.PromptCall):
            if function.type != NEVER:
                self.reporter.error(
                    "E0320",
                    "'refine' takes a call of a prompt",
                    function.span,
                    "not a prompt call",
                    "declare the new turns as a prompt: |> refine(fix(task, report.output))",
                )

    def _children(self, bound: Mapping[str, Argument], call: ast.Call) -> None:
        """A pool for one node, a pool each for several."""
        at, children = bound["at"], bound["with"]
        if (
            at is None
            or children is None
            or isinstance(at, (str, RecordType))
            or isinstance(children, (str, RecordType))
        ):
            return
        if NEVER in (at.type, children.type):
            return
        several = isinstance(at.type, ListOf)
        nested = isinstance(children.type, ListOf) and isinstance(children.type.item, ListOf)
        if several != nested:
            wanted = "a pool for each node: list[list[Candidate]]" if several else "one pool for one node"
            hint = "nodes |> each(n => n.candidate |> branch(4))" if several else ""
            message = f"'expand' with {at.type} takes {wanted}"
            self.reporter.error("E0337", message, call.span, f"this is {children.type}", hint)


def _has_text(element: Type, operator: str) -> bool:
    """Whether an element has a text of its own to go by."""
    if element == STR or assignable(element, CANDIDATE):
        return True
    if operator == "distinct":
        return assignable(element, FLOAT) or element == BOOL
    return isinstance(element, RecordType) and element.field("text") == STR
