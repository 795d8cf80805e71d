"""Abstract values: what is known of a value's size before it is there.

Every size is an upper bound, and every quantity that depends on sizes grows with them. Of numbers the lower end is kept
too, for differences and quotients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ttsc.compiler.bounds.expr import INFINITE, ZERO, Expr, at_least, maximum, minimum


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why something has no bound, for messages: `what` has any size. `way_out`: what the author can write."""

    what: str
    way_out: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """`none`, or an abstention."""


@dataclass(frozen=True, slots=True)
class Never(Nothing):
    """No value at all: what an empty list holds."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A bool, an image, a vector: nothing whose size matters."""


@dataclass(frozen=True, slots=True)
class Number:
    """An int or a float, at most `high` (rounded up), at least `low` (rounded down; None: nothing known)."""

    high: Expr
    low: Expr | None = None
    unknown: Unknown | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Text:
    """`tokens`: at most so many when encoded; `chars`: characters. `optional`: it may be none, which reads "none"."""

    tokens: Expr
    chars: Expr
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list: its length, and what its items have in common (`Never` if it is always empty)."""

    length: Expr
    item: Abstract
    unknown: Unknown | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Fields:
    """A record, a pair, or a node of a search tree."""

    fields: tuple[tuple[str, Abstract], ...]

    def get(self, name: str) -> Abstract | None:
        return dict(self.fields).get(name)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A context or a candidate. `prompt`: tokens before what was generated; `generated`: tokens since, in the ids that
    its model made; `text`: the same as text, encoded again; `scores`: how many step scores it has; `answer`.

    `until`: the text at which every generation of it stopped ("": there was none; None: they differ), and `stops` how
    often that occurs.
    """

    prompt: Expr
    generated: Expr = ZERO
    text: Text = Text(ZERO, ZERO)
    scores: Expr = ZERO
    answer: Text = Text(ZERO, ZERO, True)
    stops: Expr = ZERO
    until: str | None = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """A search tree of at most `nodes` nodes, with what their candidates have in common."""

    nodes: Expr
    candidate: Abstract


Abstract = Nothing | Plain | Number | Text | Items | Fields | Conversation | Tree

NOTHING = Nothing()
NEVER = Never()
PLAIN = Plain()


def number(high: Expr, low: Expr | None = ZERO) -> Number:
    return Number(high, low)


def join(a: Abstract, b: Abstract) -> Abstract:
    """What holds of a value that is one of the two. Of values of different kinds nothing is known."""
    if a == b:
        return _known_why(a, b)
    match a, b:
        case Never(), _:
            return b
        case _, Never():
            return a
        case Nothing(), Text(tokens, chars):
            return Text(tokens, chars, True)
        case Text(tokens, chars), Nothing():
            return Text(tokens, chars, True)
        case Nothing(), _:
            return b
        case _, Nothing():
            return a
        case Number(), Number():
            return Number(maximum(a.high, b.high), lowest(a.low, b.low), a.unknown or b.unknown)
        case Text(), Text():
            return Text(maximum(a.tokens, b.tokens), maximum(a.chars, b.chars), a.optional or b.optional)
        case Items(), Items():
            return Items(maximum(a.length, b.length), join(a.item, b.item), a.unknown or b.unknown)
        case Fields(fields), Fields():
            return Fields(tuple((name, join(value, b.get(name) or NOTHING)) for name, value in fields))
        case Conversation(), Conversation():
            return Conversation(
                maximum(a.prompt, b.prompt),
                maximum(a.generated, b.generated),
                _text(join(a.text, b.text)),
                maximum(a.scores, b.scores),
                _text(join(a.answer, b.answer)),
                maximum(a.stops, b.stops),
                a.until if b.until in (a.until, "") else b.until if a.until == "" else None,
            )
        case Tree(), Tree():
            return Tree(maximum(a.nodes, b.nodes), join(a.candidate, b.candidate))
        case Conversation(), _:
            return a
        case _, Conversation():
            return b
    return Text(INFINITE, INFINITE)


def _known_why(a: Abstract, b: Abstract) -> Abstract:
    """The one that says why it is unbounded."""
    if isinstance(a, Number | Items) and isinstance(b, Number | Items) and a.unknown is None:
        return b
    return a


def _text(value: Abstract) -> Text:
    assert isinstance(value, Text)
    return value


def lowest(a: Expr | None, b: Expr | None) -> Expr | None:
    """The smaller of two lower ends; None if they can't be compared."""
    if a is None or b is None:
        return None
    if a.infinite or at_least(a, b):
        return b
    if b.infinite or at_least(b, a):
        return a
    return minimum(a, b)


def leaves(value: Abstract, each: Callable[[Expr], Expr], low: Callable[[Expr | None], Expr | None]) -> Abstract:
    """The value with every size replaced, in a fixed order; `low` replaces the lower ends of numbers."""
    match value:
        case Nothing() | Plain():
            return value
        case Number(high, lower, unknown):
            return Number(each(high), low(lower), unknown)
        case Text(tokens, chars, optional):
            return Text(each(tokens), each(chars), optional)
        case Items(length, item, unknown):
            return Items(each(length), leaves(item, each, low), unknown)
        case Fields(fields):
            return Fields(tuple((name, leaves(inner, each, low)) for name, inner in fields))
        case Conversation():
            return Conversation(
                each(value.prompt),
                each(value.generated),
                _text(leaves(value.text, each, low)),
                each(value.scores),
                _text(leaves(value.answer, each, low)),
                each(value.stops),
                value.until,
            )
        case Tree(nodes, candidate):
            return Tree(each(nodes), leaves(candidate, each, low))


def shape(value: Abstract) -> Abstract:
    """The value with all sizes 0: what two values must share to be compared size by size."""
    return leaves(value, lambda _: ZERO, lambda _: ZERO)


def fitted(value: Abstract, into: Abstract) -> Abstract:
    """The value in the shape of another one that covers it: parts that it lacks have size 0."""
    return join(value, shape(into)) if shape(value) != into else value


UNBOUNDED = Number(INFINITE, None)
