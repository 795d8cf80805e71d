"""Inputs like those given, where more are simulated than were given: of the same length, and other ones.

The same question asked again is in the engine's cache; the next one is not. So an input that is simulated again has
texts in which the first letters are others: as many tokens and bytes, and no prefix in common from there on. What the
program's own prompts begin with stays shared.

Only texts that nobody looks at are changed. One that decides something in the program, that a host function of the
caller's is given, or that an offline value is made from (it is kept between runs) stays as it is; so does JSON.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.rewrite import operands, walk
from ttsc.compiler.values.types import ListOf, OptionalOf, RecordType, Scalar, Type

_CHANGED = 6
"""Letters and digits of a text that may be changed: enough for millions of texts."""
_BLOCK = 64
"""Characters whose UTF-8 differs in the last byte alone."""


def fresh_inputs(
    program: ir.Program, values: Sequence[Mapping[str, Any]], count: int, functions: Collection[str] = ()
) -> list[Mapping[str, Any]]:
    """`count` inputs: those given, then as many others like them. `functions`: names of externs that are called for
    real.
    """
    free = [each for each in program.parameters if each.name in changeable(program, functions)]
    found: list[Mapping[str, Any]] = []
    for number in range(count):
        given = values[number % len(values)]
        turn = number // len(values)
        changed = {each.name: _other(each.value.type, given[each.name], turn) for each in free} if turn else {}
        found.append({**given, **changed} if changed else given)
    return found


def changeable(program: ir.Program, functions: Collection[str] = ()) -> frozenset[str]:
    """Names of required parameters with texts of which only the length matters."""
    return frozenset(
        each.name
        for each in program.parameters
        if each.required
        and each.tunable is None
        and not (each.oracle or each.known)
        and _has_text(each.value.type)
        and not _looked_at(program.body, each.value.id, functions)
    )


def _has_text(kind: Type) -> bool:
    match kind:
        case Scalar("str"):
            return True
        case ListOf(item) | OptionalOf(item):
            return _has_text(item)
        case RecordType(fields=fields):
            return any(_has_text(each) for _, each in fields)
    return False


# --- what becomes of a text in the program --------------------------------------------------------------------------


def _looked_at(body: ir.Block, parameter: str, functions: Collection[str]) -> bool:
    """Whether anything but prompts, and stand-ins of host functions, depends on the value."""
    carriers: set[str] = {parameter}
    before = 0
    while len(carriers) != before:
        before = len(carriers)
        for node in walk(body):
            if _decides(node, carriers, functions):
                return True
            carriers.update(each.id for source, each in _flows(node) if source.id in carriers)
    return False


def _decides(node: ir.Node, carriers: Collection[str], functions: Collection[str]) -> bool:
    read = {each.id for each in operands(node) if each.id in carriers}
    match node:
        case _ if not read:
            return False
        case ir.Extern(name=name):
            return name in functions
        case ir.Pure(result=result):
            return not _has_text(result.type)
        case ir.Generate(options=options):
            return any(each.id in read for _, each in options)
        case ir.Turn(template=template, args=args):
            return any(value.id in read and _conditional(template, name) for name, value in args)
        case ir.Offline() | ir.Cut():
            return True
        case ir.Select(over=over, otherwise=otherwise):
            return bool(read - {over.id} - ({otherwise.id} if otherwise is not None else set()))
        case ir.Dag(needs=needs):
            return needs.id in read
    return False


def _conditional(template: str, name: str) -> bool:
    return re.search(rf"{{%-?\s*(?:el)?if\b[^%]*\b{re.escape(name)}\b", template) is not None


def _flows(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Pairs of values of which the second may be the first, or made from it by the program itself."""
    match node:
        case ir.Pure(args=args, result=result) | ir.Draw(args=args, result=result):
            yield from ((each, result) for each in args)
        case ir.Select(result=result, over=over, otherwise=otherwise):
            yield from ((each, result) for each in (over, otherwise) if each is not None)
        case ir.Map(result=result, over=over, body=body, mode=mode):
            yield from ((over, each) for each in body.params)
            yield over if mode == "filter" else body.yields[0], result
        case ir.Dag(result=result, over=over, body=body):
            yield over, body.params[0]
            yield from ((body.yields[0], each) for each in (body.params[1], result))
        case ir.If(results=found, then=then, otherwise=otherwise):
            yield from zip(then.yields, found, strict=True)
            yield from zip(otherwise.yields, found, strict=True)
        case ir.Repeat(results=found, init=init, body=body):
            for first, inside, after, result in zip(init, body.params, body.yields, found, strict=False):
                yield from ((first, inside), (after, inside), (first, result), (after, result))


# --- texts as long --------------------------------------------------------------------------------------------------


def _other(kind: Type, value: Any, turn: int) -> Any:
    match kind:
        case OptionalOf(item):
            return None if value is None else _other(item, value, turn)
        case Scalar("str"):
            return text_like(value, turn)
        case ListOf(item):
            return [_other(item, each, turn) for each in value]
        case RecordType(fields=fields, allowed=allowed):
            fixed = dict(allowed)
            kinds = {name: each for name, each in fields if name not in fixed}
            return {name: _other(kinds[name], each, turn) if name in kinds else each for name, each in value.items()}
    return value


def text_like(text: str, turn: int) -> str:
    """Text number `turn` of those that differ from this one in their first letters and digits."""
    if not turn or text.lstrip().startswith(("{", "[")):
        return text
    letters, changed = list(text), 0
    for place, letter in enumerate(letters):
        others = _alike(letter)
        if len(others) < 2:
            continue
        turn, step = divmod(turn, len(others))
        letters[place] = others[(others.index(letter) + step) % len(others)]
        changed += 1
        if not turn or changed == _CHANGED:
            break
    return "".join(letters)


@lru_cache(maxsize=4096)
def _alike(letter: str) -> str:
    """Characters of the same kind and as many bytes, itself among them; none of what is no letter or digit."""
    for kind in ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "123456789"):
        if letter in kind:
            return kind
    if letter.isascii() or not letter.isalpha():
        return ""
    first = ord(letter) // _BLOCK * _BLOCK
    return "".join(each for each in map(chr, range(first, first + _BLOCK)) if each.isalpha())
