"""Computes now what is known now: pure operations, branches, empty loops, prompts.

`let n = 2 * 3` → `let n = 6`; `if false { … } else { x }` → `x`; `user "{{ a }}"` with `a = "hi"` → `user "hi"`.
Parameters are not constants, even with a default, unless the context gives their values: then this is partial
evaluation.

Preserves: value. An operation or a template that fails is left for the run to fail on. Draws are left to the run: they
depend on its seed. What is known around an offline region is not carried into it.
Why here: first, because equal contexts and equal generations are found by comparing what this pass makes comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
    Dag,
    If,
    Map,
    Node,
    Offline,
    Program,
    Pure,
    Repeat,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import ids, operands, substitute, uses, with_nodes, within
from ttsc.compiler.ir.value_types import type_of
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.pure import EvaluationFailed, evaluate, foldable
from ttsc.compiler.values.templates import TemplateFailed, render
from ttsc.compiler.values.types import FLOAT, assignable

_MAX_CONSTANT = 20_000
"""Characters of texts and items of lists, all together, that are worth writing into the program."""


def fold_constants(program: Program, context: Context) -> Program:
    program = _given(program, context.parameters)
    folder = _Folder()
    body = substitute(folder.block(program.body), folder.aliases)
    return program if body is program.body else replace(program, body=body)


def _given(program: Program, values: Mapping[str, Constant]) -> Program:
    """Constants in place of the parameters whose values are known. The parameters themselves stay."""
    if not values:
        return program
    read = uses(program.body)
    taken = ids(program)
    nodes: list[Node] = []
    aliases: dict[str, Value] = {}
    for parameter in program.parameters:
        if parameter.name not in values or parameter.value.id not in read:
            continue
        name = f"given_{parameter.name}"
        while name in taken:
            name += "_"
        value = values[parameter.name]
        is_int = isinstance(value, int) and not isinstance(value, bool)
        constant = Const(Value(name, parameter.value.type), value)
        if parameter.value.type == FLOAT and is_int:
            constant = replace(constant, value=float(value))  # type: ignore[arg-type]
        nodes.append(constant)
        aliases[parameter.value.id] = constant.result
    if not nodes:
        return program
    body = substitute(program.body, aliases)
    return replace(program, body=replace(body, nodes=(*nodes, *body.nodes)))


class _Folder:
    """What is known of values so far, and which values are others by another name."""

    def __init__(self) -> None:
        self._known: dict[str, Constant] = {}
        self.aliases: dict[str, Value] = {}

    def block(self, block: Block) -> Block:
        nodes: list[Node] = []
        for node in block.nodes:
            nodes.extend(self._node(node))
        return with_nodes(block, nodes)

    def _node(self, node: Node) -> tuple[Node, ...]:
        match node:
            case Const():
                self._known[node.result.id] = node.value
            case Pure():
                return (self._pure(node),)
            case Turn(literal=False):
                return (self._turn(node),)
            case If() if self._has(node.condition):
                chosen = node.then if self._known[node.condition.id] else node.otherwise
                inside = self.block(chosen)
                self._rename(node.results, inside.yields)
                return inside.nodes
            case Repeat() if self._has(node.limit) and _at_most_zero(self._known[node.limit.id]):
                self._rename(node.results, node.init)
                return ()
            case Map() | Dag() if all(self._has(v) and self._known[v.id] == () for v in operands(node)):
                self._known[node.result.id] = ()
                return (Const(node.result, (), node.span),)
            case If() | Repeat() | Map() | Dag() | Offline():
                return (within(node, self.block),)
        return (node,)

    def _has(self, value: Value) -> bool:
        return value.id in self._known

    def _rename(self, results: tuple[Value, ...], values: tuple[Value, ...]) -> None:
        for result, value in zip(results, values, strict=True):
            self.aliases[result.id] = value
            if self._has(value):
                self._known[result.id] = self._known[value.id]

    def _pure(self, node: Pure) -> Pure | Const:
        if not foldable(node.op) or not all(self._has(arg) for arg in node.args):
            return node
        try:
            value = evaluate(node.op, node.attr, [self._known[arg.id] for arg in node.args])
        except EvaluationFailed:
            return node
        if not _is_constant(value) or _size(value) > _MAX_CONSTANT:
            return node
        constant = Const(node.result, value, node.span)  # type: ignore[arg-type]
        if not assignable(type_of(constant.value), node.result.type):
            return node
        self._known[node.result.id] = constant.value
        return constant

    def _turn(self, node: Turn) -> Turn:
        if not all(self._has(value) for _, value in node.args):
            return node
        try:
            text = render(node.template, {name: self._known[value.id] for name, value in node.args})
        except TemplateFailed:
            return node
        return replace(node, template=text, args=(), literal=True)


def _at_most_zero(limit: Constant) -> bool:
    return isinstance(limit, int) and limit <= 0


def _is_constant(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_constant(item) for item in value)
    return value is None or isinstance(value, str | int | float | Abstain)


def _size(value: object) -> int:
    if isinstance(value, tuple):
        return len(value) + sum(map(_size, value))
    return len(value) if isinstance(value, str) else 0
