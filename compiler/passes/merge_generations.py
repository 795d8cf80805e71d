"""Asks once for what would be answered the same: equal greedy generations, equal pure operations, equal constants.

`solve(q) |> sample(1, temperature=0)` written twice → one generation, read twice. A sampled generation is never merged:
two draws are two draws, and their seeds differ.

Preserves: value. Only what is visible from both places is merged; nothing moves.
Why here: after `share_prefixes`, which makes the contexts of equal generations the same value.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from ttsc.compiler.ir.nodes import Block, Const, Generate, Node, Program, Pure, Value
from ttsc.compiler.ir.rewrite import blocks, substitute, with_blocks
from ttsc.compiler.ir.types_text import constant_text, type_text
from ttsc.compiler.passes.pass_ import Context


def merge_generations(program: Program, context: Context) -> Program:
    numbering = _Numbering()
    body = substitute(numbering.block(program.body), numbering.aliases)
    return program if body == program.body else replace(program, body=body)


class _Numbering:
    """Value numbering over nested scopes: an inner block sees the numbers of the blocks around it."""

    def __init__(self) -> None:
        self.aliases: dict[str, Value] = {}
        self._scopes: list[dict[Hashable, Value]] = []
        self._zeros: set[str] = set()

    def block(self, block: Block) -> Block:
        self._scopes.append({})
        nodes: list[Node] = []
        for node in block.nodes:
            key = self._key(node)
            found = None if key is None else next((s[key] for s in self._scopes if key in s), None)
            if found is not None and isinstance(node, Const | Pure | Generate):
                self.aliases[node.result.id] = found
                continue
            if key is not None and isinstance(node, Const | Pure | Generate):
                self._scopes[-1][key] = node.result
            nodes.append(with_blocks(node, [self.block(inner) for inner in blocks(node)]))
        self._scopes.pop()
        return replace(block, nodes=tuple(nodes))

    def _key(self, node: Node) -> Hashable | None:
        match node:
            case Const(result=result, value=value):
                if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
                    self._zeros.add(result.id)
                return ("const", type_text(result.type), constant_text(value))
            case Pure(result=result):
                args = tuple(self._final(arg) for arg in node.args)
                return ("pure", node.op, node.attr, type_text(result.type), args)
            case Generate():
                options = frozenset((name, self._final(value)) for name, value in node.options)
                if not any(name == "temperature" and value in self._zeros for name, value in options):
                    return None
                return (
                    "generate",
                    node.op,
                    self._final(node.source),
                    self._final(node.count),
                    options,
                    node.model,
                    node.delimiter,
                    node.finished,
                )
        return None

    def _final(self, value: Value) -> str:
        return self.aliases.get(value.id, value).id
