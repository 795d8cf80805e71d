"""The values a running program handles.

Texts, numbers, booleans and none are Python's own; records are mappings; lists are tuples once complete (`Elements`,
which remembers why it is shorter than it could be). Contexts and candidates are one class: a context is a candidate
after which nothing was generated yet.

A candidate's prompt is ids, not text. The root of a conversation is rendered by the model's chat template; everything
after it is appended: the ids a candidate generated, then the ids that close its turn and add the next ones. So a
continuation's ids start with its parent's ids, and a radix cache matches them to the last token. Only when another
model's tokenizer made the ids are they rendered again, from text.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from ttsc.backends.protocol import Image, Tokenizer, Turn
from ttsc.compiler.values.abstain import Abstain
from ttsc.compiler.values.types import CANDIDATE_FIELDS
from ttsc.runtime.events import RunFailure

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ContextValue:
    """A prompt prefix: `turns` of a new conversation, or after what `base` generated. Rendered ids are kept per
    tokenizer. `images`: the pictures of the whole conversation, in the order of their marks in its turns.
    """

    turns: tuple[Turn, ...]
    base: CandidateValue | None = None
    images: tuple[Image, ...] = ()
    rendered: dict[int, tuple[Tokenizer, Ids]] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CandidateValue:
    """A context and what was generated after it.

    `tokens` counts tokens decoded or forced since the context, those of a delimiter that was cut off included, so it
    never falls while a candidate grows. `requests` is the lineage: the requests whose tokens these are, oldest first.
    `tokenizer` made the ids; None when nothing was generated. `known_logprobs`: one for each of the ids, None where it
    was forced or nobody asked for it; empty if all are None. `known_confidences`: likewise.
    """

    context: ContextValue
    ids: Ids = ()
    text: str = ""
    tokens: int = 0
    finish: str = ""
    score: float = 0.0
    model: str = ""
    index: int = 0
    requests: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = field(default=None, compare=False, repr=False)
    scores: tuple[float, ...] = ()
    answer: str | None = None
    temperature: float = 0.0
    known_logprobs: tuple[float | None, ...] = ()
    known_confidences: tuple[float | None, ...] = ()
    step: str = ""
    """What its last generation added."""

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Log-probabilities (natural logarithm) of the tokens that were decoded with `logprobs`, oldest first."""
        return tuple(each for each in self.known_logprobs if each is not None)

    @property
    def logprob(self) -> float:
        """Their sum; 0 if none is known."""
        return math.fsum(self.logprobs)

    @property
    def confidences(self) -> tuple[float, ...]:
        """How sure the model was of each token whose confidence was asked for, oldest first."""
        return tuple(each for each in self.known_confidences if each is not None)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped for want of confidence."""
        return self.finish == "below"

    @property
    def finished(self) -> bool:
        """Whether it ended by itself."""
        return self.finish == "eos"

    @property
    def truncated(self) -> bool:
        """Whether it was cut by max_tokens."""
        return self.finish == "length"


class Elements(tuple[object, ...]):
    """A complete list. `cause`: why an element that should have been here is missing, if one failed."""

    cause: RunFailure | None

    def __new__(cls, items: Iterable[object] = (), cause: RunFailure | None = None) -> Elements:
        self = super().__new__(cls, items)
        self.cause = cause
        return self


def add_turn(parent: object, turn: Turn, images: tuple[Image, ...] = ()) -> CandidateValue:
    """The context of `parent` (None, a context or a candidate) and one more turn, with the pictures in it."""
    if parent is None:
        return CandidateValue(ContextValue((turn,), images=images))
    candidate = as_candidate(parent)
    shown = (*candidate.context.images, *images)
    if candidate.ids or candidate.text:
        return CandidateValue(ContextValue((turn,), candidate, shown))
    return CandidateValue(ContextValue((*candidate.context.turns, turn), candidate.context.base, shown))


def as_candidate(value: object) -> CandidateValue:
    """A candidate as it is; a bare context as a candidate with nothing generated."""
    if isinstance(value, CandidateValue):
        return value
    if isinstance(value, ContextValue):
        return CandidateValue(value)
    raise TypeError(f"expected a context or a candidate, got {type(value).__name__}")


def prompt_ids(context: ContextValue, tokenizer: Tokenizer) -> Ids:
    """Ids of a context for one tokenizer. Walks up to the nearest context already rendered, so depth is no limit."""
    missing: list[ContextValue] = []
    at: ContextValue | None = context
    while at is not None and not _rendered(at, tokenizer):
        missing.append(at)
        at = at.base.context if at.base is not None else None
    for each in reversed(missing):
        if each.base is None:
            ids = tuple(tokenizer.chat_ids(each.turns))
        else:
            parent = (*prompt_ids(each.base.context, tokenizer), *generated_ids(each.base, tokenizer))
            ended = bool(parent) and parent[-1] in tokenizer.eos_ids
            ids = (*parent, *tokenizer.extension_ids(ended, each.turns))
        each.rendered[id(tokenizer)] = (tokenizer, ids)
    return context.rendered[id(tokenizer)][1]


def _rendered(context: ContextValue, tokenizer: Tokenizer) -> bool:
    return id(tokenizer) in context.rendered


def generated_ids(candidate: CandidateValue, tokenizer: Tokenizer) -> Ids:
    """What a candidate generated, as ids of `tokenizer`: its own ids, or its text encoded again."""
    made = candidate.tokenizer
    if made is None or made is tokenizer or made == tokenizer:
        return candidate.ids
    return tuple(tokenizer.encode(candidate.text))


def open_ids(candidate: CandidateValue, tokenizer: Tokenizer) -> Ids:
    """Generated ids to go on from within the same turn: without the token that ended it."""
    ids = generated_ids(candidate, tokenizer)
    end = len(ids)
    while end and ids[end - 1] in tokenizer.eos_ids:
        end -= 1
    return ids[:end]


def aligned(figures: tuple[float | None, ...], ids: Ids) -> tuple[float | None, ...]:
    """One figure (a log-probability, a confidence), or None, for each of a candidate's own ids."""
    return figures or (None,) * len(ids)


