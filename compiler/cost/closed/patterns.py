"""Programs whose expectations have a closed form, recognised in their IR.

One pool of independent samples, perhaps each of them judged once, and one choice among them: a vote, a vote that stops,
a vote of the accepted, the best, the first to finish. Whatever else a program does (loops, host functions, several
pools) has none, and is simulated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
    FirstFinished,
    Generate,
    Greatest,
    If,
    Majority,
    Map,
    Node,
    Program,
    Pure,
    Score,
    Select,
    Sequential,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import walk

Choice = Literal["one", "vote", "race", "best", "verified"]
Setting = Mapping[str, Constant]
"""Values of a program's parameters."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A constant, or the parameter that it is. None: not given."""

    value: Constant = None
    parameter: str = ""

    def of(self, setting: Setting) -> Constant:
        return setting[self.parameter] if self.parameter else self.value


@dataclass(frozen=True, slots=True)
class Pool:
    """The generation of the candidates."""

    node: str
    role: str
    count: Amount
    max_tokens: Amount
    temperature: Amount


@dataclass(frozen=True, slots=True)
class Check:
    """One request for each candidate: a yes/no verdict, a number grade, or a reward model's output."""

    node: str
    role: str
    kind: Literal["verdict", "grade", "reward"]
    max_tokens: Amount


@dataclass(frozen=True, slots=True)
class Pattern:
    """choice: what is done with the pool; `rule`: of its selection. count: candidates that a race waits for. otherwise:
    a vote of the accepted falls back on all if none is. early: it may end before all candidates are there.
    """

    choice: Choice
    pool: Pool
    check: Check | None = None
    rule: Majority | Sequential | FirstFinished | Greatest | None = None
    count: Amount = Amount(1)
    otherwise: bool = False
    early: bool = False


_PLAIN = (Const, Turn, Generate, Pure, Map, Select, If, Score)


def recognise(built: Program, early: frozenset[str] = frozenset()) -> Pattern | None:
    """The pattern of a program as it is written; None if it has none that is known. `early`: ids of the selections that
    a plan may end early.
    """
    nodes = list(walk(built.body))
    if built.stores or not all(isinstance(each, _PLAIN) for each in nodes):
        return None
    amounts = _amounts(built, nodes)
    asked = [each for each in nodes if isinstance(each, Generate | Score)]
    pools = [each for each in built.body.nodes if isinstance(each, Generate)]
    turns = {each.result.id for each in nodes if isinstance(each, Turn)}
    if len(pools) != 1 or len(asked) > 2 or pools[0].op != "sample" or pools[0].source.id not in turns:
        return None
    pool = _pool(pools[0], amounts)
    maps = [each for each in built.body.nodes if isinstance(each, Map) and each.over.id == pools[0].result.id]
    check = _check([each for each in asked if each is not pools[0]], maps, amounts)
    if pool is None or (len(asked) == 2 and check is None):
        return None
    return _chosen(built, nodes, pool, check, pools[0].result.id, amounts, early)


def _chosen(
    built: Program,
    nodes: list[Node],
    pool: Pool,
    check: Check | None,
    candidates: str,
    amounts: Mapping[str, Amount],
    early: frozenset[str],
) -> Pattern | None:
    selects = [each for each in nodes if isinstance(each, Select)]
    made = {result.id: each for each in nodes for result in _results(each)}
    last = _source(built.body.yields[0], made)
    main = selects[0] if selects else None
    ends_early = main is not None and main.result.id in early
    match [each.op for each in selects], main:
        case [], None:
            alone = check is None and pool.count == Amount(1) and last == candidates
            return Pattern("one", pool) if alone else None
        case ["vote"], Select(rule=Majority() | Sequential() as rule, weights=None) if last == main.result.id:
            source = _listed(main.over, made)
            if check is None:
                return Pattern("vote", pool, rule=rule, early=ends_early) if source == candidates else None
            accepts = check.kind == "verdict" and isinstance(rule, Majority) and source == _filtered(nodes, candidates)
            return Pattern("verified", pool, check, rule, early=ends_early) if accepts else None
        case ["vote", "vote"], Select(rule=Majority() as rule, weights=None):
            falls_back = check is not None and check.kind == "verdict" and _falls_back(built.body, selects, made)
            known = falls_back and _listed(main.over, made) == _filtered(nodes, candidates)
            known = known and _listed(selects[1].over, made) == candidates
            return Pattern("verified", pool, check, rule, otherwise=True, early=ends_early) if known else None
        case ["stop_first"], Select(rule=FirstFinished() as rule, count=Value(id=count)) if check is None:
            one = amounts.get(count) == Amount(1) and main.over.id == candidates and last == main.result.id
            return Pattern("race", pool, rule=rule, early=ends_early) if one else None
        case ["stop_first", "vote"], Select(rule=FirstFinished() as rule, count=Value(id=count)) if check is None:
            vote = selects[1]
            known = count in amounts and main.over.id == candidates and last == vote.result.id
            known = known and vote.weights is None and isinstance(vote.rule, Majority)
            known = known and _listed(vote.over, made) == main.result.id
            return Pattern("race", pool, rule=rule, count=amounts[count], early=ends_early) if known else None
        case ["best"], Select(rule=Greatest() as rule) if check is not None and check.kind != "verdict":
            known = last == main.result.id and _listed(main.over, made) == candidates
            return Pattern("best", pool, check, rule, early=ends_early) if known else None
    return None


