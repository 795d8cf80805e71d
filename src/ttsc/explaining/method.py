"""`program.explain(…)`. Loads nothing until it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttsc.compiler.cost.workload import Workload
    from ttsc.engines import Engines
    from ttsc.explaining.document import Explanation
    from ttsc.externs import HostFunction
    from ttsc.program import CompiledProgram
    from ttsc.stores import Store


def explain(
    self: CompiledProgram,
    *,
    input: Mapping[str, Any] | None = None,
    inputs: Sequence[Mapping[str, Any]] = (),
    hardware: str | Mapping[str, str] | None = None,
    models: str | Mapping[str, str] | None = None,
    profiles: str | Path | Mapping[str, str | Path] | None = None,
    workload: str | Path | Workload | None = None,
    samples: int | None = None,
    concurrency: int = 1,
    replicas: int = 1,
    seed: int = 0,
    externs: Sequence[HostFunction] = (),
    stores: Mapping[str, Store] | None = None,
    savings: bool = True,
    analyze: bool = False,
    engine: Engines = None,
    on_progress: Callable[[str], None] | None = None,
    **parameters: Any,
) -> Explanation:
    """What the program costs, as `ttsc explain` says it (docs/explain.md): print it, or read its `estimate`. Blocks.

    Parameters by name hold for all inputs; texts that are required and not given are made up. `inputs`: some to take
    as they are. `hardware`, `models`, `profiles`: one for all model roles, or by role. `workload`: a file, or one that
    was read or calibrated. `analyze`: also run the inputs on `engine`. Raises `InputError`, `UsageError`, and
    `EngineError` if what is analyzed fails.
    """
    from ttsc.explaining.request import Request, explained
    from ttsc.inputs import merged
    from ttsc.simulation import aside

    settings = merged(input, parameters)
    asked = Request(
        self,
        settings=settings,
        inputs=[self.check_input({**settings, **each}) for each in inputs],
        hardware=_by_role(hardware),
        models=_by_role(models),
        profiles={role: Path(path) for role, path in _by_role(profiles).items()},
        workload=Path(workload) if isinstance(workload, str) else workload,
        samples=samples,
        concurrency=concurrency,
        replicas=replicas,
        seed=seed,
        externs=externs,
        stores=stores or {},
        savings=savings,
        analyze=analyze,
        engine=engine,
        on_progress=on_progress,
    )
    return aside(lambda: explained(asked))


def _by_role(given: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """What is said of all roles stands under ""."""
    if given is None:
        return {}
    return dict(given) if isinstance(given, Mapping) else {"": given}
