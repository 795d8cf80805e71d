"""Who evaluates settings of a program: closed forms where its pattern is known, else its simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.closed.patterns import Pattern, recognise
from ttsc.compiler.cost.closed.prediction import Forecast
from ttsc.compiler.cost.closed.timing import Prompt
from ttsc.compiler.cost.counts import Counts
from ttsc.compiler.cost.prices import Price, price_of
from ttsc.compiler.cost.search.evaluating import Predicted
from ttsc.compiler.cost.search.forecasting import ClosedForm, priced
from ttsc.compiler.cost.search.space import Space
from ttsc.compiler.ir.nodes import Select
from ttsc.compiler.ir.rewrite import walk

if TYPE_CHECKING:
    from ttsc.estimates.figures import Estimate
    from ttsc.externs import Externs
    from ttsc.planning.variants import Variant
    from ttsc.program import CompiledProgram

_PROBE = 6
"""Candidates of a probe: one that computes the prompt and some that find it."""
_PROBED = 16
"""Inputs of a probe, where they are made up: all are about as long."""
_LEAST_CHECKED = 16
_ENOUGH_REQUESTS = 4000

Report = Callable[[float], None]
"""Told of each simulation: how many requests were simulated."""


def unheard(requests: float) -> None:
    """A report that nobody reads."""


class Simulated:
    """An evaluator that runs the plan on simulated engines. The same seed for every setting: they are told apart by
    what they are, not by luck.
    """

    def __init__(
        self,
        variant: Variant,
        values: Sequence[Mapping[str, Any]],
        inputs: int,
        seed: int,
        externs: Externs | None = None,
        report: Report = unheard,
    ) -> None:
        self._variant = variant
        self._values = values
        self._inputs = inputs
        self._seed = seed
        self._externs = externs
        self._report = report
        self._prices = prices_of(variant)
        self._known: dict[tuple[str, int], Predicted] = {}

    @property
    def efforts(self) -> Sequence[int]:
        """An eighth, a third, all of the inputs."""
        return tuple(dict.fromkeys(max(1, self._inputs // part) for part in (8, 3, 1)))

    def __call__(self, setting: Mapping[str, Any], effort: int) -> Predicted:
        key = (repr(sorted(setting.items())), effort)
        if key not in self._known:
            self._known[key] = self._predicted(setting, effort)
        return self._known[key]

    def checked(self, setting: Mapping[str, Any], calls: float) -> Predicted:
        """With another seed than the search had, and fewer inputs where one asks for many `calls`."""
        whole, count = self.efforts[-1], len(self._variant.workload.questions)
        enough = max(_LEAST_CHECKED, int(_ENOUGH_REQUESTS / max(1.0, calls)))
        if count < enough < whole:
            enough -= enough % count  # each question as often
        other = Simulated(self._variant, self._values, whole, self._seed + 1, self._externs, self._report)
        return other(setting, min(whole, enough))

    def _predicted(self, setting: Mapping[str, Any], effort: int) -> Predicted:
        found = self.estimate(setting, effort)
        self._report(found.total.requests * found.inputs)
        counts = {role.role: role.counts for role in found.roles}
        return Predicted(
            accuracy=found.accuracy,
            tokens=found.total.computed_tokens + found.total.decoded_tokens,
            calls=found.total.requests,
            latency=found.latency.mean,
            flops=priced("flops", counts, self._prices),
            eflops=priced("eflops", counts, self._prices),
            cost=priced("cost", counts, self._prices),
            error=found.accuracy_error,
            source=f"simulation of {found.inputs} inputs",
        )

    def estimate(self, setting: Mapping[str, Any], inputs: int) -> Estimate:
        from ttsc.estimates.estimate import estimate

        return estimate(
            set_to(self._variant.program, setting),
            [{**each, **setting} for each in self._values],
            {role: each.machine for role, each in self._variant.costs.items()},
            self._variant.workload,
            inputs=inputs,
            seed=self._seed,
            externs=self._externs,
            costs=self._variant.costs,
            bounds=False,
        )


def set_to(program: CompiledProgram, setting: Mapping[str, Any]) -> CompiledProgram:
    """The program with a setting compiled in, as `ttsc run --set` has it."""
    from ttsc.inputs import may_be_known

    held = {each.name: setting[each.name] for each in program.parameters if each.name in setting and may_be_known(each)}
    return program.specialize(held) if held else program


def prices_of(variant: Variant) -> dict[str, Price]:
    """By role."""
    return {role: price_of(each.machine, each.shape, each.hardware) for role, each in variant.costs.items()}


def pattern_of(program: CompiledProgram) -> Pattern | None:
    """The pattern of a program, with what its plan may end early."""
    selects = [each for each in walk(program.ir.body) if isinstance(each, Select)]
    early = frozenset(each.result.id for each in selects if each.early)
    return recognise(program.compiled.built, early)


def closed_form(
    variant: Variant,
    pattern: Pattern,
    values: Sequence[Mapping[str, Any]],
    space: Space,
    simulated: Simulated,
    made_up: bool,
) -> ClosedForm:
    """An evaluator by closed forms. How long prompts are, and what of them is cached, a short simulation tells.
    Raises `KeyError` where the workload says nothing of a kind of request.
    """
    name = pattern.pool.count.parameter
    pool_axis = next((axis for axis in space.axes if axis.name == name), None)
    own = pattern.pool.count.of(values[0])
    assert isinstance(own, int)
    most = own if pool_axis is None else max(pool_axis.values)
    few = [own] if pool_axis is None else sorted({min(pool_axis.values), *_nearest(pool_axis.values, _PROBE)})
    inputs = min(simulated.efforts[-1], _PROBED) if made_up else simulated.efforts[-1]
    probes = [simulated.estimate({} if pool_axis is None else {name: count}, inputs) for count in few]
    asked = [pattern.pool.node, *([pattern.check.node] if pattern.check is not None else [])]
    prompts = {node: _prompt([_counts(found, node) for found in probes]) for node in asked}
    machines = {role: each.machine for role, each in variant.costs.items()}
    forecast = Forecast(pattern, variant.workload, machines, prompts, most)
    return ClosedForm(forecast, prices_of(variant), values[0])


def _nearest(values: Sequence[int], wanted: int) -> list[int]:
    return sorted(values, key=lambda each: abs(each - wanted))[:1]


def _counts(found: Estimate, node: str) -> Counts:
    return next((each.counts for each in found.nodes if each.id == node), Counts())


def _prompt(found: Sequence[Counts]) -> Prompt:
    """From what pools of a few sizes took: the more requests, the more of their prompts were in the cache."""
    known = [each for each in found if each.requests]
    if not known:
        return Prompt(1.0, 1.0)
    first, last = known[0], known[-1]
    if last.requests - first.requests < 0.5:
        # One size tells no first request from the others, and needs none: their mean gives the same sum.
        each = last.computed_tokens / last.requests
        return Prompt(last.prompt_tokens / last.requests, each, each)
    others = (last.computed_tokens - first.computed_tokens) / (last.requests - first.requests)
    others = max(1.0, others)
    alone = max(1.0, first.computed_tokens - (first.requests - 1) * others)
    return Prompt(last.prompt_tokens / last.requests, alone, others)
