"""Branches and loops of the program part: in place where nothing is held up, else as functions of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ttsc.compiler.ir.nodes import If, Node, Repeat, Value
from ttsc.compiler.ir.rewrite import walk
from ttsc.standalone.analysis import is_waiting, needs_place, strict_yields
from ttsc.standalone.known import Known, State, cannot_fail
from ttsc.standalone.layout import call

if TYPE_CHECKING:
    from ttsc.standalone.writer import Writer


def write_if(writer: Writer, node: If, remaining: Sequence[Node]) -> None:
    waited = writer.unready([node.condition])
    names = [writer.name(value.id) for value in node.results]
    wanted = [value.id for value in node.results]
    instant = not is_waiting(node) and not writer.reads_unready(node.then) and not writer.reads_unready(node.otherwise)
    strict = bool(set(wanted) & writer.strict)
    here = writer.may_wait_for(waited, remaining) and strict and (instant or writer.may_wait(wanted, remaining))
    if not here and not (instant and not waited and all(map(cannot_fail, _pures(node)))):
        head = f"{writer.name(node.id)}_branch"
        with writer.function(f"async def {head}() -> Any"):
            _branches(writer, node, writer.may_wait_for(waited, remaining), returns=True)
        writer.needed.external("typing", "Any")
        _parts(writer, node.results, f"{head}()")
        return
    writer.settle(waited)
    states = _branches(writer, node, True, returns=False)
    for value, name, state in zip(node.results, names, states, strict=True):
        writer.known[value.id] = Known(name, state, writer.frame)


def _branches(writer: Writer, node: If, settled: bool, returns: bool) -> list[State]:
    states = [State.THERE for _ in node.results]
    known = dict(writer.known)
    names = [writer.name(value.id) for value in node.results]
    for head, branch in ((f"if {writer.whole(node.condition)}:", node.then), ("else:", node.otherwise)):
        with writer.suite(head):
            writer.known = dict(known)
            places = [place for place, value in enumerate(node.results) if value.id in writer.strict]
            writer.block(branch, [branch.yields[place].id for place in places or range(len(names) == 1)])
            for place, value in enumerate(branch.yields):
                states[place] = max(states[place], writer.state(value))
            if returns:
                writer.line(f"return [{', '.join(writer.anyhow(value) for value in branch.yields)}]")
            elif names:
                given = ", ".join(writer.anyhow(value) for value in branch.yields)
                writer.line(f"{', '.join(names)} = {given}")
    writer.known = known
    return states


def write_repeat(writer: Writer, node: Repeat, remaining: Sequence[Node]) -> None:
    waited = writer.unready([node.limit])
    wanted = [value.id for value in node.results]
    here = writer.may_wait_for(waited, remaining) and writer.may_wait(wanted, remaining)
    name = writer.fresh(f"round_{writer.name(node.id)}")
    placed = needs_place(node.body)
    states = [writer.state(value) for value in node.init]
    while True:
        lines, names, known = list(writer.lines), writer.named.copy(), dict(writer.known)
        found = _round(writer, node, name, placed, states)
        if found == states:
            break
        writer.lines, writer.named, writer.known, states = lines, names, known, found
    init = [writer.anyhow(value) for value in node.init]
    arguments = [writer.whole(node.limit), name, f"[{', '.join(init)}]"] + ([f"at={writer.at}"] if writer.at else [])
    writer.needed.word("repeat")
    text = call("job.repeat", arguments)
    variables = [writer.name(value.id) for value in node.results]
    if here and variables:
        writer.line(f"[{', '.join(variables)}] = await {text}")
        for value, variable, state in zip(node.results, variables, states, strict=True):
            writer.known[value.id] = Known(variable, state, writer.frame)
    elif waited and not writer.may_wait_for(waited, remaining):
        with writer.function(f"async def {name}_later() -> Any"):
            writer.line(f"return await {text}")
        _parts(writer, node.results, f"{name}_later()")
    else:
        _parts(writer, node.results, text)


def _round(writer: Writer, node: Repeat, name: str, placed: bool, states: Sequence[State]) -> list[State]:
    """The function of one round, given how far what it is given may be; how far what it hands on may be."""
    body = node.body
    parameters = [f"{writer.name(param.id)}: Any" for param in body.params] + [f"{'at' if placed else '_'}: Place"]
    writer.needed.support("job", "Place")
    writer.needed.external("typing", "Any")
    with writer.function(f"async def {name}({', '.join(parameters)}) -> Any"):
        for param, state in zip(body.params, states, strict=True):
            writer.define(param, writer.name(param.id))
            writer.known[param.id] = Known(writer.name(param.id), state, writer.frame)
        writer.at = "at" if placed else writer.at
        writer.block(body, strict_yields(node, writer.strict, writer.positive))
        carried = ", ".join(writer.anyhow(value) for value in body.yields[:-1])
        writer.line(f"return [{carried}], {writer.anyhow(body.yields[-1])}")
    return [max(state, writer.state(value)) for state, value in zip(states, body.yields, strict=False)]


def _parts(writer: Writer, values: Sequence[Value], text: str) -> None:
    """Tasks for the several results of one thing."""
    names = [writer.name(value.id) for value in values]
    writer.needed.word("parts")
    head = f"[{', '.join(names)}] = " if names else ""
    writer.line(f"{head}job.parts({text}, {len(names)})")
    for value, name in zip(values, names, strict=True):
        writer.known[value.id] = Known(name, State.LATER, writer.frame)


def _pures(node: If) -> list[Node]:
    return [inner for block in (node.then, node.otherwise) for inner in walk(block)]
