"""A test as programs: one that calls what it tests, and one for each expectation, over what the first gave.

The expectations are pure, so they are compiled like any program and run without an engine. One that compares two values
also gives both, for the message when it does not hold. A test that calls one program and nothing else has its budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.build import build_program
from ttsc.compiler.ir.rewrite import uses
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.passes.runner import run_passes
from ttsc.compiler.plan.lower import lower
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.effects import effects_of
from ttsc.compiler.semantics.state import ENVIRONMENT
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import ABSTAIN, BOOL, OptionalOf, RecordType, Type
from ttsc.grammar.source import Span

_COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """`plan` gives a record: `holds`, and of a comparison `left` and `right`. Its inputs are the test's names.

    `reads`: the names that the condition reads, without those that are a side of the comparison by themselves.
    """

    plan: Plan
    span: Span
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What the test says of an extern (over its parameters) or of a store, and where."""

    plan: Plan
    span: Span


@dataclass(frozen=True, slots=True)
class TestPlans:
    """`body` gives a record of the test's names, and of `abstained(name)` for those that may be.

    `stubs`: what each extern gives. `stores`: what each holds at the start.
    """

    test: typed.Test
    body: Plan
    expects: tuple[Expectation, ...]
    stubs: dict[str, Value]
    stores: dict[str, Value]


def plans_of(test: typed.Test, level: Level) -> TestPlans:
    """The programs of a test, compiled."""
    fields: list[tuple[str, typed.Expr]] = [("?", typed.Const(True, BOOL))]  # a record has at least one
    for bind in test.body:
        fields += _told(bind.symbol.name, typed.Read(bind.symbol))
    names = RecordType("names", tuple((name, value.type) for name, value in fields))
    values = tuple(value for _, value in fields)
    statements: tuple[typed.Statement, ...] = (*test.body, typed.Return(typed.RecordValue(values, names)))
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
        budget=_budget(test),
    )
    inputs = (*test.measures, *(bind.symbol for bind in test.body))
    return TestPlans(
        test,
        _plan(body, level),
        tuple(_expectation(e, inputs) for e in test.expects),
        {
            stub.extern.name: Value(_pure(stub.value, stub.parameters, stub.extern.returns), stub.span)
            for stub in test.stubs
        },
        {s.store.name: Value(_pure(s.items, (), s.store.symbol.type), s.span) for s in test.stores},
    )


def abstained(name: str) -> str:
    """The field that says whether a name was withheld: what leaves a run has none in its place."""
    return f"{name}?"


def _told(name: str, value: typed.Expr) -> list[tuple[str, typed.Expr]]:
    """The fields that tell a value."""
    told = [(name, value)]
    if isinstance(value.type, OptionalOf) or value.type == ABSTAIN:
        told.append((abstained(name), typed.Pure("eq", (value, typed.Const(ABSTAINED, ABSTAIN)), BOOL)))
    return told


def _budget(test: typed.Test) -> tuple[typed.Limit, ...]:
    """What the one program that the test calls may spend. Latency is left out: scripted models take no time."""
    match [bind.value for bind in test.body]:
        case [typed.ProgramCall(program=program)]:
            return tuple(limit for limit in program.budget if limit.resource in ("tokens", "calls"))
    return ()


def _expectation(expect: typed.Expect, inputs: tuple[typed.Symbol, ...]) -> Expectation:
    fields: list[tuple[str, typed.Expr]] = [("holds", expect.condition)]
    match expect.condition:
        case typed.Pure(op, (left, right)) if op in _COMPARISONS:
            fields += [*_told("left", left), *_told("right", right)]
    type_ = RecordType("expectation", tuple((name, e.type) for name, e in fields))
    plan = _pure(typed.RecordValue(tuple(e for _, e in fields), type_), inputs, type_)
    sides = {side.symbol.name for _, side in fields if isinstance(side, typed.Read)}
    used = uses(plan.program.body)
    reads = (p.name for p in plan.program.parameters if p.value.id in used and p.name not in sides)
    return Expectation(plan, expect.span, tuple(reads))


def _pure(value: typed.Expr, inputs: tuple[typed.Symbol, ...], returns: Type) -> Plan:
    parameters = tuple(typed.Parameter(symbol, True, None, None) for symbol in inputs)
    return _plan(typed.Program("value", "", parameters, returns, (), (typed.Return(value),)), 0)


def _plan(program: typed.Program, level: Level) -> Plan:
    built: ir.Program = build_program(program)
    verify(built, "the builder")
    ran = run_passes(built, level, (), None)
    return lower(ran.program, level, ran.names)
