"""What a pure operation does to sizes. Of what an operation that is not named here gives, only the type is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ttsc.compiler.bounds import numbers
from ttsc.compiler.bounds.domain import (
    NEVER,
    NOTHING,
    PLAIN,
    Abstract,
    Conversation,
    Fields,
    Items,
    Nothing,
    Number,
    Text,
    Tree,
    Unknown,
    join,
)
from ttsc.compiler.bounds.expr import INFINITE, ONE, ZERO, Expr, ceil_div, constant, minimum, pairs
from ttsc.compiler.bounds.sources import foreign, tree_node
from ttsc.compiler.bounds.text_sizes import RECASED, fields_of, head, written
from ttsc.compiler.values.types import INT, ListOf, OptionalOf, Type

Args = Sequence[Abstract]
Rule = Callable[[Args, Type, str], Abstract | None]
"""The result's size from those of the arguments, the result's type and `attr`. None: not known for these arguments."""

_SPLIT = Unknown("the number of parts of a text", "take the first few: `|> take(8)`, or `split(…)[0]`")


def applied(op: str, attr: str, args: Args, type_: Type) -> Abstract:
    """The size of `op(args)`."""
    rule = RULES.get(op)
    result = rule(args, type_, attr) if rule is not None else None
    if result is None:
        result = foreign("", type_, f"what `{op}` gives", lambda _: INFINITE)
    return result


def item(value: Abstract) -> Abstract:
    return value.item if isinstance(value, Items) else NEVER


def length(value: Abstract) -> Expr:
    match value:
        case Items():
            return value.length
        case Tree():
            return value.nodes
        case Nothing():
            return ZERO
    return INFINITE


def why(*values: Abstract) -> Unknown | None:
    return next((v.unknown for v in values if isinstance(v, Items | Number) and v.unknown is not None), None)


def field(value: Abstract, name: str) -> Abstract | None:
    match value:
        case Fields():
            return value.get(name)
        case Conversation():
            return fields_of(value).get(name)
        case Nothing():
            return value
    return None


# --- lists ----------------------------------------------------------------------------------------------------------


def _items(args: Args, size: Callable[[Expr], Expr]) -> Abstract | None:
    source = args[0]
    if isinstance(source, Nothing):
        return Items(ZERO, NEVER)
    return Items(size(source.length), source.item, source.unknown) if isinstance(source, Items) else None


def _averages(args: Args, type_: Type, attr: str) -> Abstract | None:
    """No more of them than there are numbers."""
    source = args[0]
    return Items(source.length, numbers.average(args), source.unknown) if isinstance(source, Items) else None


def _same(args: Args, type_: Type, attr: str) -> Abstract | None:
    return args[0] if isinstance(args[0], Items) else None


def _reversed(args: Args, type_: Type, attr: str) -> Abstract | None:
    return args[0] if isinstance(args[0], Items | Text) else None


def _add(args: Args, type_: Type, attr: str) -> Abstract | None:
    match args[0], args[1]:
        case Text() as a, Text() as b:
            return Text(a.tokens + b.tokens, a.chars + b.chars)
        case (Items() | Nothing()) as a, (Items() | Nothing()) as b:
            return Items(length(a) + length(b), join(item(a), item(b)), why(a, b))
    return numbers.add(args)


def _head(args: Args, type_: Type, attr: str) -> Abstract | None:
    n = numbers.high(args[1])
    if isinstance(args[0], Text):
        return head(args[0], n)
    source = args[0]
    if not isinstance(source, Items):
        return None
    return Items(
        minimum(source.length, n), source.item, None if source.length.infinite and not n.infinite else why(*args)
    )


def _range(args: Args, type_: Type, attr: str) -> Abstract | None:
    if len(args) == 1:
        top = numbers.high(args[0])
        return Items(top, Number(top, ZERO), why(*args))
    size = numbers.sub((args[1], args[0]))
    return Items(size.high, Number(numbers.high(args[1]), numbers.low(args[0])), why(*args))


def _taken(args: Args, type_: Type, attr: str) -> Abstract | None:
    """One of the items, or one of the further arguments."""
    if isinstance(args[0], Text):
        return args[0]
    result = item(args[0])
    for other in args[1:]:
        if not isinstance(other, Number):
            result = join(result, other)
    return result


def _one(args: Args, type_: Type, attr: str) -> Abstract | None:
    return item(args[0]) if len(args) == 1 else join(item(args[0]), args[1])


def _list(args: Args, type_: Type, attr: str) -> Abstract | None:
    inner: Abstract = NEVER
    for each in args:
        inner = join(inner, each)
    return Items(constant(len(args)), inner)


def _pairs(first: Abstract, second: Abstract, size: Expr, unknown: Unknown | None) -> Items:
    return Items(size, Fields((("first", first), ("second", second))), unknown)


def _zip(args: Args, type_: Type, attr: str) -> Abstract | None:
    a, b = args
    size = minimum(length(a), length(b))
    return _pairs(item(a), item(b), size, why(a, b) if size.infinite else None)


def _cross(args: Args, type_: Type, attr: str) -> Abstract | None:
    return _pairs(item(args[0]), item(args[1]), length(args[0]) * length(args[1]), why(*args))


def _enumerate(args: Args, type_: Type, attr: str) -> Abstract | None:
    return _pairs(Number(length(args[0]), ZERO), item(args[0]), length(args[0]), why(*args))


def _pairs_of(size: Callable[[Expr], Expr], *, always: bool) -> Rule:
    """Pairs of a list's own items; unless `always`, the second may be none."""

    def rule(args: Args, type_: Type, attr: str) -> Abstract | None:
        source = args[0]
        made = size(length(source))
        return _pairs(item(source), item(source) if always else join(item(source), NOTHING), made, why(source))

    return rule