def known(figures: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """What a candidate keeps of such figures: nothing if none is known."""
    return figures if any(each is not None for each in figures) else ()


def grown(
    figures: tuple[float | None, ...], ids: Ids, before: Ids, decoded: tuple[float, ...], as_decoded: int, length: int
) -> tuple[float | None, ...]:
    """The figures of a candidate of `length` ids that continues one with `ids` and its `figures`: its own for `before`,
    which are these ids or the first of them, then those of `as_decoded` decoded ones. None for ids that no engine
    decoded.
    """
    if not decoded and not figures:
        return ()
    old = aligned(figures, ids)[: len(before)] if ids[: len(before)] == before else ()
    new = decoded[:as_decoded]
    return known((*old, *[None] * (len(before) - len(old)), *new, *[None] * (length - len(before) - len(new))))


def cut_delimiter(new_ids: Ids, delimiter: str, tokenizer: Tokenizer) -> tuple[Ids, int]:
    """`new_ids` without the delimiter and what follows it, and how many of them stayed as they were.

    Whole tokens before the delimiter stay as they were generated; only the part of a token that the delimiter begins in
    is encoded again.
    """
    at = tokenizer.decode(new_ids).find(delimiter) if delimiter else -1
    return (new_ids, len(new_ids)) if at < 0 else ids_of_beginning(new_ids, at, tokenizer)


def ids_of_beginning(ids: Ids, length: int, tokenizer: Tokenizer) -> tuple[Ids, int]:
    """Ids of the first `length` characters of what `ids` say, and how many of `ids` are among them as they were."""
    text = tokenizer.decode(ids)
    kept = bisect_right(range(1, len(ids) + 1), length, key=lambda n: len(tokenizer.decode(ids[:n])))
    while kept and not _is_prefix(tokenizer.decode(ids[:kept]), text, length):
        kept -= 1
    rest = text[len(tokenizer.decode(ids[:kept])) : length]
    return ((*ids[:kept], *tokenizer.encode(rest)) if rest else ids[:kept]), kept


def _is_prefix(part: str, text: str, limit: int) -> bool:
    return len(part) <= limit and text.startswith(part)


def public(candidate: CandidateValue) -> dict[str, object]:
    """A candidate as its documented fields."""
    named = {name: getattr(candidate, name) for name in CANDIDATE_FIELDS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in named.items()}


def plain(value: object) -> Any:
    """A value for templates, externs and results: candidates, nodes and records (also a host's dataclass) as dicts of
    their fields, a tree as its nodes, each with its parent's index; lists as lists, abstain as None.
    """
    match value:
        case Abstain():
            return None
        case CandidateValue():
            return public(value)
        case ContextValue():
            return public(CandidateValue(value))
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    if hasattr(value, "as_fields"):  # of a search tree, which most programs have not
        return plain(value.as_fields())
    if is_dataclass(value) and not isinstance(value, type | Image):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return value


def frozen(value: object) -> object:
    """A host's value as the program sees it: lists as tuples, all the way down."""
    if isinstance(value, Mapping):
        return {str(key): frozen(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, Elements):
        return tuple(frozen(each) for each in value)
    return value
