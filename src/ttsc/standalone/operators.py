"""Pure operations and rules as they are called in the program part of a standalone file."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ttsc.compiler.ir.nodes import Pure, Rule
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    NODE,
    STR,
    ListOf,
    PairOf,
    RecordType,
    Type,
)
from ttsc.standalone.modules import Symbol, module_named, origin

_THEMES = (
    "arithmetic mathematics windows mixtures texts lists rounds candidates schema clusters pruning similarity"
    " dependencies trees".split()
)
_ORDER = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_EQUALITY = {"eq": "==", "ne": "!="}
_NUMBERS = (INT, FLOAT)


def row(op: str) -> tuple[str, ast.expr]:
    """The module of a pure operation, and the expression in it that is its function."""
    for theme in _THEMES:
        name = f"ttsc.compiler.values.{theme}"
        for node in module_named(name).definitions.values():
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                for each in node.value.elts:
                    if (
                        isinstance(each, ast.Call)
                        and isinstance(each.args[0], ast.Constant)
                        and each.args[0].value == op
                    ):
                        return name, each.args[1]
    raise LookupError(op)


def native(node: Pure, arguments: Sequence[str]) -> str | None:
    """The operation as Python's own syntax, where that means the same; None where it doesn't."""
    kinds = [value.type for value in node.args]
    match node.op:
        case "field" if kinds[0] in (CANDIDATE, CONTEXT, NODE):
            return f"{_atom(arguments[0])}.{node.attr}"
        case "field" if isinstance(kinds[0], RecordType | PairOf):
            return f'{_atom(arguments[0])}["{node.attr}"]'
        case "known":
            return arguments[0]
        case "not" if kinds == [BOOL]:
            return f"not {_atom(arguments[0])}"
        case "length" if kinds[0] == STR or isinstance(kinds[0], ListOf):
            return f"len({arguments[0]})"
        case "neg" if kinds[0] == FLOAT:
            return f"-{_atom(arguments[0])}"
        case op if op in _ORDER and _alike(kinds, *_NUMBERS, STR):
            return f"{_atom(arguments[0])} {_ORDER[op]} {_atom(arguments[1])}"
        case op if op in _EQUALITY and _alike(kinds, *_NUMBERS, STR):
            return f"{_atom(arguments[0])} {_EQUALITY[op]} {_atom(arguments[1])}"
    return None


def _alike(kinds: Sequence[Type], *allowed: Type) -> bool:
    """Whether both are numbers, or both texts."""
    return all(kind in allowed for kind in kinds) and (kinds[0] == STR) == (kinds[1] == STR)


def _atom(expression: str) -> str:
    """An expression that may stand in another one."""
    parsed = ast.parse(f"({expression}\n)", mode="eval").body
    simple = ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.Constant
    return expression if isinstance(parsed, simple) else f"({expression})"


def state_machine(rule: Rule) -> tuple[str, ast.expr]:
    """Where the state machine of a rule is made, as an expression over rule, length, count, weighted and seed."""
    found = origin(Symbol("ttsc.runtime.decisions", "decision_for"))
    assert isinstance(found, Symbol)
    function = module_named(found.module).definitions[found.name]
    for case in (each for node in ast.walk(function) if isinstance(node, ast.Match) for each in node.cases):
        pattern, body = case.pattern, case.body
        if isinstance(pattern, ast.MatchClass) and ast.unparse(pattern.cls) == type(rule).__name__:
            if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
                return found.module, body[0].value
    return found.module, ast.parse("decision_for(rule, length, count, weighted, seed)", mode="eval").body
