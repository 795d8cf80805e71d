"""The pure operations: what a `Pure` node computes.

One table serves constant folding, the executor and the verifier, so that `-O0` and `-O2` cannot disagree about what an
operation means. The operations live in modules by theme; each gives its rows. Lists are tuples, records and pairs are
mappings, `none` is None, `abstain` is ABSTAINED. Regular expressions run in an engine that honours a timeout
(`pattern.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.compiler.values.arithmetic import ARITHMETIC
from ttsc.compiler.values.candidates import CANDIDATES
from ttsc.compiler.values.clusters import CLUSTERS
from ttsc.compiler.values.dependencies import DEPENDENCIES
from ttsc.compiler.values.evaluation import MAX_ITEMS as MAX_ITEMS
from ttsc.compiler.values.evaluation import MAX_TEXT as MAX_TEXT
from ttsc.compiler.values.evaluation import EvaluationFailed as EvaluationFailed
from ttsc.compiler.values.evaluation import Operation, bounded, kinds_of
from ttsc.compiler.values.lists import LISTS
from ttsc.compiler.values.mathematics import MATHEMATICS
from ttsc.compiler.values.mixtures import MIXTURES
from ttsc.compiler.values.pattern import PatternFailed
from ttsc.compiler.values.pattern import valid_pattern as valid_pattern
from ttsc.compiler.values.pruning import PRUNING
from ttsc.compiler.values.rounds import ROUNDS
from ttsc.compiler.values.schema import SCHEMAS
from ttsc.compiler.values.similarity import SIMILARITY
from ttsc.compiler.values.texts import TEXTS
from ttsc.compiler.values.texts import text_of as text_of
from ttsc.compiler.values.trees import TREES
from ttsc.compiler.values.windows import WINDOWS

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for theme in (
        ARITHMETIC,
        MATHEMATICS,
        WINDOWS,
        MIXTURES,
        TEXTS,
        LISTS,
        ROUNDS,
        CANDIDATES,
        SCHEMAS,
        CLUSTERS,
        PRUNING,
        SIMILARITY,
        DEPENDENCIES,
        TREES,
    )
    for operation in theme
}


def evaluate(op: str, attr: str, args: Sequence[object]) -> object:
    """The value of an operation, or `EvaluationFailed`. Lists come back as tuples."""
    operation = OPERATIONS.get(op)
    if operation is None:
        raise EvaluationFailed(f"there is no operation `{op}`")
    if len(args) < operation.least or (operation.most is not None and len(args) > operation.most):
        raise EvaluationFailed(f"`{op}` takes {_arity(operation)}, not {len(args)}")
    try:
        result = operation.run(*args, attr=attr) if operation.uses_attr else operation.run(*args)
    except PatternFailed as failure:
        raise EvaluationFailed(f"`{op}`: {failure}") from failure
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, AttributeError) as failure:
        raise EvaluationFailed(f"`{op}` has no result for {kinds_of(args)}") from failure
    return bounded(result)


def foldable(op: str) -> bool:
    """Whether a constant may take the place of the operation when its arguments are constants."""
    operation = OPERATIONS.get(op)
    return operation is not None and operation.foldable


def cannot_fail(op: str) -> bool:
    """Whether the operation has a result for all arguments of its types (so that leaving it out changes nothing)."""
    operation = OPERATIONS.get(op)
    return operation is not None and operation.total


def _arity(operation: Operation) -> str:
    if operation.most is None:
        return f"at least {operation.least} arguments"
    if operation.least == operation.most:
        return f"{operation.least} argument{'' if operation.least == 1 else 's'}"
    return f"{operation.least} to {operation.most} arguments"
