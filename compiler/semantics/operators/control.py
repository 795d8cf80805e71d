"""Operators over lists of anything: what is done with each element, and in which order."""

from __future__ import annotations

from ttsc.compiler.semantics.operators.selection import KEY
from ttsc.compiler.semantics.operators.spec import (
    COUNT,
    Choice,
    DependencyFunction,
    ElementFunction,
    ModelRoleParameter,
    ParameterSpec,
    Spec,
    figures,
    lists,
    pools,
)
from ttsc.compiler.values.types import BOOL, CANDIDATE, INT, POOL, STR, ListOf

CONTROL = (
    Spec(
        "each",
        "control",
        "a list",
        (ParameterSpec("do", ElementFunction("a value"), required=True, doc="what is done with each"),),
        "a value for each element",
        lists,
    ),
    Spec(
        "filter",
        "control",
        "a list",
        (ParameterSpec("where", ElementFunction("a bool", (BOOL,)), required=True, doc="which elements stay"),),
        "the elements for which it is true",
        lists,
    ),
    Spec(
        "rewrite",
        "control",
        "a list of candidates",
        (
            ParameterSpec(
                "where", ElementFunction("a bool", (BOOL,)), required=True, doc="which candidates are replaced"
            ),
            ParameterSpec(
                "with",
                ElementFunction("a Candidate or a pool", (CANDIDATE, POOL)),
                required=True,
                doc="what takes its place; the first of a pool",
            ),
        ),
        "the candidates, some of them replaced",
        pools,
    ),
    Spec(
        "sort",
        "control",
        "a list",
        (
            ParameterSpec("by", KEY.kind, required=True, doc="the key; numbers of a list compare one after the other"),
            ParameterSpec(
                "order", Choice(("ascending", "descending")), default="ascending", doc="equal keys keep their order"
            ),
        ),
        "the elements in the order of a key",
        lists,
    ),
    Spec("shuffle", "control", "a list", (), "the elements in a random order that the run's seed decides", lists),
    Spec(
        "random",
        "control",
        "a number",
        (),
        "a number from 0 to below it, drawn from the run's seed: whole for an int",
        figures,
    ),
    Spec(
        "dag",
        "control",
        "a list",
        (
            ParameterSpec(
                "needs",
                ElementFunction("a list[int]", (ListOf(INT),)),
                required=True,
                doc="indices of the elements that must be done first",
            ),
            ParameterSpec(
                "do",
                DependencyFunction("a value"),
                required=True,
                doc="what is done with each: (x, found) => …, found being what those it needs gave",
            ),
            ParameterSpec(
                "invalid",
                Choice(("fail", "drop")),
                default="fail",
                doc="an index that does not exist, or an edge that closes a cycle: the run fails, or it is left out",
            ),
        ),
        "a value for each element, as soon as those it needs are done",
        lists,
    ),
    Spec(
        "nearest",
        "control",
        "a list",
        (
            ParameterSpec("query", STR, required=True, doc="what it should be like"),
            ParameterSpec("k", INT, required=True, doc="how many at most", limits=COUNT),
            ParameterSpec(
                "by", ElementFunction("a str", (STR,)), doc="the text of an element; its own, or its field `text`"
            ),
            ParameterSpec("model", ModelRoleParameter(), doc="an embedding model's role; without one, by words"),
        ),
        "the k elements most like a text, most like first",
        lists,
    ),
)
