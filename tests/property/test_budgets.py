"""No run breaks its budget, whatever the program, the clauses, the faults and the timing.

Programs of the repository and of the library run on simulated engines, one for each model role, whose servers fail,
refuse, hang, abort and die. What a run took is counted where it was done: each request by the server's own counts of
what it prefilled and decoded, also for attempts that failed. `TTSC_BUDGET_RUNS` says how many runs.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import ttsc
from ttsc.backends.protocol import Engine
from ttsc.backends.simulator.drawn import WorkloadOutcomes
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.faults import Death, Faults
from ttsc.backends.simulator.job import Job
from ttsc.backends.simulator.tokenizer import SimulatedTokenizer
from ttsc.budgets import price_of_engine
from ttsc.compiler.cost.prices import Price
from ttsc.compiler.cost.units import UNITS, TokenUse
from ttsc.compiler.cost.workload import Workload
from ttsc.compiler.cost.workload_file import default_workload
from ttsc.compiler.ir.nodes import Limit
from ttsc.estimates.given import stand_in_inputs
from ttsc.machines import costs_for
from ttsc.program import CompiledProgram
from ttsc.runtime.events import Event, RequestStarted, RunResult
from ttsc.runtime.executor import run_plan
from ttsc.runtime.retries import RetryPolicy
from ttsc.runtime.session import Session
from ttsc.runtime.virtual_time import run_in_virtual_time
from ttsc.stand_ins import with_stand_ins

RUNS = int(os.environ.get("TTSC_BUDGET_RUNS", "250"))
PROGRAMS = Path(__file__).parents[2] / "programs"
NAMES = (
    "self_consistency",
    "adaptive_consistency",
    "first_finish",
    "best_of_n",
    "beam_search",
    "verified_vote",
    "budget_forcing",
    "parallel_distill_refine",
    "particle_filter",
    "tree_search",
    "verify_and_refine",
    "judged_steps",
)
MACHINES = (("h100@2.50", "Qwen3-8B"), ("a100@1.20", "Qwen3-1.7B"), ("rtx4090@0.40", "Qwen3-0.6B"))
RESOURCES = ("tokens", "calls", "latency", "flops", "eflops", "cost")


class Observed(SimulatedEngine):
    """Keeps what its servers worked on."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.jobs: list[Job] = []

    def _job(self, key: bytes, prompt: int, **given: Any) -> Job:
        job = super()._job(key, prompt, **given)
        self.jobs.append(job)
        return job


@dataclass
class Taken:
    """What a run took in truth, and what it says."""

    result: RunResult
    limits: list[Limit]
    amounts: dict[str, float]
    started_s: list[float] = field(default_factory=list)


@cache
def compiled(name: str) -> CompiledProgram:
    return ttsc.compile(PROGRAMS / f"{name}.tts")


@cache
def workload() -> Workload:
    return default_workload()


@cache
def machine(place: int) -> Any:
    return costs_for(*MACHINES[place]).machine


def drawn_faults(r: random.Random) -> Faults:
    worst = r.choice((0.0, 0.1, 0.4))
    deaths = (Death(r.uniform(0, 3), r.uniform(0.1, 5), 0),) if r.random() < 0.15 else ()
    return Faults(
        deaths=deaths,
        failing=worst * r.random(),
        busy=worst * r.random(),
        slow=worst * r.random(),
        aborting=worst * r.random(),
        fails_after_s=r.choice((0.05, 0.5, 3.0)),
        retry_after_s=0.5,
        seed=r.randrange(10**9),
    )


def engines_for(program: CompiledProgram, r: random.Random) -> dict[str, Observed]:
    outcomes, tokenizer = WorkloadOutcomes(workload(), r.randrange(10**6)), SimulatedTokenizer()
    return {
        role: Observed(machine(r.randrange(3)), outcomes, tokenizer, replicas=r.choice((1, 2)), faults=drawn_faults(r))
        for role in program.models
    }


def use_of(job: Job) -> TokenUse:
    """What a server did for a request: nothing for one that it never took up."""
    return TokenUse(job.prefilled, min(job.cached, job.prefilled), job.produced)


