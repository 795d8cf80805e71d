"""The simulated engines of an estimate, and what they tell besides events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ttsc.backends.protocol import Engine
from ttsc.backends.simulator.engine import SimulatedEngine
from ttsc.backends.simulator.latents import Answers, sight
from ttsc.backends.simulator.tokenizer import SimulatedTokenizer
from ttsc.simulation import simulated_engines
from ttsc.stand_ins import StandIn, with_stand_ins

if TYPE_CHECKING:
    from ttsc.compiler.cost.steps import Machine
    from ttsc.compiler.cost.workload import Workload
    from ttsc.estimates.simulating import Ran
    from ttsc.externs import Externs
    from ttsc.machines import Costs
    from ttsc.program import CompiledProgram


def engines_of(
    program: CompiledProgram,
    machines: Mapping[str, Machine],
    workload: Workload,
    *,
    seed: int,
    replicas: int,
    costs: Mapping[str, Costs] | None = None,
) -> dict[str, Engine]:
    """One for each model role. Roles with the same machine share an engine, as roles of one model do when a program
    runs; equal machines that are not the same are two.
    """
    by_machine: dict[int, Engine] = {}
    found: dict[str, Engine] = {}
    for role in program.models:
        machine = machines[role]
        shape = costs[role].shape if costs is not None and role in costs else None
        size = None if shape is None else shape.layer_parameters
        if id(machine) not in by_machine:
            made = simulated_engines({role: machine}, workload, seed=seed, replicas=replicas, parameters={role: size})
            by_machine[id(machine)] = made[role]
        found[role] = by_machine[id(machine)]
    return found


def functions_of(
    program: CompiledProgram,
    given: Externs | None,
    workload: Workload,
    values: Sequence[Mapping[str, Any]],
    seed: int,
) -> dict[str, Callable[..., Any]]:
    """The caller's functions, and stand-ins for the others, which take no time and need no thread."""
    functions = with_stand_ins(program.ir, given, workload, inputs=values, seed=seed)
    return {name: _at_once(each) if isinstance(each, StandIn) else each for name, each in functions.items()}


def _at_once(stand_in: StandIn) -> Callable[..., Any]:
    async def answer(*arguments: object) -> Any:
        return stand_in(*arguments)

    answer.__name__ = stand_in.__name__
    return answer


def kv_peak(engine: Any) -> int | None:
    """The most KV tokens that requests of a simulated server held at once; None of a real one."""
    return engine.served.peak_kv if isinstance(engine, SimulatedEngine) else None


def judge_of(workload: Workload, ran: Ran) -> Sequence[float | None]:
    """For each input 1 if its result is right, 0 if not, None if it is nothing that can be right or wrong."""
    by_place: dict[int, Answers] = {}
    found: list[float | None] = []
    for record in ran.inputs:
        place = record.number % len(workload.questions)
        if place not in by_place:
            by_place[place] = Answers(workload, place)
        result = record.result
        failed = result is None or result.error is not None
        found.append(0.0 if failed else judged(result.value if result is not None else None, by_place[place]))
    return tuple(found)


def judged(value: object, answers: Answers) -> float | None:
    """No answer is a wrong one. A text is right if it is the right answer, or was written by a candidate that is."""
    if value is None:
        return 0.0
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return None if _number(answers.right) is None else float(_number(answers.right) == float(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text == answers.right or (_number(text) is not None and _number(text) == _number(answers.right)):
        return 1.0
    seen = sight(tuple(SimulatedTokenizer().encode(text)))
    latents = (*seen.before, *seen.marks)
    return float(latents[-1].right) if latents else float(answers.judged(text))


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "").strip("$"))
    except ValueError:
        return None
