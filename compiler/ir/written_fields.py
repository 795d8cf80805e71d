"""Which of the fields that a program writes on candidates may be read: score, scores, answer.

Whoever gets a candidate may read all of it, except for what is known to hand it on, to read a named field, or to read
its text alone. Calls of host functions, prompts that show candidates and results of the program read everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from ttsc.compiler.ir.candidates import candidate_sources, hands_on
from ttsc.compiler.ir.nodes import (
    Cut,
    Draw,
    Extern,
    Force,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Program,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import operands, walk
from ttsc.compiler.values.types import CANDIDATE, assignable

WRITES = {
    "with_score": frozenset({"score"}),
    "with_scores": frozenset({"scores", "score"}),
    "with_answer": frozenset({"answer"}),
}
"""Operations that write on a candidate, and the fields that they write."""
_WRITTEN = frozenset({"score", "scores", "answer"})
_NONE: frozenset[str] = frozenset()
_LENGTHS = frozenset({"length", "count"})
"""With one argument they read how many there are."""


def fields_read(program: Program) -> dict[str, frozenset[str]]:
    """For each value, the written fields that somebody may read of the candidates it is or holds."""
    sources = candidate_sources(program.body)
    kept: dict[str, frozenset[str]] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(value.id, _WRITTEN) for value in program.body.yields]
    for node in walk(program.body):
        waiting.extend((value.id, fields) for value, fields in _read_by(node))
        if isinstance(node, Pure) and node.op in WRITES:
            kept[node.result.id] = _WRITTEN - WRITES[node.op]
        elif isinstance(node, Force | Cut) or isinstance(node, Generate) and node.finished == "freeze":
            sources.setdefault(node.result.id, []).append(node.source.id)
    read: dict[str, frozenset[str]] = {}
    while waiting:
        value, fields = waiting.pop()
        before = read.get(value, _NONE)
        if fields <= before:
            continue
        read[value] = before | fields
        handed = fields & kept.get(value, _WRITTEN)
        waiting.extend((source, handed) for source in sources.get(value, ()))
    return read


def _read_by(node: Node) -> Iterable[tuple[Value, frozenset[str]]]:
    """What a node itself reads. Handing on and texts read nothing; a block's yields are handed on."""
    match node:
        case Pure(op="field", args=(of,), attr=attr) if assignable(of.type, CANDIDATE):
            return [(of, frozenset({attr}) & _WRITTEN)]
        case Pure(op=op, args=args):
            quiet = (hands_on(node) and not (op == "distinct" and len(args) == 1)) or (
                op in _LENGTHS and len(args) == 1
            )
            return [] if quiet else _all(args)
        case Turn(args=args):
            return _all(value for _, value in args)
        case Extern(args=args):
            return _all(args)
        case Draw(op=op, args=args):
            return _all(args) if op == "select" else []
        case Offline():
            return _all((*node.inputs, *node.body.yields))
        case If() | Repeat() | Map() | Generate() | Force() | Cut() | Score() | Select():
            return []
    return _all(operands(node))


def _all(values: Iterable[Value]) -> list[tuple[Value, frozenset[str]]]:
    return [(value, _WRITTEN) for value in values]
