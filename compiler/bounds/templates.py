"""How long a message is: the size of a template's text, and of what is put in, loop by loop.

Every part of a template counts, whatever its conditions say; of the sides of an `if` the larger one does. A text is at
most the sum of its parts. That holds of bytes; of a tokenizer it is assumed (docs/bounds.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import Environment, nodes

from ttsc.compiler.bounds.domain import NEVER, NOTHING, PLAIN, Abstract, Fields, Items, Number, Text, join
from ttsc.compiler.bounds.expr import INFINITE, ONE, ZERO, Expr, constant, greatest_coefficient, maximum
from ttsc.compiler.bounds.numbers import high
from ttsc.compiler.bounds.operations import field, item, length
from ttsc.compiler.bounds.sources import MAX_TEXT_BYTES, Count, measured
from ttsc.compiler.bounds.text_sizes import ESCAPED, RECASED, written
from ttsc.compiler.values.templates import MAX_OUTPUT, is_static

_WHOLE = constant(MAX_TEXT_BYTES)
Names = dict[str, Abstract]


def message(template: str, args: Mapping[str, Abstract], count: Count, literal: bool) -> Text:
    """The size of a rendered message. A message without a smaller bound has that of the language."""
    if literal or is_static(template):
        return Text(constant(count(template)), constant(len(template)))
    size = _Sizes(count).body(tree(template).body, dict(args))
    tokens = _WHOLE if greatest_coefficient(size.tokens) > MAX_TEXT_BYTES else size.tokens
    return Text(tokens, constant(MAX_OUTPUT) if size.chars.infinite else size.chars)


@lru_cache(maxsize=512)
def tree(template: str) -> nodes.Template:
    """Parsed as `values/sandbox.py` does, which has checked it."""
    return Environment(keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True).parse(template)


class _Sizes:
    """Walks a template with the sizes of its names."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def body(self, statements: list[nodes.Node], names: Names) -> Text:
        total = _EMPTY
        for each in statements:
            total = _both(total, self._statement(each, names))
        return total

    def _statement(self, node: nodes.Node, names: Names) -> Text:
        match node:
            case nodes.Output(nodes=parts):
                total = _EMPTY
                for part in parts:
                    total = _both(total, self._part(part, names))
                return total
            case nodes.For():
                return self._for(node, names)
            case nodes.If():
                sides = [dict(names) for _ in range(len(node.elif_) + 2)]
                bodies = [node.body, *(each.body for each in node.elif_), node.else_]
                sizes = [self.body(body, side) for body, side in zip(bodies, sides, strict=True)]
                _merge(names, sides)
                return _larger(*sizes)
            case nodes.Assign(target=nodes.Name(name=name), node=value):
                names[name] = self._value(value, names)
            case nodes.Assign(target=nodes.Tuple(items=targets), node=value):
                _unpack(targets, item(self._value(value, names)), names)
        return _EMPTY

    def _part(self, part: nodes.Node, names: Names) -> Text:
        if isinstance(part, nodes.TemplateData):
            return Text(constant(self._count(part.data)), constant(len(part.data)))
        return written(self._value(part, names))

    def _for(self, node: nodes.For, names: Names) -> Text:
        """What a round sets is gone after it, so one round stands for all."""
        over = self._value(node.iter, names)
        rounds, each = (over.chars, over) if isinstance(over, Text) else (length(over), item(over))
        inner = dict(names)
        inner["loop"] = _loop(rounds, each)
        if isinstance(node.target, nodes.Name):
            inner[node.target.name] = each
        elif isinstance(node.target, nodes.Tuple):
            _unpack(node.target.items, each, inner)
        once = self.body(node.body, inner)
        otherwise = self.body(node.else_, dict(names))
        return _larger(Text(rounds * once.tokens, rounds * once.chars), otherwise)

    def _value(self, node: nodes.Node | None, names: Names) -> Abstract:
        match node:
            case nodes.Const(value=value):
                return measured(value, self._count)
            case nodes.TemplateData(data=data):
                return measured(data, self._count)
            case nodes.Name(name=name):
                return names.get(name, NOTHING)
            case nodes.Getattr(node=inner, attr=name) | nodes.Getitem(node=inner, arg=nodes.Const(value=str() as name)):
                return field(self._value(inner, names), name) or NOTHING
            case nodes.Getitem(node=inner):
                found = self._value(inner, names)
                return found if isinstance(found, Text) or isinstance(node.arg, nodes.Slice) else item(found)
            case nodes.Filter(node=inner, name=name):
                args = [self._value(each, names) for each in (*node.args, *(k.value for k in node.kwargs))]
                return self._filtered(name, self._value(inner, names), args, node)
            case nodes.CondExpr(expr1=then, expr2=otherwise):
                return join(self._value(then, names), NOTHING if otherwise is None else self._value(otherwise, names))
            case nodes.And(left=left, right=right) | nodes.Or(left=left, right=right):
                return join(self._value(left, names), self._value(right, names))
            case nodes.Concat(nodes=parts):
                total = _EMPTY
                for part in parts:
                    total = _both(total, written(self._value(part, names)))
                return total
            case nodes.List(items=items) | nodes.Tuple(items=items):
                inner_: Abstract = NEVER
                for each in items:
                    inner_ = join(inner_, self._value(each, names))
                return Items(constant(len(items)), inner_)
            case nodes.Add(left=left, right=right):
                return _added(self._value(left, names), self._value(right, names))
            case nodes.Mul(left=left, right=right):
                return _multiplied(self._value(left, names), self._value(right, names))
            case nodes.Sub() | nodes.Div() | nodes.FloorDiv() | nodes.Mod() | nodes.Pow() | nodes.Neg() | nodes.Pos():
                return _NUMBER
        return PLAIN

    def _filtered(self, name: str, value: Abstract, args: list[Abstract], node: nodes.Filter) -> Abstract:
        match name:
            case "length" | "count":
                return Number(length(value) if not isinstance(value, Text) else value.chars, ZERO)
            case "upper" | "lower":
                text = written(value)
                return Text(RECASED * text.tokens, RECASED * text.chars)
            case "string" | "trim":
                return written(value)
            case "first" | "last":
                return value if isinstance(value, Text) else item(value)
            case "list":
                if isinstance(value, Text):
                    return Items(value.chars, value)
                return value
            case "round" | "float" | "int":
                return join(_NUMBER, args[0]) if args and not isinstance(args[0], Number) else _NUMBER
            case "default" | "d":
                return join(value, args[0] if args else Text(ZERO, ZERO))
            case "join":
                return self._joined(value, args, node)
            case "replace":
                text, new = written(value), written(args[1])
                return Text(text.tokens + text.chars * new.tokens, text.chars + text.chars * new.chars)
            case "indent":
                text = written(value)
                pad = high(args[0]) if args and isinstance(args[0], Number) else constant(4)
                pad = args[0].chars if args and isinstance(args[0], Text) else pad
                lines = text.chars + ONE
                return Text(text.tokens + lines * pad, text.chars + lines * pad)
            case "tojson":
                return _as_json(value, args)
        return Text(INFINITE, INFINITE)

    def _joined(self, value: Abstract, args: list[Abstract], node: nodes.Filter) -> Text:
        each = item(value) if not isinstance(value, Text) else value
        given: dict[str, tuple[Abstract, nodes.Expr]] = {}
        keys = [*("separator", "attribute")[: len(node.args)], *(str(k.key) for k in node.kwargs)]
        for key, size, expression in zip(keys, args, [*node.args, *(k.value for k in node.kwargs)], strict=True):
            given[key] = (size, expression)
        if "attribute" in given and isinstance(given["attribute"][1], nodes.Const):
            each = field(each, str(given["attribute"][1].value)) or NOTHING
        between = written(given["separator"][0]) if "separator" in given else _EMPTY
        one = _both(written(each), between)
        count = value.chars if isinstance(value, Text) else length(value)
        return Text(count * one.tokens, count * one.chars)


