"""Offline regions: closing them over what they read, and the key that names the computation.

What is kept must be found again by the same computation and by no other, wherever it stands and whatever the passes
make of the program. So a region reads its inputs by params of its own, everything inside is named after the region, and
the key is taken here, when the region is built, without the region's name: passes may improve the body, but nothing
crosses its border.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ttsc.compiler.ir.nodes import Block, Node, Offline, Value
from ttsc.compiler.ir.printer import print_node
from ttsc.compiler.ir.rewrite import all_values, blocks, node_id, operands, renamed, walk
from ttsc.compiler.ir.types_text import record_text, records_in, type_text
from ttsc.grammar.source import NOWHERE, Span

_KIND = re.compile(r"[^.]*?(?=[0-9]*$)")


def offline(
    results: tuple[Value, ...],
    region: str,
    nodes: Sequence[Node],
    yields: tuple[Value, ...],
    span: Span = NOWHERE,
) -> Offline:
    """The region `region` that computes `yields` by `nodes`, which may read values around them."""
    open_body = Block((), tuple(nodes), yields)
    inputs = _captured(open_body)
    names = {value.id: f"input{place}" for place, value in enumerate(inputs, 1)}
    counts: Counter[str] = Counter(input=len(inputs))
    for old in (*(value.id for value in all_values(open_body)), *map(node_id, walk(open_body))):
        if old not in names:
            found = _KIND.search(old)
            kind = (found.group() if found else "") or "v"
            counts[kind] += 1
            names[old] = f"{kind}{counts[kind]}"
    key = _key(_closed(open_body, inputs, names))
    body = _closed(open_body, inputs, {old: f"{region}.{name}" for old, name in names.items()})
    return Offline(results, region, key, inputs, body, span)


def _closed(body: Block, inputs: Sequence[Value], names: Mapping[str, str]) -> Block:
    """The body under new names, with params for what it reads."""
    return replace(renamed(body, names), params=tuple(replace(value, id=names[value.id]) for value in inputs))


def _captured(body: Block) -> tuple[Value, ...]:
    """What a block reads from around it, in order of first use."""
    defined = {value.id for value in all_values(body)}
    read: dict[str, Value] = {}

    def visit(block: Block) -> None:
        for node in block.nodes:
            read.update((value.id, value) for value in operands(node))
            for inner in blocks(node):
                visit(inner)
        read.update((value.id, value) for value in block.yields)

    visit(body)
    return tuple(value for name, value in read.items() if name not in defined)


def _key(body: Block) -> str:
    """The same for the same computation wherever it stands: the names in it are its own."""
    records = records_in(value.type for value in (*all_values(body), *body.yields))
    text = [record_text(record) for record in records]
    text.append(print_node(Offline((), "offline", "", body.params, body)))
    text.extend(type_text(value.type) for value in body.yields)
    return hashlib.sha256("\n".join(text).encode()).hexdigest()[:32]
