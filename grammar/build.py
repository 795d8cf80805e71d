"""Tokens and values to syntax tree: one method for each named production of `tts.lark`.

A method gets the values of its production's parts and, where it makes a node, the span they cover. What a production
can't express without making messages worse is checked here: the order of arguments, the roles of a prompt, what may
stand after `|>`.
"""

from __future__ import annotations

from typing import Any

from ttsc.grammar import ast
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Source, Span
from ttsc.grammar.spelling import did_you_mean
from ttsc.grammar.tokens import Token

Values = list[Any]
ROLES = ("system", "user", "assistant")

LISTS = frozenset(
    "empty append append_third append_name extend_models one one_name first second nothing path path_append".split()
)
"""Productions that make no node: their methods get no span."""


class Builder:
    def __init__(self, source: Source, diagnostics: list[Diagnostic]) -> None:
        self._source = source
        self._diagnostics = diagnostics

    def _report(self, code: str, message: str, span: Span, label: str = "", hint: str = "") -> None:
        self._diagnostics.append(Diagnostic(code, message, span, label, hint))

    def _span(self, token: Token) -> Span:
        return Span(self._source, token.start, token.end)

    def _name(self, token: Token) -> ast.Name:
        return ast.Name(token.text, self._span(token))

    # --- lists and parts

    def empty(self, v: Values) -> Values:
        return []

    def nothing(self, v: Values) -> None:
        return None

    def bad(self, v: Values, span: Span) -> ast.Expr:
        """Stands for what could not be read: a name, which may be anywhere. Its tree is never handed out."""
        return ast.Name("", span)

    def first(self, v: Values) -> Any:
        return v[0]

    def second(self, v: Values) -> Any:
        return v[1]

    def one(self, v: Values) -> Values:
        return [v[0]]

    def append(self, v: Values) -> Values:
        v[0].append(v[1])
        return v[0]  # type: ignore[no-any-return]

    def append_third(self, v: Values) -> Values:
        v[0].append(v[2])
        return v[0]  # type: ignore[no-any-return]

    def one_name(self, v: Values) -> Values:
        return [self._name(v[0])]

    def append_name(self, v: Values) -> Values:
        v[0].append(self._name(v[2]))
        return v[0]  # type: ignore[no-any-return]

    # --- declarations

    def module(self, v: Values, span: Span) -> ast.Module:
        return ast.Module(None, tuple(v[0]), Span(self._source, 0, len(self._source.text)))

    def module_with_doc(self, v: Values, span: Span) -> ast.Module:
        return ast.Module(v[0].value, tuple(v[1]), Span(self._source, 0, len(self._source.text)))

    def doc(self, v: Values, span: Span) -> Any:
        return v[0].value

    def path(self, v: Values) -> list[str]:
        return [v[0].text]

    def path_append(self, v: Values) -> list[str]:
        return [*v[0], v[2].text]

    def use(self, v: Values, span: Span) -> ast.Use:
        return ast.Use(tuple(v[1]), tuple(v[3]), None, span)

    def use_for(self, v: Values, span: Span) -> ast.Use:
        return ast.Use(tuple(v[1]), tuple(v[3]), tuple(v[6]), span)

    def role(self, v: Values, span: Span) -> ast.Model:
        return ast.Model(self._name(v[0]), None, span)

    def role_with_default(self, v: Values, span: Span) -> ast.Model:
        return ast.Model(self._name(v[0]), v[2].value, span)

    def extend_models(self, v: Values) -> Values:
        v[0].extend(v[2])
        return v[0]  # type: ignore[no-any-return]

    def prompt(self, v: Values, span: Span) -> ast.Prompt:
        return ast.Prompt(self._name(v[2]), tuple(v[3]), tuple(v[5]), v[0], span)

    def turn(self, v: Values, span: Span) -> ast.PromptTurn:
        role = v[0].text
        if role not in ROLES:
            hint = did_you_mean(role, ROLES) or "a turn begins with 'system', 'user' or 'assistant'"
            self._report("E0138", f"unknown role '{role}'", self._span(v[0]), "not a role", hint)
        return ast.PromptTurn(role, self.literal(v[1:], self._span(v[1])), span)

    def record(self, v: Values, span: Span) -> ast.Record:
        return ast.Record(self._name(v[2]), tuple(v[4]), v[0], span)

    def field(self, v: Values, span: Span) -> ast.Field:
        return ast.Field(self._name(v[0]), v[2], span, _values(v[3]))

    def word(self, v: Values, span: Span) -> str:
        return v[0].text  # type: ignore[no-any-return]

    def extern(self, v: Values, span: Span) -> ast.Extern:
        return ast.Extern(self._name(v[3]), tuple(v[4]), v[6], v[0], span, v[1])

    def store(self, v: Values, span: Span) -> ast.Store:
        return ast.Store(self._name(v[2]), v[4], v[0], span)

    def function(self, v: Values, span: Span) -> ast.Function:
        return ast.Function(self._name(v[2]), tuple(v[3]), v[5], v[7], v[0], span)

    def program(self, v: Values, span: Span) -> ast.Program:
        return ast.Program(self._name(v[2]), tuple(v[3]), v[5], tuple(v[7]), v[0], span, tuple(v[6]))

    def limit(self, v: Values, span: Span) -> ast.Limit:
        return ast.Limit(self._name(v[0]), v[2].value, "", span)

    def limit_quantity(self, v: Values, span: Span) -> ast.Limit:
        amount, unit = v[2].value
        return ast.Limit(self._name(v[0]), amount, unit, span)

    def parameter(self, v: Values, span: Span) -> ast.Parameter:
        return ast.Parameter(self._name(v[0]), v[2], v[3], _values(v[4]), span)

    def oracle_parameter(self, v: Values, span: Span) -> ast.Parameter:
        return ast.Parameter(self._name(v[1]), v[3], v[4], _values(v[5]), span, oracle=True)

    # --- tests

    def test(self, v: Values, span: Span) -> ast.Test:
        return ast.Test(v[2].value, tuple(v[4]), v[0], span)

    def scripted(self, v: Values, span: Span) -> ast.Scripted:
        return ast.Scripted(self._name(v[1]), None, v[3], span)

    def scripted_pattern(self, v: Values, span: Span) -> ast.Scripted:
        return ast.Scripted(self._name(v[1]), v[2].value, v[4], span)

    def stub(self, v: Values, span: Span) -> ast.Stub:
        return ast.Stub(self._name(v[1]), (), v[5], span)

    def stub_with_parameters(self, v: Values, span: Span) -> ast.Stub:
        return ast.Stub(self._name(v[1]), tuple(v[3]), v[6], span)

    def stub_store(self, v: Values, span: Span) -> ast.StubStore:
        return ast.StubStore(self._name(v[1]), v[3], span)

    def expect(self, v: Values, span: Span) -> ast.Expect:
        return ast.Expect(v[1], span)

    def range(self, v: Values, span: Span) -> ast.Range:
        return ast.Range(v[1].value, v[3].value, v[1].span.to(v[3].span))

    def choices(self, v: Values, span: Span) -> ast.Choices:
        return ast.Choices(tuple(v[2]), Span(self._source, v[1].start, span.end))

    # --- types

    def named_type(self, v: Values, span: Span) -> ast.NamedType:
        return ast.NamedType(v[0].text, span)

    def optional_type(self, v: Values, span: Span) -> ast.OptionalType:
        return ast.OptionalType(v[0], span)

    def list_type(self, v: Values, span: Span) -> ast.ListType:
        if v[0].text != "list":
            hint = "a record gathers named values of several types; a list is written list[str]"
            item = v[2].name if isinstance(v[2], ast.NamedType) else "str"
            if v[0].text == "Optional":
                hint = f"what may be none is written {item}?"
            elif v[0].text.lower() in {"list", "array", "sequence", "vec", "tuple", "set"}:
                hint = f"write list[{item}]"
            self._report("E0139", f"'{v[0].text}' takes no type in brackets", span, "only 'list' does", hint)
        return ast.ListType(v[2], span, v[4].value if len(v) > 4 else None)

    bounded_list_type = list_type

    # --- statements

    def let(self, v: Values, span: Span) -> ast.Let:
        return ast.Let(self._name(v[1]), v[2], v[4], span)

    def var(self, v: Values, span: Span) -> ast.Var:
        return ast.Var(self._name(v[1]), v[2], v[4], span)

    def offline(self, v: Values, span: Span) -> ast.Let:
        return ast.Let(self._name(v[2]), v[3], v[5], span, offline=True)

    def unset(self, v: Values, span: Span) -> ast.Var:
        return ast.Var(self._name(v[1]), v[3], None, span)

    def add(self, v: Values, span: Span) -> ast.Add:
        return ast.Add(self._name(v[0]), v[2], span)

    def assign(self, v: Values, span: Span) -> ast.Assign:
        return ast.Assign(self._name(v[0]), v[2], span)

    def if_(self, v: Values, span: Span) -> ast.If:
        return ast.If(v[1], tuple(v[2]), (), span)

    def if_else(self, v: Values, span: Span) -> ast.If:
        return ast.If(v[1], tuple(v[2]), tuple(v[4]), span)

    def if_else_if(self, v: Values, span: Span) -> ast.If:
        return ast.If(v[1], tuple(v[2]), (v[4],), span)

    def repeat(self, v: Values, span: Span) -> ast.Repeat:
        return ast.Repeat(v[1], tuple(v[2]), None, span)

    def repeat_until(self, v: Values, span: Span) -> ast.Repeat:
        return ast.Repeat(v[1], tuple(v[2]), v[4], span)

    def for_(self, v: Values, span: Span) -> ast.For:
        return ast.For(self._loop_names(v[1]), v[3], tuple(v[4]), None, span)

    def for_until(self, v: Values, span: Span) -> ast.For:
        return ast.For(self._loop_names(v[1]), v[3], tuple(v[4]), v[6], span)

    def _loop_names(self, names: Values) -> tuple[ast.Name, ...]:
        if len(names) > 2:
            hint = "for a, b in zip(as, bs) takes pairs apart; nothing has three parts"
            self._report("E0147", "a loop takes one name, or two for pairs", names[2].span, "a third name", hint)
        return tuple(names)

    def return_(self, v: Values, span: Span) -> ast.Return:
        return ast.Return(v[1], span)

    # --- expressions

    def lambda_one(self, v: Values, span: Span) -> ast.Lambda:
        return ast.Lambda((self._name(v[0]),), v[2], span)

    def lambda_many(self, v: Values, span: Span) -> ast.Lambda:
        return ast.Lambda(tuple(v[1]), v[4], span)

    def pipe(self, v: Values, span: Span) -> ast.Pipe:
        stage = v[2]
        if not isinstance(stage, ast.Name | ast.Attribute | ast.Call):
            hint = "after '|>' comes the name of an operator or a call of one: … |> vote(by=boxed)"
            self._report("E0137", "a pipe leads to an operator", stage.span, "not an operator", hint)
        return ast.Pipe(v[0], stage, span)

    def conditional(self, v: Values, span: Span) -> ast.Conditional:
        return ast.Conditional(v[0], v[2], v[4], span)

    def binary(self, v: Values, span: Span) -> ast.Binary:
        return ast.Binary(v[1].kind, v[0], v[2], span)

    def unary(self, v: Values, span: Span) -> ast.Unary:
        return ast.Unary(v[0].kind, v[1], span)

    def attribute(self, v: Values, span: Span) -> ast.Attribute:
        return ast.Attribute(v[0], v[2].text, self._span(v[2]), span)

    def index(self, v: Values, span: Span) -> ast.Index:
        return ast.Index(v[0], v[2], span)

    def call_without_arguments(self, v: Values, span: Span) -> ast.Call:
        return ast.Call(v[0], (), (), span)

    def call(self, v: Values, span: Span) -> ast.Call:
        positional: list[ast.Expr] = []
        keywords: list[ast.Keyword] = []
        for argument in v[2]:
            if isinstance(argument, ast.Keyword):
                keywords.append(argument)
            elif keywords:
                hint = "name it too, or move it before the named ones"
                message = "an argument without a name comes after one with a name"
                self._report("E0136", message, argument.span, f"after '{keywords[-1].name}='", hint)
            else:
                positional.append(argument)
        return ast.Call(v[0], tuple(positional), tuple(keywords), span)

    def keyword(self, v: Values, span: Span) -> ast.Keyword:
        return ast.Keyword(v[0].text, v[2], self._span(v[0]), span)

    def name(self, v: Values, span: Span) -> ast.Name:
        return ast.Name(v[0].text, span)

    def literal(self, v: Values, span: Span) -> ast.Literal:
        return ast.Literal(v[0].value, span)

    def negative(self, v: Values, span: Span) -> ast.Literal:
        return ast.Literal(-v[1].value, span)

    def true(self, v: Values, span: Span) -> ast.Literal:
        return ast.Literal(True, span)

    def false(self, v: Values, span: Span) -> ast.Literal:
        return ast.Literal(False, span)

    def none(self, v: Values, span: Span) -> ast.Literal:
        return ast.Literal(None, span)

    def abstain(self, v: Values, span: Span) -> ast.Abstain:
        return ast.Abstain(span)

    def empty_list(self, v: Values, span: Span) -> ast.ListExpr:
        return ast.ListExpr((), span)

    def list_expr(self, v: Values, span: Span) -> ast.ListExpr:
        return ast.ListExpr(tuple(v[1]), span)


def _values(v: Any) -> ast.Range | ast.Choices | None:
    """What `in` allows; None where there is none, or where it could not be read."""
    return v if isinstance(v, ast.Range | ast.Choices) else None
