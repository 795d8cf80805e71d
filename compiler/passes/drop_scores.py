"""Drops scores that can't matter: of a single candidate to choose from, and what is written on candidates and not read.

`solve(q) |> sample(1) |> score(judge) |> best` → the candidate, unjudged; `pool |> score(judge) |> vote(by=text)` → the
vote alone. Such programs come from parameters whose values are known, and from functions that do more than is read.
What only the dropped parts read goes with them, by the rules of `remove_dead`.

Preserves: value. Only what can't fail but by an engine is dropped, since a failed score would have removed the
candidate: so a judge whose reply is searched by a pattern, which has a time limit, stays.
Why here: after `remove_dead`, so that nothing unread seems to read a score; before marks are set on what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ttsc.compiler.ir.failures import can_fail, failing
from ttsc.compiler.ir.nodes import (
    Const,
    Draw,
    Extern,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Program,
    Pure,
    Repeat,
    Select,
    Value,
)
from ttsc.compiler.ir.rewrite import operands, results, rewrite, substitute, walk
from ttsc.compiler.ir.written_fields import WRITES, fields_read
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.passes.remove_dead import remove_dead
from ttsc.compiler.values.types import ListOf


def drop_scores(program: Program, context: Context) -> Program:
    while True:
        before = program
        program = _without_choices(program)
        program = program if program is before else remove_dead(program, context)
        chosen = program
        program = _without_unread(program)
        if program is before:
            return program
        program = program if program is chosen else remove_dead(program, context)


class _Facts:
    """Which lists hold at most one element, and which values are there unless an engine fails."""

    def __init__(self, program: Program) -> None:
        self.nodes: dict[str, Node] = {}
        """By their results; what a loop carries belongs to the loop."""
        for node in walk(program.body):
            carried = node.body.params if isinstance(node, Repeat) else ()
            self.nodes.update((value.id, node) for value in (*results(node), *carried))

    def at_most_one(self, value: Value) -> bool:
        node = self.nodes.get(value.id)
        match node:
            case Const(value=tuple() as items):
                return len(items) <= 1
            case Generate(source=source, count=count):
                return (not isinstance(source.type, ListOf) or self.at_most_one(source)) and self._at_most(count, 1)
            case Map(over=over):
                return self.at_most_one(over)
            case Pure(op="list", args=args):
                return len(args) <= 1
            case Select(op="keep" | "stop_first" | "leading", over=over, count=Value() as count):
                return self._at_most(count, 1) or self.at_most_one(over)
        return False

    def _at_most(self, value: Value, most: int) -> bool:
        number = self._number(value)
        return number is not None and number <= most

    def at_least_one(self, value: Value) -> bool:
        number = self._number(value)
        return number is not None and number >= 1

    def _number(self, value: Value) -> int | None:
        node = self.nodes.get(value.id)
        known = node.value if isinstance(node, Const) else None
        return known if isinstance(known, int) and not isinstance(known, bool) else None

    def keyed_surely(self, keys: Value, over: Value) -> bool:
        """Whether every element of `over` that is there has a key, unless an engine fails."""
        node = self.nodes.get(keys.id)
        if not isinstance(node, Map) or node.mode != "map" or node.over.id != over.id:
            return False
        calls = any(isinstance(each, Extern) for each in walk(node.body))
        return not calls and not failing(node.body, self.nodes) and self.sure(node.body.yields[0])

    def sure(self, value: Value) -> bool:
        """Whether the value is there wherever it is read, unless an engine fails."""
        waiting: list[Value] = [value]
        seen: set[str] = set()
        while waiting:
            each = waiting.pop()
            node = self.nodes.get(each.id)
            if each.id in seen or node is None:
                continue
            seen.add(each.id)
            if isinstance(node, Extern | If | Repeat | Offline | Draw) or can_fail(node, self.nodes):
                return False
            waiting.extend(operands(node))
        return True


# --- choices among one ------------------------------------------------------------------------------------------------


def _without_choices(program: Program) -> Program:
    facts = _Facts(program)
    aliases: dict[str, Value] = {}

    def single(node: Node) -> Sequence[Node] | None:
        if isinstance(node, Map) and _hands_on_all(node):
            aliases[node.result.id] = node.over
            return ()
        if not isinstance(node, Select) or not facts.at_most_one(node.over):
            return None
        match node:
            case Select(op="best", keys=Value() as keys) if facts.keyed_surely(keys, node.over):
                return (Pure(node.result, "one", (node.over,), span=node.span),)
            case Select(op="keep", keys=Value() as keys, count=Value() as count):
                if facts.keyed_surely(keys, node.over) and facts.at_least_one(count):
                    aliases[node.result.id] = node.over
                    return ()
            case Select(op="vote", weights=Value() as weights):
                voters = facts.nodes.get(node.over.id)
                source = voters.over if isinstance(voters, Map) and voters.mode == "map" else node.over
                if facts.keyed_surely(weights, source):
                    return (replace(node, weights=None),)
        return None

    body = substitute(rewrite(program.body, single), aliases)
    return program if body is program.body else replace(program, body=body)


def _hands_on_all(node: Map) -> bool:
    """Whether the result is the list itself: what is left of a map that wrote scores."""
    return node.mode == "map" and not node.body.nodes and node.body.yields == node.body.params


# --- what nobody reads ------------------------------------------------------------------------------------------------


def _without_unread(program: Program) -> Program:
    if not any(isinstance(node, Pure) and node.op in WRITES for node in walk(program.body)):
        return program
    facts, read = _Facts(program), fields_read(program)
    aliases: dict[str, Value] = {}

    def unread(node: Node) -> Sequence[Node] | None:
        if not isinstance(node, Pure) or node.op not in WRITES:
            return None
        if not WRITES[node.op].isdisjoint(read.get(node.result.id, ())) or not all(map(facts.sure, node.args[1:])):
            return None
        aliases[node.result.id] = node.args[0]
        return ()

    body = substitute(rewrite(program.body, unread), aliases)
    return program if body is program.body else replace(program, body=body)
