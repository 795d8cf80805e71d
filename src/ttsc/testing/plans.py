"""A test as programs: one that calls what it tests, and one for each expectation, over what the first gave.

The expectations are pure, so they are compiled like any program and run without an engine. One that compares two values
also gives both, for the message when it does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build import build_program
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.passes.runner import run_passes
from ttsc.compiler.plan.lower import lower
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.effects import effects_of
from ttsc.compiler.semantics.state import ENVIRONMENT
from ttsc.compiler.values.types import BOOL, RecordType, Type
from ttsc.grammar.source import Span

_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """`plan` gives a record: `holds`, and of a comparison `left` and `right`. Its inputs are the test's names."""

    plan: Plan
    span: Span


@dataclass(frozen=True, slots=True)
class TestPlans:
    """`body` gives a record of the test's names. `stubs`: by extern, a plan over its parameters. `stores`: plans that
    give what each holds at the start.
    """

    test: typed.Test
    body: Plan
    expects: tuple[Expectation, ...]
    stubs: dict[str, Plan]
    stores: dict[str, Plan]


def plans_of(test: typed.Test, level: Level) -> TestPlans:
    """The programs of a test, compiled."""
    names = RecordType("names", tuple((bind.symbol.name, bind.symbol.type) for bind in test.body))
    values = tuple(typed.Read(bind.symbol) for bind in test.body)
    statements = (*test.body, typed.Return(typed.RecordValue(values, names)))
    effects = effects_of(statements)
    body = typed.Program(
        "test",
        test.title,
        (),
        names,
        test.models,
        statements,
        test.span,
        effects,
        test.used_stores,
        ENVIRONMENT if "environment" in effects else None,
    )
    inputs = (*test.measures, *(bind.symbol for bind in test.body))
    return TestPlans(
        test,
        _plan(body, level),
        tuple(Expectation(_expectation(e.condition, inputs), e.span) for e in test.expects),
        {stub.extern.name: _pure(stub.value, stub.parameters, stub.extern.returns) for stub in test.stubs},
        {s.store.name: _pure(s.items, (), s.store.symbol.type) for s in test.stores},
    )


def _expectation(condition: typed.Expr, inputs: tuple[typed.Symbol, ...]) -> Plan:
    fields: list[tuple[str, typed.Expr]] = [("holds", condition)]
    match condition:
        case typed.Pure(op, (left, right)) if op in _COMPARISONS:
            fields += [("left", left), ("right", right)]
    type_ = RecordType("expectation", tuple((name, BOOL if name == "holds" else e.type) for name, e in fields))
    return _pure(typed.RecordValue(tuple(e for _, e in fields), type_), inputs, type_)


def _pure(value: typed.Expr, inputs: tuple[typed.Symbol, ...], returns: Type) -> Plan:
    parameters = tuple(typed.Parameter(symbol, True, None, None) for symbol in inputs)
    return _plan(typed.Program("value", "", parameters, returns, (), (typed.Return(value),)), 0)


def _plan(program: typed.Program, level: Level) -> Plan:
    built: ir.Program = build_program(program)
    verify(built, "the builder")
    ran = run_passes(built, level, (), None)
    return lower(ran.program, level, ran.names)
