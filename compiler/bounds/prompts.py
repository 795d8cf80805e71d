"""Sizes of prompts and candidates: what turns, forced texts, cuts and generations do to a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ttsc.compiler.bounds.domain import Abstract, Conversation, Items, Number, Text
from ttsc.compiler.bounds.expr import INFINITE, ONE, ZERO, Expr, constant, maximum, minimum
from ttsc.compiler.bounds.operations import length
from ttsc.compiler.bounds.sources import MAX_TEXT_BYTES, Count
from ttsc.compiler.bounds.templates import message
from ttsc.compiler.bounds.text_sizes import written
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.values.types import IMAGE, ListOf

STEPS = constant(3)
"""Ends of steps in a generation that stops at the delimiter: that one, one more in the same token, one at the seam."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the language does not know of models. docs/bounds.md says what each is for.

    count: tokens of a text (None: bytes). turn_tokens: what the chat template adds to each turn, chat_tokens to each
    new conversation. reencoding: tokens that a generated token's text may have when it is encoded again.
    image_tokens: tokens of an image.
    """

    count: Count
    turn_tokens: int
    chat_tokens: int
    reencoding: int
    image_tokens: int


class Prompts:
    """The arithmetic of conversations. `one_model`: there is one tokenizer, so ids are never made again from text."""

    def __init__(self, assumed: Assumptions, *, one_model: bool) -> None:
        self._assumed = assumed
        self._again = constant(assumed.reencoding)
        self._one_model = one_model

    def turn(self, node: ir.Turn, parent: Abstract, args: Sequence[Abstract]) -> Conversation:
        """The conversation after one more message."""
        assumed = self._assumed
        named = {name: value for (name, _), value in zip(node.args, args, strict=True)}
        text = message(node.template, named, assumed.count, node.literal)
        added = text.tokens + constant(assumed.turn_tokens)
        for (_, value), size in zip(node.args, args, strict=True):
            if value.type == IMAGE:
                added = added + constant(assumed.image_tokens)
            elif value.type == ListOf(IMAGE):
                added = added + length(size) * constant(assumed.image_tokens)
        if not isinstance(parent, Conversation):
            return Conversation(constant(assumed.chat_tokens) + added)
        before = self.carried(parent)
        closing = ZERO if before == ZERO else constant(assumed.turn_tokens)
        return Conversation(parent.prompt + before + closing + added)

    def carried(self, candidate: Conversation) -> Expr:
        """What was generated, as ids for a further request: another model encodes the text again."""
        return candidate.generated if self._one_model else maximum(candidate.generated, candidate.text.tokens)

    def sent(self, candidate: Conversation) -> Expr:
        """A request's prompt. One without a smaller bound counts as the longest that any engine would take."""
        prompt = candidate.prompt + self.carried(candidate)
        return constant(MAX_TEXT_BYTES) if prompt.infinite else prompt

    def forced(self, candidate: Conversation, value: Abstract) -> Conversation:
        """A text, or a list of ids, appended to what was generated."""
        if isinstance(value, Items):
            ids = value.length
            added = Text(self._again * ids, INFINITE)
        else:
            added = written(value)
            ids = added.tokens
        both = Text(candidate.text.tokens + added.tokens, candidate.text.chars + added.chars)
        return replace(candidate, generated=candidate.generated + ids, text=both, until=None)

    def cut(self, candidate: Conversation, at: Abstract) -> Conversation:
        """The first of the ids there were; of one that a text ends within, the part before is encoded again."""
        if not isinstance(at, Number):
            return replace(candidate, generated=candidate.generated + self._slack())
        kept = minimum(candidate.generated, at.high)
        tokens = minimum(candidate.text.tokens, self._again * kept)
        return replace(candidate, generated=kept, text=Text(tokens, candidate.text.chars))

    def said(self, candidate: Conversation, tokens: Expr, until: str, *, dropped: bool) -> Conversation:
        """After at most so many tokens more. `until`: the text at which they stop, and whether it is cut off."""
        return Conversation(
            candidate.prompt,
            candidate.generated + tokens + (self._slack() if dropped else ZERO),
            Text(candidate.text.tokens + self._again * tokens, INFINITE),
            candidate.scores,
            candidate.answer,
            candidate.stops + STEPS,
            until if until and candidate.until in ("", until) else None,
        )

    def steps(self, candidate: Conversation, delimiter: str) -> Expr:
        """How many parts end with the delimiter, or with the text; elsewhere a token may end two."""
        if candidate.until and candidate.until == delimiter:
            return candidate.stops + ONE
        tokens = candidate.text.tokens
        return constant(2) * (constant(MAX_TEXT_BYTES) if tokens.infinite else tokens) + ONE

    def _slack(self) -> Expr:
        """A token of which a part is left, encoded again."""
        return ZERO if self._again == ONE else self._again
