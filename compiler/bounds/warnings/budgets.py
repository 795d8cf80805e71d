"""W0212: one `max_tokens` that dominates; W0214: a budget that can't be reached, or that the first request breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import floor

from ttsc.compiler.bounds.interpret import DEFAULT_MAX_TOKENS
from ttsc.compiler.bounds.warnings.flow import Flow
from ttsc.compiler.bounds.worst_case import ConcreteBounds, worst_case
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import operands, rewrite, walk
from ttsc.compiler.values.types import Interval
from ttsc.grammar.diagnostics import Diagnostic

SHARE = 0.9
"""A generation of which this share of all decoded tokens may come."""


def budget_warnings(program: ir.Program, flow: Flow) -> Iterator[Diagnostic]:
    generations = [node for node in walk(program.body) if isinstance(node, ir.Generate)]
    if not generations:
        return
    tokens = min((limit.amount for limit in program.budget if limit.resource == "tokens"), default=None)
    constants = {node.result.id: node.value for node in walk(program.body) if isinstance(node, ir.Const)}
    above = [node for node in generations if tokens is not None and _limit(node, constants) >= tokens]
    yield from (_breaks(node, _limit(node, constants), floor(tokens or 0)) for node in above)
    if len(generations) > 1 and not above:
        yield from _dominating(program, generations, flow)
    yield from _never_reached(program)


def _limit(node: ir.Generate, constants: dict[str, ir.Constant]) -> int:
    """The constant `max_tokens` of a generation; 0 if it is not constant."""
    given = dict(node.options).get("max_tokens")
    value = DEFAULT_MAX_TOKENS.number if given is None else constants.get(given.id)
    return value if isinstance(value, int) else 0


def _breaks(node: ir.Generate, limit: int, tokens: int) -> Diagnostic:
    return Diagnostic(
        "W0212",
        f"max_tokens={limit} is no less than the program's budget of {tokens} tokens",
        node.span,
        "no such request may start",
        "lower max_tokens, or raise the budget",
        severity="warning",
    )


def _dominating(program: ir.Program, generations: list[ir.Generate], flow: Flow) -> Iterator[Diagnostic]:
    """A step with the default `max_tokens`, of which nearly all tokens may come, that reads what came of steps with a
    limit of their own: a judge, or a summary. That first drafts are long is how it should be.
    """
    limited = {node.result.id for node in generations if "max_tokens" in node.span.text}
    others = [node for node in generations if node.span.text and node.result.id not in limited]
    after = flow.ahead(limited) if others else set()
    silent = [node for node in others if any(value.id in after for value in operands(node))]
    if not silent:
        return
    decode = _by_node(program).decode
    total = sum(decode.values())
    for node in silent:
        tokens = decode.get(node.result.id, 0)
        if total and tokens >= SHARE * total:
            yield Diagnostic(
                "W0212",
                f"{100 * tokens // total} % of the tokens that this program may decode are of this step",
                node.span,
                f"its max_tokens is left at {DEFAULT_MAX_TOKENS.number}",
                "set max_tokens to what an answer here needs; a judge needs few",
                severity="warning",
            )


def _by_node(program: ir.Program) -> ConcreteBounds:
    """The worst case for default arguments, with each generation as a model role of its own."""

    def named(node: ir.Node) -> tuple[ir.Node, ...] | None:
        return (replace(node, model=node.result.id),) if isinstance(node, ir.Generate) else None

    return worst_case(replace(program, body=rewrite(program.body, named))).at(_defaults(program))


def _defaults(program: ir.Program) -> dict[str, object]:
    """Arguments for parameters without a default that counts may depend on."""
    return {p.name: 1 for p in program.parameters if p.required and str(p.value.type) in ("int", "float")}


def _never_reached(program: ir.Program) -> Iterator[Diagnostic]:
    """A limit on calls above what the program can make with every tunable at its greatest."""
    limit = min((each.amount for each in program.budget if each.resource == "calls"), default=None)
    if limit is None or any(p.tunable is None and str(p.value.type) not in ("str", "bool") for p in program.parameters):
        return
    greatest = {p.name: p.tunable.high for p in program.parameters if isinstance(p.tunable, Interval)}
    calls = worst_case(program).at(greatest).calls
    if calls <= limit:
        yield Diagnostic(
            "W0214",
            f"the budget of {floor(limit)} calls can't be reached: the program makes at most {calls}",
            program.span,
            "this limit never cuts anything",
            "lower it, or leave it out",
            severity="warning",
        )
