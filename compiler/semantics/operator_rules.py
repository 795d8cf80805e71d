"""Which arguments of an operator belong together: an argument without effect is a mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ttsc.compiler.semantics import typed
from ttsc.compiler.semantics.operators.spec import Spec, generation
from ttsc.compiler.semantics.substitute import Argument
from ttsc.compiler.values.types import CONTEXT

_JUDGES = {"verify": "test", "score": "by", "cluster": "same", "tournament": "by"}
"""Operators that may ask a judge, and the argument that does."""
_OF_JUDGES = frozenset({"read", "otherwise", "samples", *(p.name for p in generation(16, 0.0))})
_OF_REWARDS = frozenset({"steps", "reduce", "link"})


def judge_of(spec: Spec, arguments: Mapping[str, Argument]) -> typed.Lambda | None:
    """The function that makes a judge's prompt, if a judge is asked."""
    function = arguments.get(_JUDGES.get(spec.name, ""))
    return function if isinstance(function, typed.Lambda) and function.type == CONTEXT else None


def needs_role(spec: Spec, arguments: Mapping[str, Argument]) -> bool:
    """Whether an operator whose model was not named asks one."""
    if spec.name in _JUDGES:
        return judge_of(spec, arguments) is not None
    return spec.group == "judgement"


def misused(spec: Spec, arguments: Mapping[str, Argument], given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Arguments that were given and change nothing beside the others, each with the reason."""
    if spec.name in _JUDGES:
        measure = arguments[_JUDGES[spec.name]] if spec.name == "score" else None
        measure = measure if isinstance(measure, str) else None
        for name in given:
            if name in _OF_JUDGES and name != "model" and judge_of(spec, arguments) is None:
                yield name, "for a judge prompt only"
            elif name == "model" and judge_of(spec, arguments) is None:
                yield name, "no judge is asked" if measure is None else "the model is named already"
            elif name in _OF_REWARDS and measure != "reward" and spec.name == "score":
                yield name, "for a reward model only"
            elif name == "normalise" and measure != "logprob" and spec.name == "score":
                yield name, "for log-probabilities only"
    match spec.name:
        case "sample" | "branch":
            if "window" in given and "stop_below" not in given:
                yield "window", "for stop_below=… only"
        case "cluster":
            for name in ("distance", "linkage"):
                if name in given and "near" not in given:
                    yield name, "for near=… only"
        case "tournament" if "ties" in given and arguments["style"] != "round_robin":
            yield "ties", "a knockout has no ties"
        case "resample":
            if "reference" in given and arguments["method"] != "conditional":
                yield "reference", "for method=conditional only"
        case "prune":
            if "diverse" in given and "clusters" not in given:
                yield "diverse", "for clusters=… only"
        case "vote":
            stop = arguments["stop"]
            if "confidence" in given and stop not in ("adaptive", "beta", "sprt"):
                yield "confidence", "for stop=adaptive, beta or sprt only"
            if "window" in given and stop != "esc":
                yield "window", "for stop=esc only"
            if "share" in given and stop != "sprt":
                yield "share", "for stop=sprt only"
        case "select":
            if "exploration" in given and arguments["policy"] not in ("uct", "ucb1"):
                yield "exploration", "for policy=uct or ucb1 only"
            for name in ("prune", "prune_from"):
                if name in given and arguments["policy"] != "mixed":
                    yield name, "for policy=mixed only"
            if "prior" in given and arguments["policy"] not in ("thompson", "adaptive"):
                yield "prior", "for policy=thompson or adaptive only"