_EMPTY = Text(ZERO, ZERO)
_NUMBER = Number(INFINITE, None)


def _both(a: Text, b: Text) -> Text:
    return Text(a.tokens + b.tokens, a.chars + b.chars)


def _larger(*several: Text) -> Text:
    return Text(maximum(*(t.tokens for t in several)), maximum(*(t.chars for t in several)))


def _merge(names: Names, sides: list[Names]) -> None:
    """Names after an `if`: what any side set them to."""
    for name in dict.fromkeys(name for side in sides for name in side):
        joined: Abstract = NEVER
        for side in sides:
            joined = join(joined, side.get(name, NOTHING))
        names[name] = joined


def _unpack(targets: list[nodes.Expr], value: Abstract, names: Names) -> None:
    for target in targets:
        if isinstance(target, nodes.Name):
            names[target.name] = item(value) if isinstance(value, Items) else value


def _loop(rounds: Expr, each: Abstract) -> Fields:
    number = Number(rounds, ZERO)
    counters = ("index", "index0", "revindex", "revindex0", "length", "depth", "depth0")
    flags = (("first", PLAIN), ("last", PLAIN), ("previtem", each), ("nextitem", each))
    return Fields((*((name, number) for name in counters), *flags))


def _added(a: Abstract, b: Abstract) -> Abstract:
    match a, b:
        case Text(), Text():
            return _both(a, b)
        case Items(), Items():
            return Items(a.length + b.length, join(a.item, b.item))
    return _NUMBER


def _multiplied(a: Abstract, b: Abstract) -> Abstract:
    if isinstance(a, Text):
        times = high(b)
        return Text(a.tokens * times, a.chars * times)
    return _NUMBER


def _as_json(value: Abstract, args: list[Abstract]) -> Text:
    """As text in JSON; with an indentation each part stands on a line of its own."""
    text = written(value)
    if isinstance(value, Text):
        text = Text(ESCAPED * text.tokens + constant(2), ESCAPED * text.chars + constant(2))
    if args:
        widest = constant(1 + 8 * 60)
        text = Text(text.tokens + text.chars * widest, text.chars + text.chars * widest)
    return text
