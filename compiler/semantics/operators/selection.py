"""Operators that choose among candidates, or among elements of any list."""

from __future__ import annotations

from ttsc.compiler.semantics.operators.spec import (
    COUNT,
    NUMBER,
    READ_DOC,
    TIES,
    Choice,
    ElementFunction,
    Limits,
    N,
    PairFunction,
    ParameterSpec,
    SameAsElement,
    Spec,
    TextFunction,
    answers,
    generation,
    lists,
    pools,
)
from ttsc.compiler.values.types import BOOL, CANDIDATE, CONTEXT, FLOAT, INT, POOL, STR, ListOf, OptionalOf

KEY = ParameterSpec(
    "by",
    ElementFunction("a number, or a list of them", NUMBER, key=True),
    default="score",
    doc="what is greatest; numbers of a list compare one after the other",
)
MAXIMUM = ParameterSpec(
    "maximum", OptionalOf(FLOAT), default=None, doc="no key is greater: lets it stop early", static=True
)
WHERE = ParameterSpec("where", ElementFunction("a bool", (BOOL,)), doc="asked of each element")
LABEL = ElementFunction("a str, number or bool", (OptionalOf(STR), FLOAT, BOOL))

SELECTION = (
    Spec(
        "vote",
        "selection",
        "a list of candidates or of answers",
        (
            ParameterSpec("by", ElementFunction("a str or str?", (OptionalOf(STR),)), doc="a candidate's answer"),
            ParameterSpec("weight", ElementFunction("a number", NUMBER), doc="a candidate's weight; 1 if not given"),
            ParameterSpec(
                "max_weight",
                OptionalOf(FLOAT),
                default=None,
                doc="weights lie in 0..max_weight: lets a weighted vote be decided early if that isn't known",
                limits=Limits(0, float("inf"), "0 or more"),
                static=True,
            ),
            TIES,
            ParameterSpec(
                "invalid",
                Choice(("drop", "count")),
                default="drop",
                doc="a candidate without an answer: dropped, or a vote for having none",
            ),
            ParameterSpec(
                "otherwise",
                OptionalOf(STR),
                default="",
                doc="the result if nothing was voted for; with none or abstain the result is a str?",
            ),
            ParameterSpec(
                "stop",
                Choice(("never", "adaptive", "beta", "esc", "sprt")),
                default="never",
                doc="a statistical rule that ends the vote when it is sure enough; it may change the answer",
            ),
            ParameterSpec(
                "confidence",
                FLOAT,
                default=0.95,
                doc="how sure adaptive, beta and sprt are when they stop",
                limits=Limits(0.5 + 1e-9, 1 - 1e-9, "above 0.5 and below 1"),
                static=True,
            ),
            ParameterSpec(
                "window",
                INT,
                default=5,
                doc="votes of a window of esc",
                limits=Limits(2, 100_000, "at least 2"),
                static=True,
            ),
            ParameterSpec(
                "share",
                FLOAT,
                default=0.6,
                doc="sprt: of two answers the first gets this share of the votes, or the second does",
                limits=Limits(0.51, 0.99, "from 0.51 to 0.99"),
                static=True,
            ),
            ParameterSpec(
                "wave",
                OptionalOf(INT),
                default=None,
                doc="how many are started at once; without it 1 for adaptive and sprt, the window for esc, else all",
                limits=COUNT,
                static=True,
            ),
        ),
        "the answer with most votes, or the greatest sum of weights",
        answers,
    ),
    Spec("best", "selection", "a list", (KEY, TIES, MAXIMUM), "the element with the greatest key", lists),
    Spec(
        "keep",
        "selection",
        "a list",
        (
            N,
            KEY,
            TIES,
            MAXIMUM,
            ParameterSpec(
                "duplicates",
                Choice(("keep", "drop")),
                default="keep",
                doc="drop: of candidates with the same text the first alone",
            ),
        ),
        "the n elements with the greatest keys, greatest first",
        lists,
    ),
    Spec(
        "maximal",
        "selection",
        "a list",
        (ParameterSpec("by", KEY.kind, required=True, doc="what is greatest"),),
        "all elements that share the greatest key: a link in a chain of filters",
        lists,
    ),
    Spec(
        "distinct",
        "selection",
        "a list",
        (ParameterSpec("by", LABEL, doc="what must differ; a text's or candidate's own text"),),
        "the first element of each key",
        lists,
    ),
    Spec(
        "cluster",
        "selection",
        "a list",
        (
            ParameterSpec("by", LABEL, doc="elements of one key belong together"),
            ParameterSpec(
                "same",
                PairFunction("a bool, or a judge prompt", (BOOL, CONTEXT)),
                doc="whether two elements belong together; one joins the first group with whose first member it does",
            ),
            ParameterSpec(
                "near", ElementFunction("a vector", (ListOf(FLOAT),)), doc="elements with near vectors belong together"
            ),
            ParameterSpec(
                "distance",
                FLOAT,
                default=0.05,
                doc="greatest cosine distance of clusters that are joined",
                limits=Limits(0, 2, "from 0 to 2"),
            ),
            ParameterSpec(
                "linkage",
                Choice(("average", "single", "complete")),
                default="average",
                doc="the distance of two clusters: mean, least or greatest of their members'",
            ),
            ParameterSpec(
                "read", TextFunction("a bool?", (OptionalOf(BOOL),)), doc=READ_DOC + "; default: the first yes or no"
            ),
            *generation(16, 0.0),
        ),
        "groups of like elements, the largest first; ties by the first member",
        lists,
    ),
    Spec(
        "tournament",
        "selection",
        "a list of candidates",
        (
            ParameterSpec(
                "by",
                PairFunction("a bool, a number, or a judge prompt", (BOOL, FLOAT, CONTEXT)),
                required=True,
                doc="whether the first of two wins: true, a number above 0, or a judge's A",
            ),
            ParameterSpec(
                "style",
                Choice(("knockout", "round_robin")),
                default="knockout",
                doc="losers leave, or each meets each and most wins count",
            ),
            TIES,
            ParameterSpec(
                "read",
                TextFunction("a bool?", (OptionalOf(BOOL),)),
                doc=READ_DOC + ": whether the first wins; default: the first A or B. Without a verdict the first wins",
            ),
            *generation(16, 0.0),
        ),
        "the winner of comparisons two by two",
        pools,
    ),
    Spec(
        "stop_first",
        "selection",
        "a list of candidates",
        (
            ParameterSpec("n", INT, default=1, doc="how many finishers", limits=N.limits),
            ParameterSpec(
                "order",
                Choice(("tokens", "time")),
                default="tokens",
                doc="first by fewest tokens (reproducible) or by arrival",
            ),
            ParameterSpec(
                "truncated",
                Choice(("exclude", "include")),
                default="exclude",
                doc="whether a candidate cut by max_tokens counts as finished",
            ),
        ),
        "the n candidates that finish first; the others are stopped",
        pools,
    ),
    Spec(
        "one",
        "selection",
        "a list",
        (ParameterSpec("otherwise", SameAsElement(), doc="the result if the list is empty"),),
        "the first element",
        lists,
    ),
    Spec("any", "selection", "a list", (WHERE,), "whether it is true of any", lists),
    Spec("all", "selection", "a list", (WHERE,), "whether it is true of all", lists),
    Spec(
        "count",
        "selection",
        "a list",
        (ParameterSpec("where", WHERE.kind, required=True, doc="asked of each element"),),
        "of how many it is true",
        lists,
    ),
    Spec(
        "resample",
        "selection",
        "a list of candidates",
        (
            ParameterSpec("weights", ElementFunction("a number", NUMBER), required=True, doc="a candidate's weight"),
            ParameterSpec("n", INT, doc="how many are drawn; as many as there are", limits=N.limits),
            ParameterSpec(
                "method",
                Choice(("categorical", "systematic", "ceiling", "conditional")),
                default="categorical",
                doc="n draws, one random offset, shares rounded up (no chance), or draws beside a reference",
            ),
            ParameterSpec(
                "finished",
                Choice(("resample", "freeze", "drop")),
                default="resample",
                doc="candidates that ended by themselves: drawn like any other, kept as they are, or left out",
            ),
            ParameterSpec(
                "normalise",
                Choice(("sum", "softmax")),
                default="sum",
                doc="weights to the power 1/temperature are shares, or weights are logits that it divides",
            ),
            ParameterSpec(
                "temperature",
                FLOAT,
                default=1.0,
                doc="above 1 levels the weights, below 1 sharpens them",
                limits=Limits(1e-9, 1e9, "above 0"),
            ),
            ParameterSpec("reference", OptionalOf(CANDIDATE), default=None, doc="keeps the first place (conditional)"),
        ),
        "candidates drawn in proportion to their weights",
        pools,
    ),
    Spec(
        "prune",
        "selection",
        "a list of candidates",
        (
            ParameterSpec("weights", ElementFunction("a number", NUMBER), required=True, doc="a candidate's weight"),
            ParameterSpec(
                "n",
                INT,
                doc="a candidate is worth its share of n copies, rounded up in order; else of the weights",
                limits=N.limits,
            ),
            ParameterSpec(
                "shared",
                FLOAT,
                default=1.0,
                doc="what it costs to keep all nodes of the tree that the candidates are leaves of",
                limits=Limits(0, 1e9, "0 or more"),
            ),
            ParameterSpec(
                "clusters", ListOf(POOL), doc="the pool in groups of like candidates, as `cluster` makes them"
            ),
            ParameterSpec(
                "diverse",
                FLOAT,
                default=1.0,
                doc="what it is worth to keep one of each cluster",
                limits=Limits(0, 1e9, "0 or more"),
            ),
            ParameterSpec(
                "normalise",
                Choice(("sum", "softmax")),
                default="sum",
                doc="weights to the power 1/temperature are shares, or weights are logits that it divides",
            ),
            ParameterSpec(
                "temperature",
                FLOAT,
                default=1.0,
                doc="above 1 levels the weights, below 1 sharpens them",
                limits=Limits(1e-9, 1e9, "above 0"),
            ),
        ),
        "the candidates that are worth the prefixes that they keep",
        pools,
    ),
)
