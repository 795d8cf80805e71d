"""Free walks: what a search would write if it chose nothing.

A program that writes step by step and keeps the best shows only what it kept, and says too much good of the model. So
beside its loop another one runs, from the same prompt and with the same steps, in which every solution goes on by
itself until it ends; a reward model that rates steps in the loop rates these solutions when they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Generate,
    Map,
    Node,
    Pure,
    Quantified,
    Repeat,
    Score,
    Select,
    Value,
)
from ttsc.compiler.ir.rewrite import results, walk
from ttsc.compiler.values.types import BOOL, CANDIDATE, CONTEXT, FLOAT, INT, ListOf, PairOf

Fresh = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Walk:
    """The nodes of a free walk; `stands_for`: by their node, the node of the program that its requests are like;
    `results`: what has to be waited for.
    """

    nodes: tuple[Node, ...]
    stands_for: Mapping[str, str]
    results: tuple[Value, ...]


def free_walk(loop: Repeat, samples: int, fresh: Fresh) -> Walk | None:
    """`samples` solutions of the first generation in the loop that continues what the loop carries, beginning with a
    prompt. None if there is none.
    """
    carried = {param.id: start for param, start in zip(loop.body.params, loop.init, strict=True)}
    step = next((each for each in loop.body.nodes if _is_step(each, carried)), None)
    if not isinstance(step, Generate):
        return None
    options, constants = _options(step, loop.body, fresh)
    if options is None:
        return None
    start = carried[step.source.id]
    one, many = Value(fresh("walk_start"), CONTEXT), Value(fresh("walk_starts"), ListOf(CONTEXT))
    count, once = Value(fresh("walk_count"), INT), Value(fresh("walk_once"), INT)
    pool, gone = Value(fresh("walk_pool"), ListOf(CANDIDATE)), Value(fresh(f"{step.result.id}_walk"), ListOf(CANDIDATE))
    each, ended = Value(fresh("walk_each"), CANDIDATE), Value(fresh("walk_ended"), BOOL)
    all_ended, over = Value(fresh("walk_all"), ListOf(BOOL)), Value(fresh("walk_over"), BOOL)
    done = Value(fresh("walk_done"), ListOf(CANDIDATE))
    body = Block(
        (pool,),
        (
            *constants,
            Const(once, 1),
            replace(step, result=gone, source=pool, count=once, options=options, finished="freeze"),
            Map(all_ended, gone, Block((each,), (Pure(ended, "field", (each,), "finished"),), (ended,))),
            Select(over, "all", all_ended, Quantified("all")),
        ),
        (gone, over),
    )
    nodes: list[Node] = [
        Pure(one, "one", (start,)),
        Const(count, samples),
        Pure(many, "copies", (one, count)),
        Repeat((done,), fresh(f"{loop.id}_walk"), loop.limit, (many,), body, span=loop.span),
    ]
    stands_for, waited = {gone.id: step.result.id}, [done]
    for reward in _rewards(loop):
        seen, rated = Value(fresh("walk_seen"), CANDIDATE), Value(fresh(f"{reward.result.id}_walk"), ListOf(FLOAT))
        result = Value(fresh("walk_rewards"), ListOf(ListOf(FLOAT)))
        score = replace(reward, result=rated, source=seen, given=None)
        nodes.append(Map(result, done, Block((seen,), (score,), (rated,))))
        stands_for[rated.id] = reward.result.id
        waited.append(result)
    return Walk(tuple(nodes), stands_for, tuple(waited))


def waiting_for(body: Block, values: Sequence[Value], fresh: Fresh) -> Block:
    """The body of a program whose result is there when the values are, too: what nobody reads is not done."""
    nodes, (result, *others) = list(body.nodes), body.yields
    for value in values:
        both = Value(fresh("walk_both"), PairOf(result.type, value.type))
        again = Value(fresh("walk_result"), result.type)
        nodes += [Pure(both, "pair", (result, value)), Pure(again, "field", (both,), "first")]
        result = again
    return replace(body, nodes=tuple(nodes), yields=(result, *others))


def _is_step(node: Node, carried: Mapping[str, Value]) -> bool:
    """Whether it continues what the loop carries, which begins with prompts."""
    if not isinstance(node, Generate) or node.op != "branch" or node.source.id not in carried:
        return False
    kind = carried[node.source.id].type
    return isinstance(kind, ListOf) and kind.item == CONTEXT


def _options(
    step: Generate, body: Block, fresh: Fresh
) -> tuple[tuple[tuple[str, Value], ...] | None, tuple[Const, ...]]:
    """The options with constants of their own; None if one is computed in the loop."""
    inside = {value.id: node for node in body.nodes for value in results(node)}
    inside_params = {param.id for param in body.params}
    options: list[tuple[str, Value]] = []
    constants: list[Const] = []
    for name, value in step.options:
        made = inside.get(value.id)
        if value.id in inside_params or (made is not None and not isinstance(made, Const)):
            return None, ()
        if isinstance(made, Const):
            value = Value(fresh(f"walk_{name}"), value.type)
            constants.append(replace(made, result=value))
        options.append((name, value))
    return tuple(options), tuple(constants)


def _rewards(loop: Repeat) -> list[Score]:
    """Reward models that rate the elements of a list in the loop, each by itself."""
    return [
        node
        for each in loop.body.nodes
        if isinstance(each, Map)
        for node in walk(each.body)
        if isinstance(node, Score) and node.kind == "reward" and node.source.id == each.body.params[0].id
    ]
