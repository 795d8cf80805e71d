"""What one run takes of simulated engines with a random workload, counted where it arrives; and such workloads."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from spending import Spent, anything

from ttsc.backends.protocol import EmbedRequest, Engine, GenerateRequest, RewardRequest, ScoreRequest
from ttsc.backends.simulator.drawn import WorkloadOutcomes
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.tokenizer import SimulatedTokenizer
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.steps import Chunk, DecodeStep, Limits, Machine, Overheads
from ttsc.compiler.cost.workload import (
    Confidence,
    Question,
    Revisions,
    Rewards,
    Verdicts,
    Workload,
    Writing,
)
from ttsc.compiler.plan.nodes import Plan
from ttsc.runtime.events import Event, ExternCalled, RequestEnded, RequestStarted
from ttsc.runtime.executor import run_plan
from ttsc.runtime.retries import RetryPolicy
from ttsc.runtime.session import Session
from ttsc.runtime.virtual_time import run_in_virtual_time

T = TypeVar("T")
ANSWERS = ("4", "12", "B", "yes", "3.5", "Rome", "", "-7")
FORMS = ("\\boxed{{{answer}}}", "Answer: {answer}", "{answer}", "So it is {answer}.\n")


def random_workload(r: random.Random) -> Workload:
    """Anything that a file may say."""

    def kinds(entry: Any) -> dict[str, Any]:
        names = [
            "default",
            *(name for name in ("sample", "branch", "refine", "judge", "judge:judge") if r.random() < 0.4),
        ]
        return {name: entry() for name in names}

    def writing() -> Writing:
        top = r.choice([2, 12, 60])
        steps = Lengths(tuple(sorted(r.randint(1, 6) for _ in range(3)))) if r.random() < 0.6 else None
        tokens = Lengths(tuple(sorted(r.randint(0, top) for _ in range(r.randint(1, 9)))))
        return Writing(tokens, steps, r.choice(FORMS), skill=r.uniform(-2, 2))

    def question() -> Question:
        if r.random() < 0.5:
            return Question(r.choice([0.0, 1.0, r.random()]))
        named = r.sample(ANSWERS, r.randint(1, 4))
        shares = [r.random() for _ in named]
        answers = tuple(
            (name, share / sum(shares) * r.choice([0.5, 1.0])) for name, share in zip(named, shares, strict=True)
        )
        return Question(answers[0][1], answers, named[0])

    return Workload(
        name="random",
        questions=tuple(question() for _ in range(r.randint(1, 3))),
        writing=kinds(writing),
        verdicts=kinds(lambda: Verdicts(r.random(), r.random(), no_verdict=r.choice([0.0, 0.3]))),
        rewards=kinds(lambda: Rewards(r.uniform(-3, 3), r.random(), r.uniform(-3, 3), whole=r.random() < 0.5)),
        revisions=kinds(lambda: Revisions(r.random(), r.random())),
        confidence=kinds(Confidence),
        collision=r.uniform(0.01, 1),
    )


class _Steps:
    """A step costs a little for each row, and a prefill for each token."""

    def decode(self, rows: int) -> DecodeStep:
        return DecodeStep(0.01 + 0.001 * rows, 1e-6)

    def prefill(self, chunks: Sequence[Chunk]) -> float:
        return 0.01 + 1e-4 * sum(chunk.new for chunk in chunks)


def random_machine(r: random.Random) -> Machine:
    """From one that takes a few sequences at a time to one that takes all."""
    limits = Limits(
        kv_tokens=10**7,
        running=r.choice([2, 8, 10**6]),
        context_tokens=10**7 - 1,
        chunk_tokens=r.choice([64, 8192]),
        page_tokens=r.choice([1, 16]),
    )
    return Machine("random", "model", _Steps(), limits, Overheads(r.choice([0.0, 0.01]), 0.0, r.choice([0.0, 0.05])))


class Counting:
    """A simulated engine that counts for a role what it is asked for."""

    def __init__(self, engine: SimulatedEngine, role: str, spent: Spent) -> None:
        self._engine, self._role, self._spent = engine, role, spent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def _count(self, kind: str, request: GenerateRequest | ScoreRequest | RewardRequest | EmbedRequest) -> None:
        self._spent.requests[kind, self._role] += 1
        self._spent.prompts[kind, self._role] += len(request.input_ids)

    async def generate(self, request: GenerateRequest, on_progress: Any = None) -> Any:
        self._count("generate", request)
        completion = await self._engine.generate(request, on_progress)
        self._spent.decoded[self._role] += completion.completion_tokens
        return completion

    async def score(self, request: ScoreRequest) -> Any:
        self._count("score", request)
        return await self._engine.score(request)

    async def reward(self, request: RewardRequest) -> Any:
        self._count("reward", request)
        return await self._engine.reward(request)

    async def embed(self, request: EmbedRequest) -> Any:
        self._count("embed", request)
        return await self._engine.embed(request)


def spend_simulated(
    plan: Plan,
    arguments: Mapping[str, object],
    seed: int,
    workload: Workload,
    machine: Machine,
    *,
    stores: Mapping[str, Sequence[object]] | None = None,
) -> Spent:
    """One run with an engine for each role in virtual time."""
    program, spent, r = plan.program, Spent(), random.Random(seed)
    tokenizer = SimulatedTokenizer()
    flying: set[str] = set()

    def observe(event: Event) -> None:
        match event:
            case RequestStarted(kind="generate"):
                flying.add(event.request_id)
                spent.live = max(spent.live, len(flying))
            case RequestEnded():
                flying.discard(event.request_id)
            case ExternCalled(name=name):
                spent.externs[name] += 1
            case _:
                pass

    externs = {
        each.name: (lambda *_, returns=each.returns: anything(returns, r)) for each in program.externs
    }  # fmt: skip

    async def work() -> None:
        outcomes = WorkloadOutcomes(workload, seed)
        engines: dict[str, Engine] = {
            role.name: Counting(SimulatedEngine(machine, outcomes, tokenizer), role.name, spent)  # type: ignore[misc]
            for role in program.models
        }
        session = Session(engines, concurrency=10**6, prefix_threshold=10**9, retry=RetryPolicy(attempts=1))
        result = await run_plan(plan, arguments, session, externs, seed=seed, emit=observe, stores=stores, budget=())
        spent.value, spent.error = result.value, result.error.code if result.error else ""
        await session.close()

    run_in_virtual_time(work())
    return spent
