"""Running tests: each with engines, stubs and stores of its own, so that none can disturb another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ttsc.backends.protocol import Engine
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.compiler.semantics import typed
from ttsc.grammar.source import Span
from ttsc.runtime.events import RunResult
from ttsc.runtime.executor import run_plan
from ttsc.runtime.session import Session
from ttsc.testing.plans import TestPlans, plans_of
from ttsc.testing.scripts import Script

TIMEOUT_S = 60.0
"""A test on scripted models that runs longer has failed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a test failed, at a place of the source."""

    message: str
    span: Span
    hint: str = ""


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


async def run_test(
    test: typed.Test, *, level: Level = 2, seed: int = 0, engines: Mapping[str, Engine] | None = None
) -> Outcome:
    """Run one test; with `engines` (by role) on these instead of scripted models."""
    started = time.monotonic()
    plans = plans_of(test, level)
    missing = [signature for signature in plans.body.program.externs if signature.name not in plans.stubs]
    if missing:
        return Outcome(test, tuple(_unstubbed(each, test) for each in missing), {}, time.monotonic() - started)
    roles = {role.name for role in plans.body.program.models}
    scripted = {
        role: Script(role, [row for row in test.scripted if row.role == role]).engine()
        for role in (roles if engines is None else ())
    }
    session = Session(scripted if engines is None else {role: engines[role] for role in roles})
    try:
        result = await asyncio.wait_for(
            run_plan(
                plans.body,
                {},
                session,
                _stubs(plans),
                seed=seed,
                stores={name: await _value(plan, {}) for name, plan in plans.stores.items()},
            ),
            TIMEOUT_S if engines is None else None,
        )
    except TimeoutError:
        failure = Failure(f"the test took longer than {TIMEOUT_S:g} s", test.span)
        return Outcome(test, (failure,), {}, time.monotonic() - started)
    finally:
        await session.close()
        for engine in scripted.values():
            await engine.close()
    measures = _measures(result)
    failures = await _failures(plans, result, measures)
    return Outcome(test, failures, measures, time.monotonic() - started)


def _unstubbed(signature: ir.ExternSignature, test: typed.Test) -> Failure:
    names = ", ".join(name for name, _ in signature.parameters)
    message = f"the test does not say what extern '{signature.name}' gives"
    return Failure(message, test.span, f"add extern {signature.name}({names}) = …")


def _measures(result: RunResult) -> dict[str, int]:
    usage = result.usage
    return {
        "calls": usage.requests,
        "tokens": usage.decoded_tokens,
        "prefill": usage.prefill_tokens,
        "aborted": usage.aborted,
        "externs": usage.extern_calls,
    }


async def _failures(plans: TestPlans, result: RunResult, measures: dict[str, int]) -> tuple[Failure, ...]:
    if result.error is not None:
        return (Failure(result.error.message, plans.test.span, result.error.hint),)
    assert isinstance(result.value, Mapping), "a test gives a record of its names"
    names = {**measures, **result.value}
    failures: list[Failure] = []
    for expect in plans.expects:
        held = await _value(expect.plan, {p.name: names[p.name] for p in expect.plan.program.parameters})
        assert isinstance(held, Mapping), "an expectation gives a record"
        if not held["holds"]:
            condition = expect.span.text.removeprefix("expect").strip()
            failures.append(Failure(f"expected {condition}", expect.span, _seen(held)))
    return tuple(failures)


def _seen(held: Mapping[str, Any]) -> str:
    if "left" not in held:
        return ""
    return f"the left side is {_shown(held['left'])}, the right side {_shown(held['right'])}"


def _shown(value: object) -> str:
    import json

    text = "none" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else text[:199] + "…"


def _stubs(plans: TestPlans) -> dict[str, Callable[..., object]]:
    """Externs that evaluate what the test says of them."""

    def stub(plan: Plan) -> Callable[..., object]:
        names = [parameter.name for parameter in plan.program.parameters]

        async def call(*args: object) -> object:
            return await _value(plan, dict(zip(names, args, strict=False)))

        return call

    return {name: stub(plan) for name, plan in plans.stubs.items()}


async def _value(plan: Plan, arguments: Mapping[str, Any]) -> Any:
    """The value of a plan that asks no engine."""
    result = await run_plan(plan, arguments, Session({}))
    if result.error is not None:
        raise ValueError(result.error.message)
    return result.value