def _pair(args: Args, type_: Type, attr: str) -> Abstract | None:
    return Fields((("first", args[0]), ("second", args[1])))


def _record(args: Args, type_: Type, attr: str) -> Abstract | None:
    return Fields(tuple(zip(attr.split(","), args, strict=True)))


def _flatten(args: Args, type_: Type, attr: str) -> Abstract | None:
    inner = item(args[0])
    return Items(length(args[0]) * length(inner), item(inner), why(args[0], inner))


def _groups(args: Args, type_: Type, attr: str) -> Abstract | None:
    source = args[0]
    return Items(length(source), Items(length(source), item(source), why(source)), why(source))


def _copies(args: Args, type_: Type, attr: str) -> Abstract | None:
    return Items(numbers.high(args[1]), args[0], why(args[1]))


def _count(args: Args, type_: Type, attr: str) -> Abstract | None:
    size = args[0].chars if isinstance(args[0], Text) else length(args[0])
    return Number(size, ZERO, why(args[0]) or Unknown("the length of a generated text"))


def _split(args: Args, type_: Type, attr: str) -> Abstract | None:
    text = args[0]
    if not isinstance(text, Text):
        return None
    return Items(text.chars + ONE, Text(text.tokens, text.chars), _SPLIT)


def _join(args: Args, type_: Type, attr: str) -> Abstract | None:
    pieces = item(args[0])
    if isinstance(pieces, Nothing):
        return Text(ZERO, ZERO)
    between = args[1] if len(args) > 1 and isinstance(args[1], Text) else Text(ZERO, ZERO)
    if not isinstance(pieces, Text):
        return None
    count = length(args[0])
    return Text(count * (pieces.tokens + between.tokens), count * (pieces.chars + between.chars))


# --- text, optionals, candidates ------------------------------------------------------------------------------------


def _part(args: Args, type_: Type, attr: str) -> Abstract | None:
    """A part of the text, or none if the type says so."""
    text = args[0]
    if not isinstance(text, Text):
        return None
    return Text(text.tokens, text.chars, isinstance(type_, OptionalOf))


def _canonical(args: Args, type_: Type, attr: str) -> Abstract | None:
    """A number as it is in the text, or with a zero before its point."""
    text = args[0]
    return Text(text.tokens + ONE, text.chars + ONE, True) if isinstance(text, Text) else None


def _recased(args: Args, type_: Type, attr: str) -> Abstract | None:
    text = args[0]
    return Text(RECASED * text.tokens, RECASED * text.chars) if isinstance(text, Text) else None


def _pieces(args: Args, type_: Type, attr: str) -> Abstract | None:
    """Lines or words: no more than there are characters."""
    text = args[0]
    return Items(text.chars, text, _SPLIT) if isinstance(text, Text) else None


def _replaced(args: Args, type_: Type, attr: str) -> Abstract | None:
    """Each character may begin what is replaced; the new text takes its place."""
    text, _, new = args
    if not isinstance(text, Text) or not isinstance(new, Text):
        return None
    return Text(text.tokens + text.chars * new.tokens, text.chars + text.chars * new.chars)


def _to_str(args: Args, type_: Type, attr: str) -> Abstract | None:
    value = args[0]
    return written(value.text if isinstance(value, Conversation) else value)


def _or_else(args: Args, type_: Type, attr: str) -> Abstract | None:
    value = args[0]
    return args[1] if isinstance(value, Nothing) else join(_present(args, type_, attr) or NOTHING, args[1])


def _present(args: Args, type_: Type, attr: str) -> Abstract | None:
    """The value, now known not to be none."""
    value = args[0]
    return Text(value.tokens, value.chars) if isinstance(value, Text) else value


def _field(args: Args, type_: Type, attr: str) -> Abstract | None:
    return field(args[0], attr)


def _same_candidate(args: Args, type_: Type, attr: str) -> Abstract | None:
    return args[0]


def _with_scores(args: Args, type_: Type, attr: str) -> Abstract | None:
    if not isinstance(args[0], Conversation):
        return args[0]
    return replace(args[0], scores=length(args[1]))


def _with_answer(args: Args, type_: Type, attr: str) -> Abstract | None:
    if not isinstance(args[0], Conversation):
        return args[0]
    answer = args[1] if isinstance(args[1], Text) else Text(ZERO, ZERO)
    return replace(args[0], answer=Text(answer.tokens, answer.chars, True))