def drawn_limits(r: random.Random, prices: dict[str, Price]) -> list[Limit]:
    """One to three clauses, from far too little to plenty."""
    tokens = int(math.exp(r.uniform(math.log(50), math.log(60_000))))
    price = r.choice(sorted(prices))
    found = []
    for resource in r.sample(RESOURCES, r.choice((1, 1, 2, 3))):
        match resource:
            case "tokens":
                amount = float(tokens)
            case "calls":
                amount = float(r.randint(1, 60))
            case "latency":
                amount = math.exp(r.uniform(math.log(0.05), math.log(60)))
            case _:
                amount = prices[price].of(resource, TokenUse(tokens // 2, 0, tokens // 2)) * UNITS[resource]
        found.append(Limit(resource, amount))  # type: ignore[arg-type]
    return found


def one_run(seed: int) -> Taken:
    r = random.Random(seed)
    program = compiled(r.choice(NAMES))
    engines = engines_for(program, r)
    lent: dict[str, Engine] = dict(engines)
    prices = {role: price_of_engine(engine) for role, engine in lent.items()}
    limits = drawn_limits(r, prices)
    (values, *_), _ = stand_in_inputs(program, {}, workload(), 1)
    externs = with_stand_ins(program.ir, None, workload(), inputs=[values], seed=seed)
    started: list[float] = []

    def observe(event: Event) -> None:
        if isinstance(event, RequestStarted):
            started.append(event.time_s)

    async def work() -> RunResult:
        retry = RetryPolicy(attempts=r.choice((1, 3, 5)))
        session = Session(lent, retry=retry, hedge=r.choice((None, None, 1.2, 2.0)), engine_wait_s=r.choice((0.5, 20)))
        try:
            return await run_plan(
                program.plan, values, session, externs, seed=seed, budget=limits, prices=prices, emit=observe
            )
        finally:
            await session.close()

    result = run_in_virtual_time(work())
    amounts = {"calls": float(len(started)), "tokens": 0.0, **dict.fromkeys(UNITS, 0.0)}
    for role, engine in engines.items():
        for use in map(use_of, engine.jobs):
            amounts["tokens"] += use.tokens
            for resource in UNITS:
                amounts[resource] += prices[role].rates[resource].of(use)
    return Taken(result, limits, amounts, started)


def broken(taken: Taken) -> list[str]:
    """The clauses that a run broke, and what it says wrongly."""
    found = []
    for limit in taken.limits:
        if limit.resource == "latency":
            late = [start for start in taken.started_s if start > limit.amount + 1e-6]
            found += [f"requests sent after {limit.amount}: {late}"] if late else []
            continue
        took = taken.amounts[limit.resource]
        if took > limit.amount * (1 + 1e-9):
            found.append(f"{limit.resource}: {took} > {limit.amount}")
        said = taken.result.usage.priced.get(limit.resource)
        if said is not None and not took * (1 - 1e-9) <= said <= limit.amount * (1 + 1e-9):
            found.append(f"{limit.resource}: it says {said}, took {took} of {limit.amount}")
    if taken.result.cut and not any(taken.result.reason.startswith(limit.resource) for limit in taken.limits):
        found.append(f"cut by {taken.result.reason!r}, which is no clause of it")
    return found


def test_no_budget_is_broken() -> None:
    """Also: budgets cut some runs and leave others alone, and faults hit some, so that the runs say something."""
    cut = failed = whole = retried = 0
    for seed in range(RUNS):
        taken = one_run(seed)
        assert broken(taken) == [], f"seed {seed}: {taken.limits}"
        cut += taken.result.cut
        failed += taken.result.error is not None
        whole += taken.result.error is None and not taken.result.cut
        retried += taken.result.usage.retries > 0
    print(f"{RUNS} runs: {cut} cut, {failed} failed, {whole} whole, {retried} with retries; 0 budgets broken")
    assert min(cut, failed, whole, retried) > RUNS // 50
