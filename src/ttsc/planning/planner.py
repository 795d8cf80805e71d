"""The plan: every variant searched, the best of them simulated, and the frontier of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.search.evaluating import Evaluator, Goal, Objective, Predicted, Seen
from ttsc.compiler.cost.search.frontier import frontier
from ttsc.compiler.cost.search.halving import REQUESTS, halve
from ttsc.compiler.cost.search.searching import Found, search
from ttsc.compiler.cost.search.space import Space, axes_of
from ttsc.compiler.ir.nodes import Limit
from ttsc.errors import Problem, UsageError
from ttsc.planning.evaluators import Report, Simulated, closed_form, pattern_of, unheard
from ttsc.planning.representative import representative
from ttsc.planning.variants import Variant, same_signature, variants

if TYPE_CHECKING:
    from ttsc.compiler.cost.workload import Workload
    from ttsc.externs import Externs
    from ttsc.planning.by_difficulty import Table
    from ttsc.program import CompiledProgram

INPUTS = 64
_CORRECTIONS = 3
_MARGIN = 0.005
"""By how much a corrected limit is tighter than it would have to be."""


@dataclass(frozen=True)
class Asked:
    """goal, limits, accuracy: of one input on average; accuracy None: with the goals latency and cost, that of the
    defaults. settings: parameters that are not chosen. models: names to choose among by role, or "" for all roles.
    workloads: by model, "" for the others; workload_files: where they are from, if from files. samples: inputs to
    simulate. by_difficulty: also a table of settings by agreement. requests: that a search by simulation may take for a
    program; report: told of each simulation.
    """

    programs: Sequence[CompiledProgram]
    goal: Goal
    limits: tuple[Limit, ...] = ()
    accuracy: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Mapping[str, Any]] = ()
    hardware: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    profiles: Mapping[str, Path] = field(default_factory=dict)
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    workload_files: Mapping[str, Path] = field(default_factory=dict)
    samples: int = INPUTS
    seed: int = 0
    externs: Externs = ()
    by_difficulty: bool = False
    requests: int = REQUESTS
    report: Report = unheard


@dataclass(frozen=True)
class Option:
    """A setting of a variant. `simulated`: the same by a simulation that the search did not choose it by."""

    variant: Variant
    setting: Mapping[str, Any]
    predicted: Predicted
    simulated: Predicted | None = None

    @property
    def known(self) -> Predicted:
        """What it takes by the simulation where there is one, since that runs the plan itself; how accurate it is by
        the closed form, which has no error of chance.
        """
        if self.simulated is None or self.predicted.accuracy is None or not self.predicted.exact:
            return self.simulated or self.predicted
        return replace(self.simulated, accuracy=self.predicted.accuracy, error=self.predicted.error)


@dataclass(frozen=True)
class Planned:
    """`defaults`: the first variant with its program's defaults. evaluations: settings looked at. resource: of the
    frontier. seconds are not in it: equal arguments give an equal plan.
    """

    asked: Asked
    objective: Objective
    best: Option
    defaults: Option
    frontier: tuple[Option, ...]
    resource: str
    evaluations: int
    settings: int
    table: Table | None = None
    notes: tuple[str, ...] = ()

    @property
    def setting(self) -> Mapping[str, Any]:
        """The chosen values of parameters."""
        return self.best.setting

    @property
    def expected(self) -> Predicted:
        """What an input is expected to give and to take with it, on average."""
        return self.best.known

    def __str__(self) -> str:
        from ttsc.planning.show import text_of

        return text_of(self, ())

    def write(self, path: str | Path) -> None:
        """The plan's file, for `ttsc.load_plan` and `ttsc run`. Raises `UsageError` (E0579) if it can't be written, or
        if the program is from no file.
        """
        from ttsc.planning.making import plan_of
        from ttsc.planning.plan_file import write_plan

        write_plan(plan_of(self, Path(path)), Path(path))


def planned(asked: Asked) -> Planned:
    """Blocks. Raises `UsageError`: E0575, E0576 for alternatives, E0577 if nothing can be chosen by what is known,
    E0578 if no setting keeps the limits.
    """
    same_signature(asked.programs)
    first_one, *others = variants_of(asked)
    first = _searched(asked, first_one)
    objective = first.objective
    found = [first, *(_searched(replace(asked, accuracy=objective.accuracy), each) for each in others)]
    ranked = max(found, key=lambda each: objective.rank(_judged(each.option)))
    if not objective.feasible(_judged(ranked.option)):
        raise UsageError(_impossible(objective, ranked.option))
    resource = _resource(asked)
    options = [(each, seen) for each in found for seen in each.result.frontier]
    front = frontier([replace(seen, place=(i,)) for i, (_, seen) in enumerate(options)], resource)
    by_place = [options[each.place[0]] for each in front]
    notes = dict.fromkeys(note for each in found for note in (*each.variant.notes, *each.notes))
    if any(len(names) > 1 for names in asked.models.values()) and len(asked.workloads) == 1:
        notes["the workload says the same of every model: --workload MODEL=FILE for each of them"] = None
    table = None
    if asked.by_difficulty:
        from ttsc.planning.by_difficulty import table_of

        table, said = table_of(ranked.variant, ranked.evaluator, ranked.option, objective)
        notes.update(dict.fromkeys(said))
    return Planned(
        asked,
        objective,
        ranked.option,
        first.defaults,
        tuple(Option(each.variant, seen.setting, seen.predicted) for each, seen in by_place),
        resource,
        sum(each.result.evaluations for each in found),
        sum(each.size for each in found),
        table,
        tuple(notes),
    )


def variants_of(asked: Asked) -> list[Variant]:
    return list(variants(asked.programs, asked.hardware, asked.models, asked.profiles, asked.workloads))


@dataclass(frozen=True)
class _Searched:
    variant: Variant
    evaluator: Evaluator
    objective: Objective
    result: Found
    option: Option
    defaults: Option
    size: int
    notes: tuple[str, ...]


def _searched(asked: Asked, variant: Variant) -> _Searched:
    variant = replace(variant, workload=representative(variant.workload, asked.inputs))
    values, notes = values_of(asked, variant)
    space = Space(axes_of(variant.program.parameters, asked.settings))
    simulated = Simulated(variant, values, asked.samples, asked.seed, asked.externs or None, asked.report)
    evaluator, said = _evaluator(variant, values, space, simulated, not asked.inputs)
    defaults = {axis.name: values[0][axis.name] for axis in space.axes}
    full = evaluator.efforts[-1]
    predicted = evaluator(defaults, full)
    by_default = Option(variant, defaults, predicted, simulated.checked(defaults, predicted.calls))
    objective = _objective(asked, by_default)
    _answerable(objective, by_default, variant)
    place = space.place(defaults)
    also = [place] if place is not None else []
    resource = _resource(asked)

    def looked(within: Objective) -> Found:
        if evaluator is simulated:
            return halve(space, evaluator, within, resource, also, asked.requests)
        return search(space, evaluator, within, resource, also)

    result = looked(objective)
    evaluations = result.evaluations
    option = _checked(variant, result, simulated)
    # Closed forms assume what a simulation does not, and of many simulated settings the best one was lucky, too: where
    # the chosen one breaks a limit in a simulation of its own, that limit is set tighter.
    bound = objective
    for _ in range(_CORRECTIONS):
        if not _misses(objective, option):
            break
        bound = _tighter(bound, objective, option)
        result = looked(bound)
        evaluations += result.evaluations
        option = _checked(variant, result, simulated)
    if not space.axes:
        said = (*said, f"{variant.program.name} has no parameter to choose")
    said = (*said, *_doubts(by_default), *_left_out(variant, result, asked))
    return _Searched(
        variant,
        evaluator,
        objective,
        replace(result, evaluations=evaluations),
        option,
        by_default,
        space.size,
        (*notes, *said),
    )


def _evaluator(
    variant: Variant, values: Sequence[Mapping[str, Any]], space: Space, simulated: Simulated, made_up: bool
) -> tuple[Evaluator, tuple[str, ...]]:
    pattern = pattern_of(variant.program)
    if pattern is None:
        return simulated, (f"{variant.program.name} has no known pattern: each setting is simulated",)
    try:
        return closed_form(variant, pattern, values, space, simulated, made_up), ()
    except KeyError as missing:
        return simulated, (f"the workload says nothing of {missing.args[0]}: each setting is simulated",)


def values_of(asked: Asked, variant: Variant) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    """Checked inputs: those given, or made-up ones."""
    if asked.inputs:
        return [variant.program.check_input({**each, **asked.settings}) for each in asked.inputs], ()
    from ttsc.estimates.given import stand_in_inputs

    made, names = stand_in_inputs(variant.program, asked.settings, variant.workload, asked.samples)
    why = "--inputs: their lengths decide what prompts take"
    note = (f"made up, since not given: {', '.join(names)} ({why})",) if names else ()
    return list(made), note


def _checked(variant: Variant, result: Found, simulated: Simulated) -> Option:
    chosen: Seen = result.best or result.nearest
    found = chosen.predicted
    return Option(variant, chosen.setting, found, simulated.checked(chosen.setting, found.calls))


def _left_out(variant: Variant, result: Found, asked: Asked) -> tuple[str, ...]:
    if not result.left_out:
        return ()
    return (
        f"{variant.program.name}: {result.left_out} settings of the first look were left out: they ask for more"
        f" than the search may simulate ({asked.requests:,} requests: --search-requests)",
    )


def _misses(objective: Objective, option: Option) -> bool:
    """Whether the simulation breaks what the closed form kept."""
    if option.simulated is None:
        return False
    return objective.excess(_judged(option)) > 0 >= objective.excess(option.predicted)


def _judged(option: Option) -> Predicted:
    """What is known, an accuracy that was simulated with the benefit of the doubt: within its standard error."""
    known, told = option.known, option.predicted.accuracy
    if option.predicted.exact or known.accuracy is None or told is None:
        return known
    return replace(known, accuracy=max(known.accuracy, min(told, known.accuracy + known.error)))


def _doubts(option: Option) -> tuple[str, ...]:
    """Where the simulation is right far more or less often than the closed form says: then one of them is wrong."""
    if option.simulated is None or option.simulated.accuracy is None or option.predicted.accuracy is None:
        return ()
    if not option.predicted.exact:
        return ()
    inputs = float(option.simulated.source.split()[2])
    closed, real = option.predicted.accuracy, option.simulated.accuracy
    error = max(option.simulated.error, (closed * (1 - closed) / inputs) ** 0.5)
    if abs(closed - real) <= 4 * error:
        return ()
    return (
        f"{option.variant.program.name} is right in {real:.1%} of simulated inputs, and in {closed:.1%} by the closed"
        " form: the program may not read answers as the workload writes them (`answer`, docs/workloads.md)",
    )


def _tighter(bound: Objective, objective: Objective, option: Option) -> Objective:
    assert option.simulated is not None
    limits = []
    for own, limit in zip(bound.limits, objective.limits, strict=True):
        real, told = option.simulated.of(limit.resource), option.predicted.of(limit.resource)
        factor = 1.0 if not real or not told or real <= limit.amount else limit.amount / real * (1 - _MARGIN)
        limits.append(Limit(limit.resource, own.amount * factor))
    accuracy = bound.accuracy
    if accuracy is not None and objective.accuracy is not None:
        accuracy += max(0.0, objective.accuracy - (_judged(option).accuracy or 0.0))
    return Objective(bound.goal, tuple(limits), accuracy)


def _objective(asked: Asked, defaults: Option) -> Objective:
    accuracy = asked.accuracy
    if accuracy is None and asked.goal != "accuracy":
        accuracy = defaults.known.accuracy
        if accuracy is not None and defaults.predicted.accuracy is not None:
            accuracy = min(accuracy, defaults.predicted.accuracy)  # of two simulations that differ by chance
    return Objective(asked.goal, asked.limits, accuracy)


def _answerable(objective: Objective, option: Option, variant: Variant) -> None:
    """Refuse (E0577) a goal or a limit of which nothing is known."""
    known = option.known
    wanted = [objective.goal, *(limit.resource for limit in objective.limits)]
    if objective.accuracy is not None:
        wanted.append("accuracy")
    problems = []
    for name in dict.fromkeys(wanted):
        if known.of(name) is not None:
            continue
        if name == "accuracy":
            what = f"nothing says how often '{variant.program.name}' is right"
            hint = "its result must be an answer, as a workload's questions have; or: --objective latency, cost"
        else:
            what = f"no price is known for {name}"
            hint = "--hardware with what it costs an hour, or per token (docs/cost-model.md)"
        problems.append(Problem("E0577", what, hint))
    if problems:
        raise UsageError(*problems)


def _impossible(objective: Objective, nearest: Option) -> Problem:
    known = nearest.known
    told = ", ".join(f"{limit.resource} {known.of(limit.resource):.6g}" for limit in objective.limits)
    wanted = "" if objective.accuracy is None else f"an accuracy of {objective.accuracy:.3f}"
    missed = " with ".join(part for part in ("the budget" if objective.limits else "", wanted) if part)
    ways = ("allow more by --budget" if objective.limits else "", "ask for less by --at-least" if wanted else "")
    setting = ", ".join(f"{name}={value}" for name, value in nearest.setting.items()) or "as it is"
    accuracy = "" if known.accuracy is None else f"accuracy {known.accuracy:.3f}"
    what = ", ".join(part for part in (told, accuracy) if part)
    return Problem(
        "E0578",
        f"no setting {'keeps' if objective.limits else 'has'} {missed}; the nearest is"
        f" {nearest.variant.label}: {setting} ({what})",
        ", or ".join(part for part in ways if part),
    )


def _resource(asked: Asked) -> str:
    """What the frontier is drawn over."""
    if asked.limits:
        return asked.limits[0].resource
    return "tokens" if asked.goal == "accuracy" else asked.goal
