"""W0210: text that all candidates share stands after text of one candidate, so that its prefill can't be shared.

    user "Solution: {{ c.text }}\\nYou grade solutions. Here are three examples: …"

An engine keeps the keys and values of a prompt's beginning. What comes after the first token that differs is computed
again for every candidate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import nodes

from ttsc.compiler.bounds.templates import tree
from ttsc.compiler.bounds.warnings.flow import Flow
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.values.templates import is_static
from ttsc.compiler.values.types import STR, ListOf, OptionalOf, RecordType, Type
from ttsc.grammar.diagnostics import Diagnostic

LEAST_CHARACTERS = 160
"""Shorter shared text after a candidate's own (a closing question) is not worth a word: some forty tokens."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a prompt in order: literal text, or an argument. `own`: it differs from candidate to candidate."""

    text: str
    name: str
    own: bool


def prefix_warnings(program: ir.Program, flow: Flow) -> Iterator[Diagnostic]:
    warned: set[object] = set()
    own: dict[str, set[str]] = {}
    for *regions, node in flow.places:
        if not isinstance(node, ir.Generate) or node.span in warned:
            continue
        over = next((region for region in reversed(regions) if isinstance(region, ir.Map)), None)
        if over is None:
            continue
        if over.result.id not in own:
            own[over.result.id] = flow.ahead([over.body.params[0].id], over.body)
        found = _wasted(node, own[over.result.id], flow)
        if found is not None:
            warned.add(node.span)
            yield found


def _wasted(node: ir.Generate, own_values: set[str], flow: Flow) -> Diagnostic | None:
    """`own_values`: what differs from element to element."""
    turns: list[ir.Turn] = []
    at = flow.defined_by.get(node.source.id)
    while isinstance(at, ir.Turn):
        turns.append(at)
        if at.parent is not None and at.parent.id in own_values and not _is_turn(at.parent, flow):
            return None  # the conversation goes on from the candidate itself, so all of it is the candidate's own
        at = None if at.parent is None else flow.defined_by.get(at.parent.id)
    pieces = [piece for turn in reversed(turns) for piece in _pieces(turn, own_values)]
    first = next((i for i, piece in enumerate(pieces) if piece.own), None)
    if first is None:
        return None
    after = [piece for piece in pieces[first:] if not piece.own]
    characters = sum(len(piece.text) for piece in after)
    names = list(dict.fromkeys(piece.name for piece in after if piece.name))
    if characters < LEAST_CHARACTERS and not names:
        return None
    what = [f"{characters} characters"] if characters >= LEAST_CHARACTERS else []
    what += [f"'{name}'" for name in names]
    shared, own = " and ".join(what), pieces[first].name
    return Diagnostic(
        "W0210",
        f"{shared} after '{own}' {'is' if len(what) == 1 and names else 'are'} prefilled again for every element",
        node.span,
        f"'{own}' differs from element to element",
        f"put what all elements share before '{own}' in the prompt, so that it is computed once",
        severity="warning",
    )


def _is_turn(value: ir.Value, flow: Flow) -> bool:
    return isinstance(flow.defined_by.get(value.id), ir.Turn)


def _pieces(turn: ir.Turn, own_values: set[str]) -> Iterator[_Piece]:
    if turn.literal or is_static(turn.template):
        yield _Piece(turn.template, "", False)
        return
    own = {name for name, value in turn.args if value.id in own_values}
    long = {name for name, value in turn.args if _is_long(value.type)}
    yield from _in_order(tree(turn.template).body, own, long)


def _is_long(type_: Type) -> bool:
    """Whether such a value is a text, or holds one."""
    match type_:
        case ListOf(item) | OptionalOf(item):
            return _is_long(item)
        case RecordType():
            return True
    return type_ == STR


def _in_order(body: list[nodes.Node], own: set[str], long: set[str]) -> Iterator[_Piece]:
    for node in body:
        match node:
            case nodes.Output(nodes=parts):
                for part in parts:
                    if isinstance(part, nodes.TemplateData):
                        yield _Piece(part.data, "", False)
                        continue
                    named = list(dict.fromkeys(name.name for name in _names(part)))
                    mine = next((name for name in named if name in own), None)
                    if mine is not None:
                        yield _Piece("", mine, True)
                    elif (shared := next((name for name in named if name in long), None)) is not None:
                        yield _Piece("", shared, False)
            case nodes.For():
                yield from _in_order(node.body, own | _targets(node, own), long)
            case nodes.If():
                yield from _in_order(node.body, own, long)
                for each in node.elif_:
                    yield from _in_order(each.body, own, long)
                yield from _in_order(node.else_, own, long)
            case nodes.Assign(target=nodes.Name(name=name)):
                if any(each.name in own for each in _names(node.node)):
                    own = own | {name}


def _targets(node: nodes.For, own: set[str]) -> set[str]:
    """The names of a loop over something of the element's own."""
    if not any(name.name in own for name in _names(node.iter)):
        return set()
    return {name.name for name in _names(node.target)}


def _names(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)
