"""Ranges hold: whatever an expression gives lies in what is known of it beforehand, rounding included."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.compiler.ir.known import Items, Range, Row, Unknown
from ttsc.compiler.ir.nodes import Block, Const, Node, Parameter, Program, Pure, Value
from ttsc.compiler.ir.ranges import ranges
from ttsc.compiler.values.pure import EvaluationFailed, evaluate
from ttsc.compiler.values.types import FLOAT, Interval, ListOf, Type

NUMBERS = st.one_of(
    st.floats(-3, 3), st.integers(-3, 3).map(float), st.sampled_from([0.1, 0.7, 1e-9, 0.3, 1 / 3, 123456.789])
)
UNARY = ("neg", "abs", "sigmoid", "exp", "sqrt")
BINARY = ("add", "sub", "mul", "div")
OF_LISTS = ("mean", "sum", "product", "median", "minimum", "maximum", "variance")


@st.composite
def expressions(draw: st.DrawFn) -> tuple[list[Node], list[Value], dict[str, Any]]:
    """Operations on numbers and lists of them, some parameters with a range, and what the parameters are."""
    nodes: list[Node] = []
    values: list[Value] = []
    given_values: dict[str, Any] = {}
    parameters: list[Value] = []
    for i in range(draw(st.integers(1, 3))):
        value = Value(f"%q{i}", FLOAT)
        parameters.append(value)
        low, high = sorted((draw(NUMBERS) + 0.0, draw(NUMBERS) + 0.0))  # of 0.0 and -0.0 neither is the lesser
        given_values[value.id] = (draw(st.floats(low, high)), low, high)

    def emit(node: Any) -> None:
        nodes.append(node)
        values.append(node.result)

    def name(type_: Type) -> Value:
        return Value(f"%v{len(nodes)}", type_)

    def number() -> Value:
        return draw(st.sampled_from([*parameters, *(v for v in values if v.type == FLOAT)]))

    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["const", "unary", "binary", "clamp", "list", "of", "reduce", "join"]))
        lists = [v for v in values if v.type == ListOf(FLOAT)]
        match kind:
            case "const":
                emit(Const(name(FLOAT), draw(NUMBERS)))
            case "unary":
                emit(Pure(name(FLOAT), draw(st.sampled_from(UNARY)), (number(),)))
            case "binary":
                emit(Pure(name(FLOAT), draw(st.sampled_from(BINARY)), (number(), number())))
            case "clamp":
                emit(Pure(name(FLOAT), "clamp", (number(), number(), number())))
            case "list":
                emit(Pure(name(ListOf(FLOAT)), "list", tuple(number() for _ in range(draw(st.integers(0, 5))))))
            case "of" if lists:
                emit(Pure(name(FLOAT), draw(st.sampled_from(OF_LISTS)), (draw(st.sampled_from(lists)),)))
            case "join" if lists:
                both = (draw(st.sampled_from(lists)), draw(st.sampled_from(lists)))
                emit(Pure(name(ListOf(FLOAT)), "add", both))
            case "reduce" if lists:
                attr = draw(st.sampled_from(["last", "min", "mean", "prod", "max", "sum"]))
                emit(Pure(name(FLOAT), "reduce_scores", (draw(st.sampled_from(lists)), number()), attr))
    return nodes, parameters, given_values


def within(value: Any, known: Any) -> bool:
    match known:
        case Unknown():
            return True
        case Range(low, high):
            return math.isnan(value) or low <= value <= high
        case Items(each):
            return all(within(item, each) for item in value)
        case Row(parts):
            return len(parts) == len(value) and all(map(within, value, parts))
    return False


@given(expressions())
@settings(max_examples=500, deadline=None)
def test_what_is_computed_lies_within(made: tuple[list[Node], list[Value], dict[str, Any]]) -> None:
    nodes, parameters, given_values = made
    tunable = tuple(
        Parameter(value, value.id[1:], tunable=Interval(*given_values[value.id][1:])) for value in parameters
    )
    program = Program("p", "", tunable, (), (), Block(tuple(parameters), tuple(nodes), ()))
    known = ranges(program)
    found = {name: value for name, (value, _, _) in given_values.items()}
    for node in nodes:
        if isinstance(node, Const):
            found[node.result.id] = node.value
        elif isinstance(node, Pure):
            try:
                found[node.result.id] = evaluate(node.op, node.attr, [found[arg.id] for arg in node.args])
            except EvaluationFailed:
                return
        name = node.result.id  # type: ignore[union-attr]
        assert within(found[name], known[name]), (node, found[name], known[name])
