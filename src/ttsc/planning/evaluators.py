"""Who evaluates settings of a program: closed forms where its pattern is known, else its simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.closed.patterns import Pattern, recognise
from ttsc.compiler.cost.closed.prediction import Forecast
from ttsc.compiler.cost.closed.timing import Prompt
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

_PROBE_COUNT = 2
"""Candidates of a probe: one that computes the prompt and one that finds it."""


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
    ) -> None:
        self._variant = variant
        self._values = values
        self._inputs = inputs
        self._seed = seed
        self._externs = externs
        self._prices = prices_of(variant)

    @property
    def efforts(self) -> Sequence[int]:
        """A quarter, a half, all of the inputs."""
        return tuple(dict.fromkeys(max(1, self._inputs // part) for part in (4, 2, 1)))

    def __call__(self, setting: Mapping[str, Any], effort: int) -> Predicted:
        found = self.estimate(setting, effort)
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
    variant: Variant, pattern: Pattern, values: Sequence[Mapping[str, Any]], space: Space, simulated: Simulated
) -> ClosedForm:
    """An evaluator by closed forms. How long prompts are, and what of them is cached, a short simulation tells.
    Raises `KeyError` where the workload says nothing of a kind of request.
    """
    counts = {axis.name: max(axis.values) for axis in space.axes if axis.name == pattern.pool.count.parameter}
    defaults = {**values[0], **{axis.name: axis.values[0] for axis in space.axes}}
    most = int(next(iter(counts.values()), pattern.pool.count.of(values[0]) or 1))
    probe = {axis.name: defaults[axis.name] for axis in space.axes}
    if counts:
        [name] = counts
        probe[name] = min(_PROBE_COUNT, most)
    found = simulated.estimate(probe, simulated.efforts[-1])
    prompts = {}
    for node in found.nodes:
        asked = node.counts.requests
        if node.id == pattern.pool.node:
            prompts[node.id] = Prompt(
                node.counts.prompt_tokens / asked, max(1.0, node.counts.computed_tokens - (asked - 1))
            )
        elif pattern.check is not None and node.id == pattern.check.node and asked:
            prompts[node.id] = Prompt(node.counts.prompt_tokens / asked, node.counts.computed_tokens / asked)
    machines = {role: each.machine for role, each in variant.costs.items()}
    forecast = Forecast(pattern, variant.workload, machines, prompts, most)
    return ClosedForm(forecast, prices_of(variant), values[0])
