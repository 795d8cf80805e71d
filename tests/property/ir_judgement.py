"""Parts of random programs: scores that somebody reads or nobody, bools that have to be asked for, rules of votes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from ir_vocabulary import NUMBERS, TEXTS

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.nodes import Block, Node, Value
from ttsc.compiler.values.types import BOOL, CANDIDATE, CONTEXT, FLOAT, INT, POOL, STR, ListOf, Type

Fresh = Callable[[Type, str], Value]


def judged(draw: st.DrawFn, fresh: Fresh, over: Value) -> list[Node]:
    """Scores written on candidates, for a choice that reads them or a list of texts that does not."""
    before: list[Node] = []
    if draw(st.booleans()):
        before = asked(fresh, draw(st.sampled_from([0, 1, 1])))
        over = _last(before)
    element, zero = fresh(CANDIDATE, "x"), ir.Const(fresh(FLOAT, "c"), 0.0)
    rewards = ir.Score(fresh(NUMBERS, "score"), "reward", element, None, "judge")
    reduction = draw(st.sampled_from(["min", "last", "mean"]))
    key = ir.Pure(fresh(FLOAT, "p"), "reduce_scores", (rewards.result, zero.result), reduction)
    written = ir.Pure(fresh(CANDIDATE, "p"), "with_score", (element, key.result))
    pool = ir.Map(fresh(POOL, "map"), over, Block((element,), (rewards, key, written), (written.result,)))
    if draw(st.booleans()):
        texts = _fields(fresh, pool.result, "text", STR)
        none = ir.Const(fresh(STR, "c"), "")
        vote = ir.Select(fresh(STR, "vote"), "vote", texts.result, ir.Majority(), otherwise=none.result)
        return [*before, zero, pool, texts, none, vote]
    keys = _fields(fresh, pool.result, "score", FLOAT)
    rule = ir.Greatest("first", None)
    best = ir.Select(fresh(CANDIDATE, "best"), "best", pool.result, rule, keys=keys.result)
    return [*before, zero, pool, keys, best]


def verdict(fresh: Fresh) -> list[Node]:
    """A bool that has to be asked for, last."""
    good = ir.Const(fresh(STR, "c"), "0 \\boxed{1}")
    before = asked(fresh, 1)
    first = ir.Pure(fresh(CANDIDATE, "p"), "one", (_last(before),))
    text = ir.Pure(fresh(STR, "p"), "field", (first.result,), "text")
    return [*before, good, first, text, ir.Pure(fresh(BOOL, "p"), "le", (text.result, good.result))]


def asked(fresh: Fresh, count: int) -> list[Node]:
    """A generation of so many."""
    turn = ir.Turn(fresh(CONTEXT, "turn"), None, "user", "Right?", literal=True)
    number = ir.Const(fresh(INT, "c"), count)
    return [turn, number, ir.Generate(fresh(POOL, "judge"), "judge", turn.result, number.result, (), "judge")]


def rule_of_votes(draw: st.DrawFn, ties: Any) -> ir.Majority | ir.Sequential:
    wave = draw(st.sampled_from([0, 0, 1, 2, 5]))
    stop: Any = draw(st.sampled_from(["never", "never", "adaptive", "beta", "esc", "sprt"]))
    match stop:
        case "never":
            return ir.Majority(ties, "drop", draw(st.sampled_from([None, 1.0])), wave)
        case "esc":
            return ir.Sequential(stop, ties, window=draw(st.sampled_from([2, 3])), wave=wave)
        case "sprt":
            return ir.Sequential(stop, ties, confidence=0.8, share=0.75, wave=wave)
    return ir.Sequential(stop, ties, confidence=draw(st.sampled_from([0.7, 0.9])), wave=wave)


def _fields(fresh: Fresh, over: Value, name: str, type_: Type) -> ir.Map:
    element = fresh(CANDIDATE, "x")
    field = ir.Pure(fresh(type_, "p"), "field", (element,), name)
    result = fresh(TEXTS if type_ == STR else ListOf(type_), "map")
    return ir.Map(result, over, Block((element,), (field,), (field.result,)))


def _last(nodes: list[Node]) -> Value:
    node = nodes[-1]
    assert isinstance(node, ir.Generate)
    return node.result
