"""Which selections can be decided before all of their elements have arrived, and what reads only the first ones.

A vote with weights and a choice by keys need bounds. Where the program says none, those that follow from it are taken
(`ranges.py`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

from ttsc.compiler.ir.known import UNKNOWN, Known, Range, Row
from ttsc.compiler.ir.nodes import (
    Const,
    FirstFinished,
    Generate,
    Greatest,
    Leading,
    Majority,
    Map,
    Program,
    Pure,
    Quantified,
    Rule,
    Select,
    Sequential,
    Value,
)
from ttsc.compiler.ir.ranges import element, ranges
from ttsc.compiler.ir.rewrite import walk
from ttsc.compiler.values.types import FLOAT, ListOf, assignable


class Deciding:
    """The selections of a program. Ranges are looked for once, if a rule asks."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._ranges: dict[str, Known] | None = None
        nodes = list(walk(program.body))
        self.constants = {node.result.id: node.value for node in nodes if isinstance(node, Const)}
        self._arriving = {node.result.id for node in nodes if isinstance(node, Map | Generate) and not self._one(node)}

    def _one(self, node: Map | Generate) -> bool:
        """Whether a list has one element."""
        if isinstance(node, Map) or isinstance(node.source.type, ListOf):
            return False
        return self.constants.get(node.count.id) == 1

    def rule(self, node: Select) -> Rule | None:
        """The rule of a selection, with its bounds, if it can be decided early."""
        rule = self._bounded(node)
        return rule if _decidable(node, rule) else None

    def reads_beginning(self, node: Pure) -> bool:
        """Whether an operation may read no more than the first elements of a list that arrives one by one."""
        return node.op in ("one", "item", "take") and node.args[0].id in self._arriving

    def known(self, value: Value) -> Known:
        """What is known of a value; nothing of what is inside of an offline region."""
        if self._ranges is None:
            self._ranges = ranges(self._program)
        return self._ranges.get(value.id, UNKNOWN)

    def _bounded(self, node: Select) -> Rule:
        match node.rule:
            case Majority(max_weight=None) if node.weights is not None:
                within = element(self.known(node.weights))
                if isinstance(within, Range) and within.low >= 0 and math.isfinite(within.high):
                    return replace(node.rule, max_weight=within.high)
            case Greatest(maximum=None) if node.keys is not None:
                return replace(node.rule, maximum=_maximum(element(self.known(node.keys))))
        return node.rule


def _maximum(key: Known) -> float | tuple[float, ...] | None:
    """The greatest that a key, or each number of a key that is a list, can be."""
    if isinstance(key, Row) and key.parts:
        parts = [each.high for each in key.parts if isinstance(each, Range) and math.isfinite(each.high)]
        return tuple(parts) if len(parts) == len(key.parts) else None
    return key.high if isinstance(key, Range) and math.isfinite(key.high) else None


def _decidable(node: Select, rule: Rule) -> bool:
    match rule:
        case Majority(max_weight=bound):
            return node.weights is None or bound is not None
        case Greatest(maximum=maximum):
            numbers = node.keys is not None and assignable(node.keys.type, ListOf(FLOAT))
            return maximum is not None and numbers is not isinstance(maximum, tuple)
        case FirstFinished() | Quantified() | Leading() | Sequential():
            return True
        case _:
            assert_never(rule)
