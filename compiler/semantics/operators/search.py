"""Operators over search trees."""

from __future__ import annotations

from ttsc.compiler.semantics.operators.spec import (
    NUMBER,
    Choice,
    Either,
    ElementFunction,
    Limits,
    N,
    ParameterSpec,
    Spec,
    trees,
)
from ttsc.compiler.values.types import CANDIDATE, FLOAT, INT, NODE, POOL, ListOf

SEARCH = (
    Spec(
        "select",
        "search",
        "a Tree",
        (
            ParameterSpec("n", INT, default=1, doc="how many nodes", limits=N.limits),
            ParameterSpec(
                "policy",
                Choice(("best", "breadth", "depth", "uct", "ucb1", "thompson", "adaptive", "mixed")),
                default="best",
                doc="which nodes come next",
            ),
            ParameterSpec(
                "exploration",
                FLOAT,
                default=1.4142135623730951,
                doc="weight of what was seldom visited (uct, ucb1)",
                limits=Limits(0, 1e9, "0 or more"),
            ),
            ParameterSpec(
                "prior",
                Choice(("beta", "gaussian")),
                default="gaussian",
                doc="distribution of a node's values (thompson, adaptive)",
            ),
            ParameterSpec(
                "finished",
                Choice(("drop", "keep")),
                default="drop",
                doc="nodes whose candidate ended by itself: never given, or like any other",
            ),
            ParameterSpec(
                "prune",
                FLOAT,
                default=0.75,
                doc="share of equal values from which on a child is not gone into (mixed)",
                limits=Limits(1e-9, 1e9, "above 0"),
            ),
            ParameterSpec(
                "prune_from",
                INT,
                default=4,
                doc="values that a child needs before it is pruned (mixed)",
                limits=N.limits,
            ),
        ),
        "the nodes to expand next",
        trees,
    ),
    Spec(
        "expand",
        "search",
        "a Tree",
        (
            ParameterSpec(
                "at", Either((NODE, ListOf(NODE))), required=True, doc="the node, or nodes, that get children"
            ),
            ParameterSpec(
                "with",
                Either((CANDIDATE, POOL, ListOf(POOL))),
                required=True,
                doc="the children; for several nodes a pool each",
            ),
        ),
        "the tree with more nodes",
        trees,
    ),
    Spec(
        "backpropagate",
        "search",
        "a Tree",
        (
            ParameterSpec("by", ElementFunction("a number", NUMBER), default="score", doc="the value of a candidate"),
            ParameterSpec(
                "discount",
                FLOAT,
                default=1.0,
                doc="what is left of a value one node nearer to the root",
                limits=Limits(0, 1, "from 0 to 1"),
            ),
        ),
        "the tree with the values of new nodes added along their paths",
        trees,
    ),
)
