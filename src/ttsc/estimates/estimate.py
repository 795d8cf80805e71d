"""What a program is expected to cost: its plan, run by the real executor on simulated engines in virtual time.

The expectation is the mean over seeded inputs of the workload; what it can't exceed comes from the static bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ttsc.estimates.assembling import (
    Means,
    lost_tokens,
    node_estimates,
    path_from,
    paths_of,
    samples,
    timeline,
    typical,
)
from ttsc.estimates.collector import InputRecord, busy_s, summed
from ttsc.estimates.figures import Estimate, NodeEstimate, RoleEstimate, Saving, Work
from ttsc.estimates.fresh_inputs import fresh_inputs
from ttsc.estimates.places import given_text
from ttsc.estimates.prefix_sharing import prefix_estimates
from ttsc.estimates.simulating import ENOUGH_REQUESTS, Ran, simulate
from ttsc.estimates.worst import at_most_by_node, bounds_of, greatest

if TYPE_CHECKING:
    from ttsc.compiler.cost.steps import Machine
    from ttsc.compiler.cost.workload import Workload
    from ttsc.externs import Externs
    from ttsc.machines import Costs
    from ttsc.program import CompiledProgram
    from ttsc.stores import Store

INPUTS = 64
"""Inputs that are simulated unless told otherwise: fewer if they ask a lot (`ENOUGH_REQUESTS`)."""
SAVING_INPUTS = (4, 16)
"""Inputs that are simulated without each pass: at least, and at most."""
SAVING_REQUESTS = 200
"""Requests and host functions' calls that are enough to tell what a pass saves: seeds are those of the whole plan."""
_TEXT_WIDTH = 96


def estimate(
    program: CompiledProgram,
    values: Sequence[Mapping[str, Any]],
    machines: Mapping[str, Machine],
    workload: Workload,
    *,
    inputs: int | None = None,
    seed: int = 0,
    concurrency: int = 1,
    replicas: int = 1,
    externs: Externs | None = None,
    stores: Mapping[str, Store] | None = None,
    costs: Mapping[str, Costs] | None = None,
    savings: bool = False,
    bounds: bool = True,
) -> Estimate:
    """Simulate `inputs` inputs (None: 64, fewer if they ask a lot) and say what they take. Blocks; not inside a running
    event loop.

    values: checked inputs; input i of the simulation is values[i] and asks question i of the workload. Where more are
    simulated than given, they are like those given, with texts of their own (`fresh_inputs`).
    machines: by model role; costs: the same with shape and hardware, where a machine doesn't say them. Externs that are
    not given are stood in for. concurrency: inputs in flight at once; 1 tells what one costs alone, with the prefixes
    of those before it in the cache. savings: also simulate the plan without each pass. bounds: also say each node's
    worst case (a planner that asks often leaves it out). Equal arguments give equal estimates.
    """
    from ttsc.estimates.engines import engines_of, functions_of, judge_of
    from ttsc.estimates.savings import savings_of
    from ttsc.externs import offered

    every = fresh_inputs(program.ir, values, INPUTS if inputs is None else inputs, offered(externs))
    functions = functions_of(program, externs, workload, every, seed)

    def make() -> Mapping[str, Any]:
        return engines_of(program, machines, workload, seed=seed, replicas=replicas, costs=costs)

    def run(other: CompiledProgram, most: int, enough: int | None = None) -> Ran:
        return simulate(
            other,
            every[:most],
            make,
            enough=enough,
            seed=seed,
            concurrency=concurrency,
            externs=functions,
            stores=stores,
        )

    ran = run(program, len(every), ENOUGH_REQUESTS if inputs is None else None)
    weights = tuple(workload.question(record.number).weight for record in ran.inputs)
    saved: tuple[Saving, ...] = ()
    if savings:
        few = few_of(ran)
        # One after the other, the first inputs are the same whatever comes after them.
        first = ran.inputs[:few] if concurrency == 1 else None
        saved = savings_of(program, Means(weights[:few]), lambda other: run(other, few).inputs, first)
    accuracy = judge_of(workload, ran)
    return assembled(
        program,
        values,
        ran,
        machines,
        workload,
        weights,
        concurrency=concurrency,
        seed=seed,
        costs=costs,
        saved=saved,
        saving_inputs=few_of(ran) if savings else 0,
        right=accuracy,
        bounds=bounds,
    )


def few_of(ran: Ran) -> int:
    """How many of its first inputs are enough to tell what passes save."""
    least, most = SAVING_INPUTS
    asked, few = 0, 0
    for record in ran.inputs[:most]:
        if few >= least and asked >= SAVING_REQUESTS:
            break
        asked, few = asked + len(record.done), few + 1
    return few


