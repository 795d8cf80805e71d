"""Random operations on values: what a `Draw` node computes, given a generator of random numbers.

The generator's seed depends on the run's seed, the node and its rounds alone, and each operation takes numbers from it
in a fixed order: one seed, one result. `attr` holds the settings that a program states as words.

    resample  "METHOD FINISHED NORMALISE"  (pool, weights, count, temperature=1.0, reference=none) -> pool
    select    "POLICY PRIOR FINISHED"      (tree, count=1, exploration=sqrt(2), prune=0.75, prune_from=4) -> list[Node]
    shuffle   ""                           (list) -> list
    random    ""                           (below) -> a number from 0, whole if `below` is
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ttsc.compiler.values.evaluation import (
    EvaluationFailed,
    bounded,
    integer,
    items,
    kinds_of,
    length_of,
    number,
    numbers,
)
from ttsc.compiler.values.resampling import FINISHED, METHODS, NORMALISATIONS, resample
from ttsc.compiler.values.tree_search import (
    EXPLORATION,
    FINISHED_NODES,
    POLICIES,
    PRIORS,
    PRUNE,
    PRUNE_FROM,
    select,
)

_WORDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "resample": (METHODS, FINISHED, NORMALISATIONS),
    "select": (POLICIES, PRIORS, FINISHED_NODES),
    "shuffle": (),
    "random": (),
}
_ARITY = {"resample": (3, 5), "select": (1, 5), "shuffle": (1, 1), "random": (1, 1)}


def problem(op: str, attr: str, count: int) -> str | None:
    """What is wrong with a draw of `count` arguments, or None."""
    if op not in _WORDS:
        return f"there is no draw `{op}`"
    words = attr.split()
    allowed = _WORDS[op]
    if len(words) != len(allowed) or not all(word in known for word, known in zip(words, allowed, strict=True)):
        return f"`{op}` does not know the settings `{attr}`"
    least, most = _ARITY[op]
    if not least <= count <= most:
        return f"`{op}` takes {least} argument" if least == most else f"`{op}` takes {least} to {most} arguments"
    return None


def draw(op: str, attr: str, args: Sequence[object], rng: Random) -> object:
    """The value of a draw, or `EvaluationFailed`. Lists come back as tuples."""
    wrong = problem(op, attr, len(args))
    if wrong is not None:
        raise EvaluationFailed(wrong)
    words = attr.split()
    try:
        return bounded(_drawn(op, words, args, rng))
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as failure:
        raise EvaluationFailed(f"`{op}` has no result for {kinds_of(args)}") from failure


def _drawn(op: str, words: Sequence[str], args: Sequence[object], rng: Random) -> object:
    if op == "resample":
        return _resampled(words, *args, rng=rng)
    if op == "select":
        return _selected(words, *args, rng=rng)
    if op == "random":
        return _random(args[0], rng)
    shuffled = list(items(args[0]))
    rng.shuffle(shuffled)
    return shuffled


def _resampled(
    words: Sequence[str],
    pool: object,
    weights: object,
    count: object,
    temperature: object = 1.0,
    reference: object = None,
    *,
    rng: Random,
) -> list[object]:
    method, finished, normalise = words
    return resample(
        items(pool),
        [float(weight) for weight in numbers(weights)],
        length_of(count, "resample"),
        method=method,
        finished=finished,
        normalise=normalise,
        temperature=float(number(temperature)),
        reference=reference,
        rng=rng,
    )


def _selected(
    words: Sequence[str],
    tree: object,
    count: object = 1,
    exploration: object = EXPLORATION,
    prune: object = PRUNE,
    prune_from: object = PRUNE_FROM,
    *,
    rng: Random,
) -> list[object]:
    policy, prior, finished = words
    nodes = select(
        tree,
        length_of(count, "select"),
        policy=policy,
        prior=prior,
        finished=finished,
        exploration=float(number(exploration)),
        prune=float(number(prune)),
        prune_from=integer(prune_from),
        rng=rng,
    )
    return list(nodes)


def _random(below: object, rng: Random) -> int | float:
    """From 0 to below `below`: a whole number if it is one."""
    if not number(below) > 0:
        raise EvaluationFailed("`random` takes a number above 0")
    return rng.randrange(below) if isinstance(below, int) else rng.random() * float(number(below))
