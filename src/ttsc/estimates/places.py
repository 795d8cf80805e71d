"""Where the nodes of a plan are: their line, what is written there, the regions around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import blocks, node_id
from ttsc.compiler.plan.nodes import Plan
from ttsc.estimates.figures import Place
from ttsc.grammar.source import Span

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A node that asks an engine or calls a host function."""

    id: str
    op: str
    kind: str
    role: str
    place: Place
    node: ir.Node


def placed_nodes(plan: Plan) -> list[PlacedNode]:
    """In the order of the plan's graph."""
    found: list[PlacedNode] = []

    def visit(block: ir.Block, around: tuple[str, ...]) -> None:
        for node in block.nodes:
            match node:
                case ir.Generate(op=op, model=role):
                    found.append(PlacedNode(node.result.id, op, "generate", role, place_of(node.span, around), node))
                case ir.Score(kind=kind, model=role):
                    asked = "score" if kind in ("logprob", "choices") else kind
                    found.append(PlacedNode(node.result.id, kind, asked, role, place_of(node.span, around), node))
                case ir.Extern(name=name):
                    found.append(PlacedNode(node.result.id, name, "extern", "", place_of(node.span, around), node))
                case _:
                    for title, inner in zip(_titles(node), blocks(node), strict=True):
                        visit(inner, (*around, title))

    visit(plan.program.body, ())
    return found


def _titles(node: ir.Node) -> tuple[str, ...]:
    name = node_id(node)
    match node:
        case ir.If():
            return (f"if @{name} then", f"if @{name} else")
        case ir.Repeat():
            return (f"repeat @{name}",)
        case ir.Map():
            return (f"map %{name}",)
        case ir.Dag():
            return (f"dag %{name}",)
        case ir.Offline():
            return (f"offline @{name}",)
    return ()


def place_of(span: Span, around: tuple[str, ...] = ()) -> Place:
    if not span.source.text:
        return Place(around=around)
    line, _ = span.source.line_col(span.start)
    text = " ".join(span.text.split())
    return Place(span.source.path, line, text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…", around)


def given_text(value: Any) -> str:
    """A parameter's value, on one short line."""
    import json

    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
