"""Constants: the types of literals, and the values of constant expressions."""

from __future__ import annotations

from ttsc.compiler.semantics import typed
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import ABSTAIN, BOOL, FLOAT, INT, NEVER, NONE, STR, ListOf, Type, assignable
from ttsc.grammar import ast


def literal_type(value: object) -> Type:
    """The type of a literal."""
    if value is None:
        return NONE
    return {bool: BOOL, int: INT, float: FLOAT, str: STR}[type(value)]


def constant(e: ast.Expr) -> tuple[bool, typed.Constant, Type]:
    """Whether an expression is a constant, its value and its type."""
    match e:
        case ast.Literal(value):
            return True, value, literal_type(value)
        case ast.Abstain():
            return True, ABSTAINED, ABSTAIN
        case ast.Unary("-", ast.Literal(value)) if isinstance(value, (int, float)) and not isinstance(value, bool):
            return True, -value, literal_type(value)
        case ast.ListExpr(items):
            parts = [constant(i) for i in items]
            types = [t for _, _, t in parts]
            uniform = all(assignable(t, types[0]) for t in types)
            return (
                all(ok for ok, _, _ in parts) and uniform,
                tuple(v for _, v, _ in parts),
                ListOf(types[0] if types else NEVER),
            )
    return False, None, NEVER
