"""How large a value is as text, in a prompt or in `to_str`."""

from __future__ import annotations

from ttsc.compiler.bounds.domain import Abstract, Conversation, Fields, Items, Nothing, Number, Plain, Text, Tree
from ttsc.compiler.bounds.expr import INFINITE, ZERO, Expr, constant, maximum, minimum
from ttsc.compiler.bounds.sources import SHORT, written_number

ESCAPED = constant(6)
"""What a token of text may become in JSON: a control character is written with six."""
RECASED = constant(3)
"""What a token of text may become in upper or lower case."""
NONE = constant(7)
"""`none`, `null` and `abstain`."""
FALSE = constant(7)


def written(value: Abstract) -> Text:
    """`{{ value }}`: text as it is, everything with parts as JSON."""
    match value:
        case Text(tokens, chars, optional):
            return Text(maximum(tokens, NONE), maximum(chars, NONE)) if optional else Text(tokens, chars)
        case Nothing():
            return Text(NONE, NONE)
        case Plain():
            return Text(FALSE, FALSE)
        case Number():
            return Text(written_number(value), written_number(value))
        case Items() | Fields() | Conversation() | Tree():
            return Text(_json(value, chars=False), _json(value, chars=True))


def _json(value: Abstract, *, chars: bool) -> Expr:
    """JSON is ASCII but for what the texts in it hold, so what is added counts alike as characters and as tokens."""
    match value:
        case Text(tokens, characters):
            return ESCAPED * (characters if chars else tokens) + NONE
        case Nothing() | Plain():
            return FALSE
        case Number():
            return written_number(value)
        case Items(length, item):
            return length * (_json(item, chars=chars) + constant(2)) + NONE
        case Fields(fields):
            total = NONE
            for name, each in fields:
                total = total + constant(len(name.encode()) + 6) + _json(each, chars=chars)
            return total
        case Conversation():
            return _json(fields_of(value), chars=chars)
        case Tree():
            return INFINITE


def fields_of(value: Conversation) -> Fields:
    """A candidate as a prompt's template sees it. Lists of figures are as long as what was generated."""
    short = Text(SHORT, SHORT)
    number = Number(INFINITE)
    return Fields(
        (
            ("text", value.text),
            ("step", value.text),
            ("tokens", Number(value.generated, ZERO)),
            ("finish", short),
            ("finished", Plain()),
            ("truncated", Plain()),
            ("stopped", Plain()),
            ("score", number),
            ("scores", Items(value.scores, number)),
            ("answer", value.answer),
            ("logprob", number),
            ("logprobs", Items(value.generated, number)),
            ("confidences", Items(value.generated, number)),
            ("temperature", number),
            ("index", number),
            ("model", short),
        )
    )


def head(text: Text, n: Expr) -> Text:
    """The first `n` characters: of at most four bytes each."""
    return Text(minimum(text.tokens, constant(4) * n), minimum(text.chars, n), text.optional)
