"""The critical path: how many tokens may be decoded one after another from a request's start to the program's end.

A request with a long way to go is served before one that little depends on. The way is measured backwards from what the
program yields, through everything that reads a value: a generation takes its max_tokens, a score one, anything else
nothing. It is an estimate for ordering requests, not a bound:

- What is not constant is taken to be a parameter's default, else the greatest value it may be tuned to, and what is
  computed from these. A max_tokens that is not known so is `UNKNOWN_TOKENS`.
- A loop is as long as its limit says; one whose limit is not known has `UNKNOWN_ROUNDS`. So has a `dag`, where
  elements may wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Dag,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Parameter,
    Program,
    Pure,
    Repeat,
    Score,
    Value,
)
from ttsc.compiler.ir.rewrite import operands, results, walk
from ttsc.compiler.values.pure import EvaluationFailed, evaluate, foldable
from ttsc.compiler.values.types import Interval

UNKNOWN_TOKENS = 1024
"""Of a generation that does not say: what the runtime takes then."""
UNKNOWN_ROUNDS = 4
MOST = 2**31 - 1
"""Longer ways are all the same; engines take priorities of 32 bits."""


def critical_paths(program: Program) -> dict[str, int]:
    """For each `Generate` and `Score` its tokens and those of the longest chain after it, at least 1."""
    paths = _Paths(_estimates(program))
    paths.block(program.body, dict.fromkeys((value.id for value in program.body.yields), 0))
    return paths.starts


def _estimates(program: Program) -> dict[str, object]:
    """Values that are known, or guessed from parameters."""
    known: dict[str, object] = {}
    for parameter in program.parameters:
        guess = _guess(parameter)
        if guess is not None:
            known[parameter.value.id] = guess
    for node in walk(program.body):
        if isinstance(node, Const):
            known[node.result.id] = node.value
        elif isinstance(node, Pure) and foldable(node.op) and all(arg.id in known for arg in node.args):
            try:
                known[node.result.id] = evaluate(node.op, node.attr, [known[arg.id] for arg in node.args])
            except EvaluationFailed:
                continue
    return known


def _guess(parameter: Parameter) -> object:
    if parameter.default is not None:
        return parameter.default
    if isinstance(parameter.tunable, Interval):
        return parameter.tunable.high
    numbers = [each for each in parameter.tunable or () if isinstance(each, int | float)]
    return max(numbers, default=None)


class _Paths:
    """Walks blocks from their ends to their beginnings. `starts`: the longest way met for each request."""

    def __init__(self, known: Mapping[str, object]) -> None:
        self._known = known
        self.starts: dict[str, int] = {}
        self._rounds: dict[str, int] = {}

    def block(self, block: Block, after: dict[str, int]) -> int:
        """Follow a block whose values are read as `after` says (tokens after each), and add what its nodes read of
        values around it. The longest way of any node in it.
        """
        longest = max((after.get(value.id, 0) for value in block.yields), default=0)
        for node in reversed(block.nodes):
            longest = max(longest, self._node(node, after))
        return longest

    def _node(self, node: Node, after: dict[str, int]) -> int:
        left = max((after.get(value.id, 0) for value in results(node)), default=0)
        match node:
            case Generate():
                left = min(MOST, left + self._tokens(node))
                self.starts[node.result.id] = max(left, self.starts.get(node.result.id, 0))
            case Score():
                left = min(MOST, left + 1)
                self.starts[node.result.id] = max(left, self.starts.get(node.result.id, 0))
            case Map():
                _read(after, node.body.yields, left)
                inner = self.block(node.body, after)
                _read(after, (node.over,), inner)
                return inner
            case If():
                for result, *given in zip(node.results, node.then.yields, node.otherwise.yields, strict=True):
                    _read(after, given, after.get(result.id, 0))
                left = max(self.block(node.then, after), self.block(node.otherwise, after), left)
            case Dag():
                left = self._loop(node.result.id, node.body, UNKNOWN_ROUNDS, after, (left,))
            case Repeat():
                each = tuple(after.get(result.id, 0) for result in node.results)
                left = self._loop(node.id, node.body, self._limit(node), after, (*each, left))
                for param, init in zip(node.body.params, node.init, strict=True):
                    _read(after, (init,), after.get(param.id, left))
                _read(after, (node.limit,), left)
                return left
            case Offline():
                for result, value in zip(node.results, node.body.yields, strict=True):
                    _read(after, (value,), after.get(result.id, 0))
                left = max(self.block(node.body, after), left)
        _read(after, operands(node), left)
        return left

    def _loop(self, name: str, body: Block, rounds: int, after: dict[str, int], ends: tuple[int, ...]) -> int:
        """A body that runs `rounds` times one after the other; `ends`: what comes after each of its yields at last."""
        if name not in self._rounds:
            self._rounds[name] = self.block(body, dict.fromkeys((value.id for value in body.yields), 0))
        more = self._rounds[name] * max(0, rounds - 1)
        for value, end in zip(body.yields, ends, strict=True):
            _read(after, (value,), min(MOST, end + more))
        return self.block(body, after)

    def _tokens(self, node: Generate) -> int:
        value: object = UNKNOWN_TOKENS
        for name, option in node.options:
            if name == "max_tokens":
                value = self._known.get(option.id, UNKNOWN_TOKENS)
        grid = [each for each in value if isinstance(each, int)] if isinstance(value, tuple) else [value]
        return max((each for each in grid if isinstance(each, int) and each > 0), default=UNKNOWN_TOKENS)

    def _limit(self, node: Repeat) -> int:
        limit = self._known.get(node.limit.id, UNKNOWN_ROUNDS)
        return limit if isinstance(limit, int) else UNKNOWN_ROUNDS


def _read(after: dict[str, int], values: tuple[Value, ...] | list[Value], left: int) -> None:
    """The values are read by something with so much left to do."""
    for value in values:
        after[value.id] = max(left, after.get(value.id, 0))
