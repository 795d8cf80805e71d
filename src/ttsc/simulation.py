"""`ttsc.simulate`: engines without a model, for planning, tests and demonstrations; and virtual time to run them in."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ttsc.errors import Problem, UsageError

if TYPE_CHECKING:
    from ttsc.backends.simulator.engine import SimulatedEngine
    from ttsc.backends.simulator.faults import Faults
    from ttsc.compiler.cost.steps import Machine
    from ttsc.compiler.cost.workload import Workload
    from ttsc.engines import Engines

T = TypeVar("T")


def simulate(
    workload: str | Path | Workload | None = None,
    *,
    hardware: str | None = None,
    model: str | None = None,
    profile: str | Path | None = None,
    replicas: int = 1,
    seed: int = 0,
    faults: Faults | None = None,
) -> SimulatedEngine:
    """An engine for `engine=` that says what `workload` says and takes as long as a machine would; nothing is computed.

    `workload`: a TOML file (docs/workloads.md), None for the built-in one; another `seed`, another sample of it.
    `hardware` and `model`: names as `ttsc explain` takes them; `profile`: in their place a file of `ttsc engine
    profile`. `replicas`: servers behind a router. `program.run` with it runs in virtual time; for anything that is
    awaited there is `in_virtual_time`. Roles of a program may have simulated engines of their own, of one workload and
    seed.

    Raises `UsageError`: E0530 to E0532 for the machine, E0540 for replicas, E0550 and E0551 for the workload.
    """
    from ttsc.machines import machine_for

    machine = machine_for(hardware, model, None if profile is None else Path(profile))
    return simulated_engines({"": machine}, workload_of(workload), seed=seed, replicas=replicas, faults=faults)[""]


def simulated_engines(
    machines: Mapping[str, Machine],
    workload: Workload,
    *,
    seed: int = 0,
    replicas: int = 1,
    faults: Faults | None = None,
    parameters: Mapping[str, int | None] | None = None,
) -> dict[str, SimulatedEngine]:
    """An engine for each role; roles on equal machines share one, as roles of one model share a server.

    `parameters`: of each role's model, that every token goes through. Raises `UsageError` (E0540).
    """
    from ttsc.backends.simulator.drawn import WorkloadOutcomes
    from ttsc.backends.simulator.engine import SimulatedEngine
    from ttsc.backends.simulator.tokenizer import SimulatedTokenizer
    from ttsc.compiler.cost.workload_file import content_hash

    if not isinstance(replicas, int) or replicas < 1:
        raise UsageError(Problem("E0540", f"replicas is {replicas}", "it must be a whole number, at least 1"))
    outcomes, tokenizer = WorkloadOutcomes(workload, seed), SimulatedTokenizer()
    said = f"the workload {workload.name} ({workload.hash or content_hash(workload)}), seed {seed}"
    made: list[tuple[Machine, SimulatedEngine]] = []
    found: dict[str, SimulatedEngine] = {}
    for role, machine in machines.items():
        same = next((engine for known, engine in made if known == machine), None)
        if same is None:
            size = None if parameters is None else parameters.get(role)
            same = SimulatedEngine(
                machine, outcomes, tokenizer, replicas=replicas, faults=faults, parameters=size, workload=said
            )
            made.append((machine, same))
        found[role] = same
    return found


def workload_of(given: str | Path | Workload | None) -> Workload:
    """A workload, the one of a file, or the built-in one. Raises `UsageError`: E0550, E0551."""
    from ttsc.compiler.cost.workload import Workload
    from ttsc.compiler.cost.workload_file import default_workload
    from ttsc.workloads import read_workload

    if given is None:
        return default_workload()
    return given if isinstance(given, Workload) else read_workload(given)


def only_simulated(engine: Engines) -> bool:
    """Whether nothing but simulated engines was given."""
    given = tuple(engine.values()) if isinstance(engine, Mapping) else (engine,)
    infos = [getattr(each, "info", None) for each in given]
    return bool(infos) and all(getattr(info, "simulated", False) is True for info in infos)


def in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for simulated engines only: hours of theirs pass as fast as this machine
    computes them. Its event loop is its own, so it may be called anywhere, but blocks. Garbage is looked for less often
    meanwhile: nearly everything that is made here goes without.
    """
    from ttsc.runtime.virtual_time import run_in_virtual_time

    before = gc.get_threshold()
    if before[0]:  # 0: somebody wants none at all
        gc.set_threshold(*map(max, before, _COLLECT_AFTER))
    try:
        return aside(lambda: run_in_virtual_time(work))
    finally:
        gc.set_threshold(*before)


_COLLECT_AFTER = (50_000, 20, 50)


def aside(work: Callable[[], T]) -> T:
    """The result of blocking work with an event loop of its own: in a thread that has none, if this one has."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    found: list[T] = []
    failures: list[BaseException] = []

    def target() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target, name="ttsc-simulation", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return found[0]
