"""Running tests: each with engines, stubs and stores of its own, so that none can disturb another."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import Engine
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.compiler.semantics import typed
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.grammar.source import Span
from ttsc.runtime.events import RunFailure, RunResult
from ttsc.runtime.executor import run_plan
from ttsc.runtime.session import Session
from ttsc.testing.plans import Expectation, TestPlans, Value, abstained, plans_of
from ttsc.testing.scripts import Script
from ttsc.testing.seen import both, seen

TIMEOUT_S = 60.0
"""A test on scripted models that runs longer has failed."""
NOT_SO = "T0001"
"""An expectation did not hold."""
NOT_SAID = "T0002"
"""The test leaves open what an extern gives or a model replies."""
TOO_LONG = "T0003"

_TITLE = re.compile(r'test\s*"(?:[^"\\\n]|\\.)*"(?=\s*\{)')


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a test failed, at a place of the source: a code of ours (T0xxx), or that of the run's failure."""

    code: str
    message: str
    span: Span
    hint: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test that was run; it passed if it has no failures. `measures`: its counters, by name."""

    test: typed.Test
    failures: tuple[Failure, ...]
    measures: dict[str, int]
    duration_s: float

    @property
    def passed(self) -> bool:
        return not self.failures


class _NoValue(Exception):
    """A pure value of the test could not be computed."""

    def __init__(self, failure: RunFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


async def run_test(
    test: typed.Test, *, level: Level = 2, seed: int = 0, engines: Mapping[str, Engine] | None = None
) -> Outcome:
    """Run one test; with `engines` (by role) on these instead of scripted models."""
    started = time.monotonic()
    failures, measures = await _run(plans_of(test, level), seed, engines)
    return Outcome(test, failures, measures, time.monotonic() - started)


async def _run(
    plans: TestPlans, seed: int, engines: Mapping[str, Engine] | None
) -> tuple[tuple[Failure, ...], dict[str, int]]:
    test, program = plans.test, plans.body.program
    missing = [signature for signature in program.externs if signature.name not in plans.stubs]
    if missing:
        return tuple(_unstubbed(each, test) for each in missing), {}
    stores: dict[str, Any] = {}
    for name, items in plans.stores.items():
        try:
            stores[name] = await _value(items.plan, {})
        except _NoValue as error:
            return (_no_value(f"what store '{name}' holds", error.failure, items.span),), {}
    roles = [role.name for role in program.models]
    scripts = {role: Script(role, [row for row in test.scripted if row.role == role]) for role in roles}
    scripted = {role: script.engine() for role, script in scripts.items()} if engines is None else {}
    session = Session(scripted if engines is None else {role: engines[role] for role in roles})
    broken: list[Failure] = []
    try:
        run = run_plan(plans.body, {}, session, _stubs(plans.stubs, broken), seed=seed, stores=stores)
        async with asyncio.timeout(TIMEOUT_S if engines is None else None):
            result = await run
    except TimeoutError:
        return (Failure(TOO_LONG, f"the test took longer than {TIMEOUT_S:g} s", _place(test)),), {}
    finally:
        await session.close()
        for engine in scripted.values():
            await engine.close()
    measures = _measures(result)
    broken += (_unscripted(script, test) for script in scripts.values() if script.unscripted)
    if broken:
        return tuple(dict.fromkeys(broken)), measures
    if result.error is not None:
        return (Failure(result.error.code, result.error.message, _place(test), result.error.hint),), measures
    assert isinstance(result.value, Mapping), "a test gives a record of its names"
    names = {**measures, **_values(result.value)}
    found = [await _expected(expect, names) for expect in plans.expects]
    return tuple(failure for failure in found if failure is not None), measures


def _place(test: typed.Test) -> Span:
    """What a failure of the run is shown at: the only call of the test, or its title."""
    if len(test.body) == 1:
        return test.body[0].span
    title = _TITLE.search(test.span.text)
    start = test.span.start
    return test.span if title is None else Span(test.span.source, start + title.start(), start + title.end())


def _unstubbed(signature: ir.ExternSignature, test: typed.Test) -> Failure:
    names = ", ".join(name for name, _ in signature.parameters)
    message = f"the test does not say what extern '{signature.name}' gives"
    return Failure(NOT_SAID, message, _place(test), f"add extern {signature.name}({names}) = …")


def _values(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields of a record tell, with those that were withheld as such."""
    return {name: ABSTAINED if told.get(abstained(name)) else value for name, value in told.items()}


def _unscripted(script: Script, test: typed.Test) -> Failure:
    """What a model was asked first without a reply; how often."""
    error, more = script.unscripted[0], len(script.unscripted) - 1
    notes = (f"and {more} more request{'s' * (more > 1)} to '{script.role}'",) if more else ()
    return Failure(error.code, error.message, _place(test), error.hint, notes)


def _no_value(what: str, failure: RunFailure, span: Span, notes: tuple[str, ...] = ()) -> Failure:
    return Failure(failure.code, f"{what} can't be told: {failure.message}", span, failure.hint, notes)


def _measures(result: RunResult) -> dict[str, int]:
    usage = result.usage
    return {
        "calls": usage.requests,
        "tokens": usage.decoded_tokens,
        "prefill": usage.prefill_tokens,
        "aborted": usage.aborted,
        "externs": usage.extern_calls,
    }


async def _expected(expect: Expectation, names: Mapping[str, Any]) -> Failure | None:
    """Why an expectation does not hold, with the values it is about; None if it does."""
    notes = tuple(f"{name} is {seen(names[name])}" for name in expect.reads)
    condition = " ".join(expect.span.text.removeprefix("expect").split())
    try:
        held = await _value(expect.plan, {p.name: names[p.name] for p in expect.plan.program.parameters})
    except _NoValue as error:
        return _no_value(f"whether {condition}", error.failure, expect.span, notes)
    held = _values(held)
    if held["holds"]:
        return None
    if "left" in held:
        left, right = both(held["left"], held["right"])
        notes = (f"left:  {left}", f"right: {right}", *notes)
    return Failure(NOT_SO, f"expected {condition}", expect.span, notes=notes)


def _stubs(values: Mapping[str, Value], broken: list[Failure]) -> dict[str, Callable[..., object]]:
    """Externs that evaluate what the test says of them, and note in `broken` where that has no value."""

    def stub(name: str, value: Value) -> Callable[..., object]:
        parameters = [parameter.name for parameter in value.plan.program.parameters]

        async def call(*args: object) -> object:
            given = dict(zip(parameters, args, strict=False))
            try:
                return await _value(value.plan, given)
            except _NoValue as error:
                notes = tuple(f"{each} is {seen(given[each])}" for each in parameters)
                broken.append(_no_value(f"what extern '{name}' gives", error.failure, value.span, notes))
                raise

        return call

    return {name: stub(name, value) for name, value in values.items()}


async def _value(plan: Plan, arguments: Mapping[str, Any]) -> Any:
    """The value of a plan that asks no engine. Raises `_NoValue`."""
    result = await run_plan(plan, arguments, Session({}))
    if result.error is not None:
        raise _NoValue(result.error)
    return result.value
