"""The built-in pure functions: names and types. What they compute is in `values/pure.py`, under the same name.

To add one: a line here, its evaluation there, a line in the language reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    FLOAT,
    INT,
    NEVER,
    NONE,
    POOL,
    STR,
    TREE,
    ListOf,
    OptionalOf,
    PairOf,
    Scalar,
    Type,
    assignable,
    join,
)

Result = Type | Callable[[Sequence[Type]], Type | None]


@dataclass(frozen=True, slots=True)
class Signature:
    """`parameters` are the types expected (None: any type); the last `optional` of them may be left out.

    `result` is a type, or computed from the arguments' types (None: they don't fit, say `expects`).
    """

    parameters: tuple[Type | None, ...]
    result: Result
    optional: int = 0
    expects: str = ""
    doc: str = ""


def _or_else(types: Sequence[Type]) -> Type | None:
    first = types[0].item if isinstance(types[0], OptionalOf) else types[0]
    return types[1] if first == NONE else join(first, types[1])


def _element(types: Sequence[Type]) -> Type | None:
    return types[0].item if isinstance(types[0], ListOf) else None


def _number(types: Sequence[Type]) -> Type | None:
    return _element(types) if assignable(types[0], ListOf(FLOAT)) else None


def _length(types: Sequence[Type]) -> Type | None:
    return INT if types[0] in (STR, TREE) or isinstance(types[0], ListOf) else None


def _to_str(types: Sequence[Type]) -> Type | None:
    return STR if types[0] in (STR, INT, FLOAT, BOOL) else None


def _entropy(types: Sequence[Type]) -> Type | None:
    item = _element(types)
    value = item.item if isinstance(item, OptionalOf) else item
    return FLOAT if value in (STR, INT, FLOAT, BOOL, NONE, NEVER) else None


def _same_number(types: Sequence[Type]) -> Type | None:
    return join(types[0], join(types[1], types[2]) or NONE) if all(assignable(t, FLOAT) for t in types) else None


def _list_and_int(types: Sequence[Type]) -> Type | None:
    return ListOf(types[0].item) if isinstance(types[0], ListOf) and types[1] == INT else None


def _list_or_text(types: Sequence[Type]) -> Type | None:
    return types[0] if types[0] == STR or isinstance(types[0], ListOf) else None


def _last(types: Sequence[Type]) -> Type | None:
    item = _element(types)
    return item if item is None or len(types) == 1 else join(item, types[1])


def _flat(types: Sequence[Type]) -> Type | None:
    item = _element(types)
    if item == NEVER:
        return ListOf(NEVER)
    return ListOf(item.item) if isinstance(item, ListOf) else None


def _copies(types: Sequence[Type]) -> Type | None:
    return ListOf(types[0]) if types[1] == INT else None


def _pairs(types: Sequence[Type]) -> Type | None:
    first, second = types
    if not isinstance(first, ListOf) or not isinstance(second, ListOf):
        return None
    return ListOf(PairOf(first.item, second.item))


def _numbered(types: Sequence[Type]) -> Type | None:
    first = types[0]
    return ListOf(PairOf(INT, first.item), first.limit) if isinstance(first, ListOf) else None


def _magnitude(types: Sequence[Type]) -> Type | None:
    return types[0] if assignable(types[0], FLOAT) else None


FUNCTIONS: dict[str, Signature] = {
    "strip": Signature((STR,), STR, doc="without white space at both ends"),
    "lower": Signature((STR,), STR, doc="in lower case"),
    "upper": Signature((STR,), STR, doc="in upper case"),
    "length": Signature((None,), _length, expects="a str or a list", doc="characters of a text, elements of a list"),
    "contains": Signature((STR, STR), BOOL, doc="whether the first holds the second"),
    "starts_with": Signature((STR, STR), BOOL, doc="whether the first begins with the second"),
    "ends_with": Signature((STR, STR), BOOL, doc="whether the first ends with the second"),
    "replace": Signature((STR, STR, STR), STR, doc="every second replaced by the third"),
    "find": Signature((STR, STR, INT), OptionalOf(STR), 1, doc="first match of a regular expression, or its group"),
    "find_last": Signature((STR, STR, INT), OptionalOf(STR), 1, doc="last match of a regular expression, or its group"),
    "last_boxed": Signature((STR,), OptionalOf(STR), doc="content of the last \\boxed{}"),
    "last_number": Signature((STR,), OptionalOf(STR), doc="the last number, in canonical form"),
    "split": Signature((STR, STR), ListOf(STR), doc="parts between separators"),
    "join": Signature((ListOf(STR), STR), STR, doc="parts with a separator between them"),
    "head": Signature((STR, INT), STR, doc="the first n characters"),
    "to_str": Signature((None,), _to_str, expects="a str, int, float or bool", doc="as text"),
    "to_float": Signature((STR,), OptionalOf(FLOAT), doc="the number a text is, or none"),
    "to_int": Signature((STR,), OptionalOf(INT), doc="the whole number a text is, or none"),
    "sum": Signature((None,), _number, expects="a list of numbers", doc="sum of a list"),
    "mean": Signature((ListOf(FLOAT),), FLOAT, doc="mean of a list; 0 if it is empty"),
    "minimum": Signature((None,), _number, expects="a list of numbers", doc="least element"),
    "maximum": Signature((None,), _number, expects="a list of numbers", doc="greatest element"),
    "round": Signature((FLOAT,), INT, doc="to the nearest whole number, halves to even"),
    "clamp": Signature((None, None, None), _same_number, expects="three numbers", doc="the first, kept in low..high"),
    "or_else": Signature((None, None), _or_else, expects="a T? and a T", doc="the first, or the second if it is none"),
    "text": Signature((CANDIDATE,), STR, doc="what a candidate generated"),
    "words": Signature((STR,), ListOf(STR), doc="parts between white space"),
    "lines": Signature((STR,), ListOf(STR), doc="parts between line ends"),
    "take": Signature((None, None), _list_and_int, expects="a list and an int", doc="the first n elements"),
    "drop": Signature((None, None), _list_and_int, expects="a list and an int", doc="all but the first n elements"),
    "reverse": Signature((None,), _list_or_text, expects="a list or a str", doc="from the last to the first"),
    "last": Signature((None, None), _last, 1, "a list, and an element", "the last element, or the second argument"),
    "flatten": Signature((None,), _flat, expects="a list of lists", doc="the elements of all lists, in order"),
    "copies": Signature((None, None), _copies, expects="a value and an int", doc="a list of n times the same"),
    "zip": Signature((None, None), _pairs, expects="two lists", doc="pairs of elements at the same place"),
    "cross": Signature((None, None), _pairs, expects="two lists", doc="pairs of every element with every other's"),
    "enumerate": Signature((None,), _numbered, expects="a list", doc="pairs of an element's index and the element"),
    "range": Signature((INT, INT), ListOf(INT), 1, doc="0..n-1, or from the first to before the second"),
    "depth": Signature(
        (ListOf(ListOf(INT)),), INT, doc="nodes on the longest path of a graph, given what each of them needs"
    ),
    "exp": Signature((FLOAT,), FLOAT, doc="e to the power"),
    "log": Signature((FLOAT,), FLOAT, doc="natural logarithm"),
    "sqrt": Signature((FLOAT,), FLOAT, doc="square root"),
    "abs": Signature((None,), _magnitude, expects="a number", doc="without its sign"),
    "power": Signature((FLOAT, FLOAT), FLOAT, doc="the first to the power of the second"),
    "logit": Signature((FLOAT,), FLOAT, doc="log of the odds of a probability, kept 1e-6 from 0 and 1"),
    "sigmoid": Signature((FLOAT,), FLOAT, doc="the probability whose logit it is"),
    "softmax": Signature((ListOf(FLOAT), FLOAT), ListOf(FLOAT), 1, doc="shares that sum to 1, at a temperature"),
    "product": Signature((None,), _number, expects="a list of numbers", doc="product of a list; 1 if it is empty"),
    "median": Signature((ListOf(FLOAT),), FLOAT, doc="the middle number, or the mean of the middle two"),
    "variance": Signature((ListOf(FLOAT),), FLOAT, doc="mean squared distance from the mean; 0 if it is empty"),
    "entropy": Signature(
        (None,), _entropy, expects="a list of str, numbers or bool", doc="in bits, of the shares of a list's values"
    ),
    "weibull_upper": Signature(
        (ListOf(FLOAT),), ListOf(FLOAT), doc="how probably each is of the upper of two Weibull distributions fitted"
    ),
    "percentile": Signature((FLOAT, ListOf(FLOAT)), FLOAT, doc="the share of the list that is below the first"),
    "quantile": Signature(
        (ListOf(FLOAT), FLOAT), FLOAT, doc="the number below which this share of the list is (linear)"
    ),
    "windows": Signature((ListOf(FLOAT), INT), ListOf(FLOAT), doc="the mean of each window of n numbers, or of all"),
    "lowest": Signature((ListOf(FLOAT), FLOAT), ListOf(FLOAT), doc="the lowest share of a list, at least one number"),
    "conformal_p": Signature(
        (FLOAT, ListOf(FLOAT)), FLOAT, doc="(1 + how many of the list are at least the first) / (1 + its length)"
    ),
    "tree": Signature((CANDIDATE,), TREE, doc="a search tree of one node"),
    "leaves": Signature((TREE,), POOL, doc="the candidates of the nodes without children"),
    "candidates": Signature((TREE,), POOL, doc="the candidates of all nodes but the root"),
}


def result_type(signature: Signature, arguments: Sequence[Type]) -> Type | None:
    """The type of a call whose arguments fit `signature.parameters`, or None if the function can't take them."""
    return signature.result(arguments) if callable(signature.result) else signature.result


def lifts(signature: Signature, first: Type) -> bool:
    """Whether the function is applied to each element of `first`, a list, because it takes one such element."""
    expected = signature.parameters[0]
    return isinstance(first, ListOf) and expected in (STR, CANDIDATE) and element_fits(first.item, expected)


def element_fits(item: Type, expected: Type | None) -> bool:
    """Whether an element may be given to a parameter: as it is, or a candidate for its text."""
    if expected is None or assignable(item, expected):
        return True
    return expected == STR and item in (CANDIDATE, Scalar("Context"))
