"""What one run really takes, counted where it arrives: at the scripted engines, and at the externs."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer
from ttsc.compiler.bounds import ConcreteBounds
from ttsc.compiler.ir.nodes import Program
from ttsc.compiler.plan.nodes import Plan
from ttsc.compiler.values.types import ListOf, OptionalOf, PairOf, RecordType, Scalar, Type
from ttsc.runtime.events import Event, ExternCalled, RequestEnded, RequestStarted
from ttsc.runtime.executor import run_plan
from ttsc.runtime.retries import RetryPolicy
from ttsc.runtime.session import Session

WORDS = "yes no wait so 7 12 hence the sum is \\boxed{3} Answer: 4 def f(x): A B".split()


@dataclass
class Spent:
    """Requests by (kind, role), tokens by role, extern calls by name, and generations in flight at once."""

    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    prompts: Counter[tuple[str, str]] = field(default_factory=Counter)
    decoded: Counter[str] = field(default_factory=Counter)
    externs: Counter[str] = field(default_factory=Counter)
    live: int = 0
    value: Any = None
    error: str = ""


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """Anything a model may say: words, steps, grades; JSON that fits the schema, or nearly."""
    r = random.Random(prompt if sampling.temperature == 0 else f"{seed}{prompt}")
    if sampling.schema and r.random() < 0.95:
        return json.dumps(instance(json.loads(sampling.schema), r))
    lines = [" ".join(r.choices(WORDS, k=r.randint(0, 9))) for _ in range(r.randint(1, 6))]
    return r.choice(["\n", "\n\n"]).join(lines)


def instance(schema: Mapping[str, Any], r: random.Random) -> Any:
    """A value that fits a JSON schema."""
    if "enum" in schema:
        return r.choice(schema["enum"])
    if "anyOf" in schema:
        return instance(r.choice(schema["anyOf"]), r)
    match schema.get("type"):
        case "string":
            return " ".join(r.choices(WORDS, k=r.randint(0, 6)))
        case "integer":
            return r.randint(schema.get("minimum", -3), schema.get("maximum", 9))
        case "number":
            return r.uniform(schema.get("minimum", -3), schema.get("maximum", 9))
        case "boolean":
            return r.random() < 0.5
        case "array":
            return [instance(schema["items"], r) for _ in range(r.randint(0, schema.get("maxItems", 5)))]
        case "object":
            return {name: instance(each, r) for name, each in schema["properties"].items()}
    return None


def anything(type_: Type, r: random.Random) -> Any:
    """A value of a type, for parameters and for what externs return."""
    match type_:
        case Scalar("str"):
            return r.choice([" ", "\n"]).join(r.choices(WORDS, k=r.randint(0, 12)))
        case Scalar("int"):
            return r.randint(0, 6)
        case Scalar("float"):
            return r.uniform(-2, 9)
        case Scalar("bool"):
            return r.random() < 0.5
        case ListOf(item, limit):
            return [anything(item, r) for _ in range(r.randint(0, min(4, limit or 4)))]
        case OptionalOf(item):
            return None if r.random() < 0.3 else anything(item, r)
        case PairOf(first, second):
            return {"first": anything(first, r), "second": anything(second, r)}
        case RecordType(fields=fields):
            return {name: anything(kind, r) for name, kind in fields}
    raise AssertionError(f"no host gives a {type_}")


def spend(
    plan: Plan,
    arguments: Mapping[str, object],
    seed: int,
    *,
    stores: Mapping[str, Sequence[object]] | None = None,
    jitter: float = 0.0,
) -> Spent:
    """One run with an engine for each role, all of one tokenizer, and nothing that holds requests back."""
    program = plan.program
    spent = Spent()
    r = random.Random(seed)
    tokenizer = ScriptedTokenizer()
    reward = lambda prompt: random.Random(f"{seed}{prompt}").uniform(-3, 3)  # noqa: E731
    engines = {
        role.name: ScriptedEngine(
            reply, tokenizer=tokenizer, context_tokens=10**7, jitter=jitter, jitter_seed=seed, reward=reward
        )
        for role in program.models
    }
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
        session = Session(engines, concurrency=10**6, prefix_threshold=10**9, retry=RetryPolicy(attempts=1))
        result = await run_plan(plan, arguments, session, externs, seed=seed, emit=observe, stores=stores, budget=())
        spent.value, spent.error = result.value, result.error.code if result.error else ""
        await session.close()
        for engine in engines.values():
            await engine.close()

    asyncio.run(work())
    for role, engine in engines.items():
        for record in engine.records:
            spent.requests[record.kind, role] += 1
            spent.prompts[record.kind, role] += len(record.request.input_ids)
            if record.kind == "generate" and record.completion is not None:
                spent.decoded[role] += record.completion.completion_tokens
    return spent


def excess(spent: Spent, bounds: ConcreteBounds) -> list[str]:
    """Quantities of which a run took more than the bounds allow."""
    problems: list[str] = []

    def compare(what: str, name: str, taken: int, allowed: int) -> None:
        if taken > allowed:
            problems.append(f"{what} {name}: {taken} > {allowed}")

    kinds = {
        "generate": bounds.generations,
        "score": bounds.scores,
        "reward": bounds.rewards,
        "embed": bounds.embeddings,
    }
    scored: Counter[str] = Counter()
    for (kind, role), taken in spent.requests.items():
        compare(kind, role, taken, kinds[kind].get(role, 0))
    for (kind, role), tokens in spent.prompts.items():
        if kind == "generate":
            compare("prefill", role, tokens, bounds.prefill.get(role, 0))
        else:
            scored[role] += tokens
    for role, tokens in scored.items():
        compare("scored", role, tokens, bounds.scored.get(role, 0))
    for role, tokens in spent.decoded.items():
        compare("decode", role, tokens, bounds.decode.get(role, 0))
    for name, calls in spent.externs.items():
        compare("extern", name, calls, bounds.externs.get(name, 0))
    compare("in flight", "", spent.live, bounds.live)
    return problems


def text_limits(program: Program, tokens: int) -> dict[str, int]:
    """A size for every text that an extern may return here, under the symbols that bounds give them."""
    found: dict[str, int] = {}

    def visit(path: str, type_: Type) -> None:
        match type_:
            case Scalar("str"):
                found[f"tokens({path})"] = tokens
            case ListOf(item):
                visit(f"{path}[]", item)
            case OptionalOf(item):
                visit(path, item)
            case RecordType(fields=fields):
                for name, kind in fields:
                    visit(f"{path}.{name}", kind)
            case _:
                pass

    for each in program.externs:
        visit(each.name, each.returns)
    return found