def assembled(
    program: CompiledProgram,
    values: Sequence[Mapping[str, Any]],
    ran: Ran,
    machines: Mapping[str, Machine],
    workload: Workload,
    weights: tuple[float, ...],
    *,
    concurrency: int,
    seed: int,
    costs: Mapping[str, Costs] | None = None,
    saved: tuple[Saving, ...] = (),
    saving_inputs: int = 0,
    right: Sequence[float | None] = (),
    bounds: bool = True,
) -> Estimate:
    """The figures of runs that are done. right: 1 for each input with a right answer, 0 for a wrong one, None where
    nobody knows.
    """
    from ttsc.estimates.machine_work import role_work

    records, means, plan = ran.inputs, Means(weights), program.plan
    work_of = role_work(machines, costs)
    paths = paths_of(records)
    worst = at_most_by_node(plan.program, values) if bounds else {}
    nodes = node_estimates(plan, records, means, work_of, worst, paths)
    counts = {node.id: node.counts for node in nodes}
    per_input = [record.counts() for record in records]
    middle = typical(records)
    static = bounds_of(plan.program)
    judged = [(value, weight) for value, weight in zip(right, weights, strict=False) if value is not None]
    accuracy, error = _share(judged)
    results = [record.result for record in records]
    failures = [result.error for result in results if result is not None and result.error is not None]
    roles = tuple(
        _role(role, machines[role], nodes, records, means, ran) for role in program.models if role in machines
    )
    return Estimate(
        program=program.name,
        file=program.compiled.source.path,
        level=plan.level,
        passes=plan.passes,
        workload=workload.name,
        workload_hash=workload.hash,
        inputs=len(records),
        concurrency=concurrency,
        seed=seed,
        total=means.counts(per_input),
        requests=means.spread([each.requests for each in per_input]),
        tokens=means.spread([each.prompt_tokens + each.decoded_tokens for each in per_input]),
        latency=means.spread([record.seconds for record in records]),
        wall_s=ran.wall_s,
        work=_all(roles),
        nodes=nodes,
        roles=roles,
        critical=path_from(records[middle].start_s, paths[middle]),
        prefixes=prefix_estimates(plan, counts),
        at_most=greatest(static, values),
        at_most_text=static.text(_TEXT_WIDTH),
        savings=saved,
        accuracy=accuracy,
        accuracy_error=error,
        abstained=means.of([float(each is not None and each.abstained) for each in results]),
        cut=means.of([float(each is not None and each.cut) for each in results]),
        failed=means.of([float(each is None or each.error is not None) for each in results]),
        failure=failures[0].message if failures else "",
        lost_tokens=means.of([lost_tokens(record.done) for record in records]),
        distinct_tokens=means.of([float(each.usage.distinct_tokens) if each is not None else 0.0 for each in results]),
        given=tuple((name, _given([each[name] for each in values])) for name in values[0]),
        doc=program.doc,
        timeline=timeline(records[middle]),
        samples=samples(records, right),
        saving_inputs=saving_inputs,
    )


def _role(
    role: str,
    machine: Machine,
    nodes: Sequence[NodeEstimate],
    records: Sequence[InputRecord],
    means: Means,
    ran: Ran,
) -> RoleEstimate:
    from ttsc.estimates.engines import kv_peak
    from ttsc.estimates.machine_work import total_work

    mine = [node for node in nodes if node.role == role]
    return RoleEstimate(
        role,
        machine.name,
        machine.model,
        machine.source,
        machine.limits.kv_tokens,
        summed(node.counts for node in mine),
        total_work([node.work for node in mine]),
        kv_peak(ran.engines.get(role)),
        means.of([busy_s(each for each in record.done if each.role == role) for record in records]),
    )


def _given(values: Sequence[Any]) -> str:
    """What a parameter is, if it is the same for all inputs."""
    texts = list(dict.fromkeys(map(given_text, values)))
    return texts[0] if len(texts) == 1 else f"{len(texts)} values"


def _all(roles: Sequence[RoleEstimate]) -> Work:
    from ttsc.estimates.machine_work import total_work

    return total_work([role.work for role in roles])


def _share(judged: Sequence[tuple[float, float]]) -> tuple[float | None, float]:
    """The weighted mean and its standard error; None of nothing."""
    from ttsc.estimates.figures import spread

    if not judged:
        return None, 0.0
    found = spread([value for value, _ in judged], [weight for _, weight in judged])
    return found.mean, found.error
