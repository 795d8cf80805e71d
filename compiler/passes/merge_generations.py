"""Asks once for what would be answered the same: equal greedy generations, equal scores, equal pure operations.

`solve(q) |> sample(1, temperature=0)` written twice → one generation, read twice. A sampled generation is never merged:
two draws are two draws, and their seeds differ. A score is read off without sampling, so equal scores are one. What an
engine's own options do is unknown, so a generation that has any is left alone. Externs are never merged.

Preserves: value. Only what is visible from both places is merged; nothing moves.
Why here: after `share_prefixes`, which makes the contexts of equal generations the same value.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from ttsc.compiler.ir.nodes import Block, Const, Cut, Force, Generate, Node, Offline, Program, Pure, Score, Value
from ttsc.compiler.ir.rewrite import operands, results, substitute, with_nodes, within
from ttsc.compiler.ir.types_text import constant_text, type_text
from ttsc.compiler.passes.pass_ import Context


def merge_generations(program: Program, context: Context) -> Program:
    numbering = _Numbering()
    body = substitute(numbering.block(program.body), numbering.aliases)
    return program if body is program.body else replace(program, body=body)


class _Numbering:
    """Value numbering over nested scopes: an inner block sees the numbers of the blocks around it."""

    def __init__(self) -> None:
        self.aliases: dict[str, Value] = {}
        self._numbers: dict[Hashable, Value] = {}
        self._zeros: set[str] = set()

    def block(self, block: Block) -> Block:
        opened: list[Hashable] = []
        nodes: list[Node] = []
        for node in block.nodes:
            key = self._key(node)
            if key is not None:
                found = self._numbers.get(key)
                if found is not None:
                    self.aliases[results(node)[0].id] = found
                    continue
                self._numbers[key] = results(node)[0]
                opened.append(key)
            nodes.append(self._closed(node) if isinstance(node, Offline) else within(node, self.block))
        for key in opened:
            del self._numbers[key]
        return with_nodes(block, nodes)

    def _closed(self, node: Offline) -> Node:
        """An offline region sees nothing around it."""
        around, self._numbers = self._numbers, {}
        inside = within(node, self.block)
        self._numbers = around
        return inside

    def _key(self, node: Node) -> Hashable | None:
        """What nodes that may be merged have in common, or None for those that never are."""
        match node:
            case Pure(result=result):
                return ("pure", node.op, node.attr, type_text(result.type), self._finals(*node.args))
            case Const(result=result, value=value):
                if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
                    self._zeros.add(result.id)
                return ("const", type_text(result.type), constant_text(value))
            case Force() | Cut():
                return (type(node).__name__, type_text(node.result.type), self._finals(*operands(node)))
            case Score():
                return ("score", node.kind, node.model, node.given is None, self._finals(*operands(node)))
            case Generate():
                return self._generation(node)
        return None

    def _generation(self, node: Generate) -> Hashable | None:
        options = {name: self._final(value) for name, value in node.options}
        if options.get("temperature") not in self._zeros or "engine" in options:
            return None
        asked = (node.op, node.model, node.delimiter, node.finished, node.schema, node.logprobs, node.confidences)
        return ("generate", *asked, self._finals(node.source, node.count), frozenset(options.items()))

    def _finals(self, *values: Value) -> tuple[str, ...]:
        return tuple([self._final(value) for value in values])

    def _final(self, value: Value) -> str:
        name = value.id
        return self.aliases[name].id if name in self.aliases else name