def _amounts(built: Program, nodes: list[Node]) -> dict[str, Amount]:
    """By the id of a value: the constant or the parameter that it is."""
    found = {each.value.id: Amount(parameter=each.name) for each in built.parameters}
    found.update({each.result.id: Amount(each.value) for each in nodes if isinstance(each, Const)})
    return found


def _pool(node: Generate, amounts: Mapping[str, Amount]) -> Pool | None:
    options = dict(node.options)
    wanted = [amounts.get(options[name].id) if name in options else Amount() for name in ("max_tokens", "temperature")]
    count = amounts.get(node.count.id)
    if count is None or wanted[0] is None or wanted[1] is None or isinstance(wanted[1].value, tuple):
        return None
    return Pool(node.result.id, node.model, count, wanted[0], wanted[1])


def _check(asked: list[Generate | Score], maps: list[Map], amounts: Mapping[str, Amount]) -> Check | None:
    """The one request that is made for each candidate, in a map or filter over them all."""
    if len(asked) != 1 or not any(asked[0] in each.body.nodes for each in maps):
        return None
    node = asked[0]
    inside = next(each for each in maps if node in each.body.nodes)
    if isinstance(node, Score):
        whole = node.kind == "reward" and node.given is None
        return Check(node.result.id, node.model, "reward", Amount()) if whole else None
    options = dict(node.options)
    most = amounts.get(options["max_tokens"].id) if "max_tokens" in options else Amount()
    if node.op != "judge" or amounts.get(node.count.id) != Amount(1) or most is None:
        return None
    return Check(node.result.id, node.model, "verdict" if inside.mode == "filter" else "grade", most)


def _filtered(nodes: list[Node], candidates: str) -> str:
    """The id of the candidates that a filter lets pass; "" without one."""
    return next(
        (
            each.result.id
            for each in nodes
            if isinstance(each, Map) and each.mode == "filter" and each.over.id == candidates
        ),
        "",
    )


def _falls_back(body: Block, selects: list[Select], made: Mapping[str, Node]) -> bool:
    """Whether the result is the first vote, or the second one where the first says nothing."""
    found = made.get(body.yields[0].id)
    if not isinstance(found, If):
        return False
    branches = {_source(block.yields[0], made) for block in (found.then, found.otherwise) if block.yields}
    return branches == {each.result.id for each in selects}


def _listed(value: Value, made: Mapping[str, Node]) -> str:
    """What a list was made of, element by element."""
    node = made.get(value.id)
    while isinstance(node, Map) and node.mode == "map":
        value = node.over
        node = made.get(value.id)
    return value.id


def _source(value: Value, made: Mapping[str, Node]) -> str:
    """What a value was made of by operations on it alone."""
    node = made.get(value.id)
    while isinstance(node, Pure) and node.args:
        value = node.args[0]
        node = made.get(value.id)
    return value.id


def _results(node: Node) -> Iterator[Value]:
    yield from node.results if isinstance(node, If) else ([node.result] if hasattr(node, "result") else [])