def _parsed(args: Args, type_: Type, attr: str) -> Abstract | None:
    """A record that a model wrote: its texts are parts of what it wrote, with the escapes of JSON undone."""
    source = args[0].text if isinstance(args[0], Conversation) else args[0]
    if isinstance(source, Items):
        inner = _parsed([source.item], type_.item if isinstance(type_, ListOf) else type_, attr)
        return Items(source.length, inner or NEVER, source.unknown)
    tokens = source.tokens if isinstance(source, Text) else INFINITE
    return foreign("", type_, "what a model writes", lambda _: tokens)


def _parse_failure(args: Args, type_: Type, attr: str) -> Abstract | None:
    """A reason names a place, perhaps with a name that the model wrote, and what was expected there."""
    source = args[0]
    said = source if isinstance(source, Text) else Text(ZERO, ZERO)
    return Text(said.tokens + constant(len(attr.encode()) + 200), INFINITE)


# --- search trees ---------------------------------------------------------------------------------------------------


def _tree(args: Args, type_: Type, attr: str) -> Abstract | None:
    return Tree(ONE, args[0])


def _expand(args: Args, type_: Type, attr: str) -> Abstract | None:
    tree, nodes, pools = args
    if not isinstance(tree, Tree):
        return None
    inner = item(pools)
    new, added = inner, length(pools)
    if isinstance(inner, Items):
        new, added = inner.item, length(pools) * length(inner)
    return Tree(tree.nodes + added, join(tree.candidate, new))


def _tree_candidates(args: Args, type_: Type, attr: str) -> Abstract | None:
    if not isinstance(args[0], Tree):
        return None
    nodes = isinstance(type_, ListOf) and str(type_.item) == "Node"
    return Items(args[0].nodes, tree_node(args[0].nodes, args[0].candidate) if nodes else args[0].candidate)


def _plain(args: Args, type_: Type, attr: str) -> Abstract | None:
    return PLAIN


def _floordiv(args: Args, type_: Type, attr: str) -> Abstract | None:
    return numbers.floordiv(args, whole=type_ == INT)


def _numeric(rule: Callable[[Args], Number]) -> Rule:
    return lambda args, type_, attr: rule(args)


RULES: dict[str, Rule] = {
    "add": _add, "head": _head, "take": _head, "range": _range, "item": _taken, "one": _one, "list": _list,
    "last": _taken, "drop": _same, "reverse": _reversed, "sort": _same, "shuffle": _same, "maximal": _same,
    "distinct": _same, "unique": _same, "zip": _zip, "cross": _cross, "enumerate": _enumerate,
    "pairs": _pairs_of(lambda n: ceil_div(n, constant(2)), always=False),
    "combinations": _pairs_of(pairs, always=True), "flatten": _flatten,
    "cluster_by": _groups, "cluster_same": _groups, "cluster_near": _groups, "prune": _same,
    "copies": _copies, "count": _count,
    "length": _count, "split": _split, "join": _join,
    "strip": _part, "find": _part, "find_last": _part, "last_boxed": _part, "last_number": _canonical,
    "lower": _recased, "upper": _recased, "replace": _replaced, "to_str": _to_str, "or_else": _or_else,
    "lines": _pieces, "words": _pieces, "pair": _pair, "record": _record, "known": _present, "require": _present,
    "checked": _same_candidate, "parse_failure": _parse_failure, "missing": _plain, "done": _plain,
    "uncounted": _tree_candidates, "field": _field, "with_score": _same_candidate,
    "with_scores": _with_scores, "with_answer": _with_answer,
    "parse": _parsed, "tree": _tree, "expand": _expand, "backpropagate": _same_candidate,
    "leaves": _tree_candidates, "candidates": _tree_candidates,
    "nearest_words": lambda args, type_, attr: _head((args[0], args[-1]), type_, attr),
    "nearest_vectors": lambda args, type_, attr: _head((args[0], args[-1]), type_, attr),
    "sub": _numeric(numbers.sub), "mul": _numeric(numbers.mul), "div": _numeric(numbers.div),
    "floordiv": _floordiv, "mod": _numeric(numbers.mod), "neg": _numeric(numbers.neg),
    "abs": _numeric(numbers.absolute), "round": _numeric(numbers.rounded), "clamp": _numeric(numbers.clamp),
    "to_int": _numeric(numbers.converted), "to_float": _numeric(numbers.converted),
    "minimum": _taken, "maximum": _taken, "mean": _numeric(numbers.average),
    "median": _numeric(numbers.average), "quantile": _numeric(numbers.average), "windows": _averages,
    "lowest": _same, "sum": _numeric(numbers.total),
    "weibull_upper": lambda args, type_, attr: Items(length(args[0]), numbers.share(())),
    "sigmoid": _numeric(numbers.share), "percentile": _numeric(numbers.share), "conformal_p": _numeric(numbers.share),
}  # fmt: skip
"""By operation."""

for _name in ("eq", "ne", "lt", "le", "gt", "ge", "not", "and", "or", "in", "contains", "starts_with", "ends_with"):
    RULES[_name] = _plain
