"""What the program would answer if one candidate were its only one.

So answers are read and compared as the program itself does, whatever it goes on to do with its pool: extractors and
fallbacks are evaluated, a vote of one is that one's answer, the best of one is it, a filter lets it pass, and later
rounds, revisions and continuations add nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttsc.calibration.evaluator import (
    FAILED,
    UNKNOWN,
    Env,
    Evaluator,
    Hole,
    Path,
    got,
    present,
    unknown_in,
)
from ttsc.compiler.ir.nodes import (
    Block,
    Dag,
    Draw,
    Extern,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Program,
    Repeat,
    Score,
    Select,
)
from ttsc.compiler.ir.rewrite import blocks, node_id, results, walk
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.texts import text_of
from ttsc.runtime.values import CandidateValue


class Alone(Evaluator):
    """Evaluates with one candidate in the place of all that the node `wanted` generates."""

    def __init__(self, program: Program, wanted: str) -> None:
        self._program = program
        self._wanted = wanted
        self._candidate: CandidateValue | None = None
        self._around = {node_id(node) for node in walk(program.body) if _holds(node, wanted)}

    def answer(self, candidate: CandidateValue, parameters: Env) -> str | None | Hole:
        """The program's result as text; None if it is none, "", abstained or failed; UNKNOWN if it does not follow from
        the candidate.
        """
        self._candidate = candidate
        (result, *_) = self.block(self._program.body, dict(parameters), ())
        return as_answer(result)

    def within(self, block: Block, env: Env, path: Path, candidate: CandidateValue) -> Env:
        """What the nodes of a block define, where the candidate is all that `wanted` generates there. Values that
        `env` has stay.
        """
        self._candidate = candidate
        inner = dict(env)
        for node in block.nodes:
            if node_id(node) == self._wanted or any(each.id not in env for each in results(node)):
                self.node(node, inner, path)
        return inner

    def generate(self, node: Generate, env: Env, path: Path) -> object:
        if node.result.id == self._wanted:
            return (self._candidate,)
        source = got(env, node.source)
        if node.op in ("refine", "branch"):  # a candidate that goes on as it is
            each = source if isinstance(source, tuple) else (source,)
            kept = tuple(_before(item) for item in each)
            if not any(item is UNKNOWN for item in kept):
                return kept
        return UNKNOWN

    def score(self, node: Score, env: Env, path: Path) -> object:
        return UNKNOWN

    def extern(self, node: Extern, env: Env, path: Path) -> object:
        return UNKNOWN

    def draw(self, node: Draw, env: Env, path: Path) -> object:
        return got(env, node.args[0]) if node.op in ("resample", "shuffle") else UNKNOWN

    def select(self, node: Select, env: Env, path: Path) -> object:
        over = got(env, node.over)
        if not isinstance(over, tuple):
            return over if over is FAILED else UNKNOWN
        here = present(over)
        match node.op:
            case "keep" | "stop_first" | "leading":
                return here
            case "best":
                return here[0] if here else FAILED
            case "any" | "all":
                if unknown_in(here):
                    return UNKNOWN
                return any(each is True for each in here) if node.op == "any" else all(each is True for each in here)
            case "vote":
                votes = [each for each in here if each is not None and not isinstance(each, Abstain)]
                if votes:
                    return votes[0]
                return FAILED if node.otherwise is None else got(env, node.otherwise)

    def map(self, node: Map, env: Env, path: Path) -> object:
        if node.result.id not in self._around:
            return super().map(node, env, path)
        if node.mode == "filter":
            return UNKNOWN
        return self.block(node.body, dict(env), path)

    def dag(self, node: Dag, env: Env, path: Path) -> object:
        return self.block(node.body, dict(env), path) if node.result.id in self._around else UNKNOWN

    def region(self, node: If | Repeat | Offline, env: Env, path: Path) -> Sequence[object]:
        here = node.id in self._around
        match node:
            case If():
                for side in (node.then, node.otherwise):
                    if here and any(_is(each, self._wanted) for each in walk(side)):
                        return self.block(side, dict(env), path)
                condition = got(env, node.condition)
                if isinstance(condition, bool):
                    return self.block(node.then if condition else node.otherwise, dict(env), path)
                if condition is FAILED:
                    return [FAILED] * len(node.results)
                then = self.block(node.then, dict(env), path)
                otherwise = self.block(node.otherwise, dict(env), path)
                return [a if a == b else UNKNOWN for a, b in zip(then, otherwise, strict=True)]
            case Repeat():
                if not here:
                    return [got(env, each) for each in node.init]
                return self.block(node.body, dict(env), path)[:-1]
            case Offline():
                return self.block(node.body, dict(env), path) if here else [UNKNOWN] * len(node.results)


def as_answer(value: object) -> str | None | Hole:
    """A program's result as the text of an answer."""
    if value is UNKNOWN or unknown_in(value):
        return UNKNOWN
    if isinstance(value, Hole | Abstain) or value is None or value == "":
        return None
    if isinstance(value, CandidateValue):
        return value.text or None
    try:
        return text_of(value)
    except (TypeError, ValueError):
        return UNKNOWN


def _before(context: object) -> object:
    """The candidate that a context revises, or the candidate itself; UNKNOWN if there is none."""
    if not isinstance(context, CandidateValue):
        return UNKNOWN
    if context.text:
        return context
    return context.context.base if context.context.base is not None else UNKNOWN


def _holds(node: Node, wanted: str) -> bool:
    return any(_is(each, wanted) for block in blocks(node) for each in walk(block))


def _is(node: Node, wanted: str) -> bool:
    return isinstance(node, Generate) and node.result.id == wanted
