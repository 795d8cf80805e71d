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

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from ttsc.backends.protocol import Tokenizer, Turn
from ttsc.compiler.values.types import CANDIDATE_FIELDS
from ttsc.runtime.events import RunFailure

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ContextValue:
    """A prompt prefix: `turns` of a new conversation, or after what `base` generated. Rendered ids are kept per
    tokenizer.
    """

    turns: tuple[Turn, ...]
    base: CandidateValue | None = None
    rendered: dict[int, tuple[Tokenizer, Ids]] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CandidateValue:
    """A context and what was generated after it.

    `tokens` counts tokens decoded or forced since the context, those of a delimiter that was cut off included, so it
    never falls while a candidate grows. `requests` is the lineage: the requests whose tokens these are, oldest first.
    `tokenizer` made the ids; None when nothing was generated.
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


def add_turn(parent: object, turn: Turn) -> CandidateValue:
    """The context of `parent` (None, a context or a candidate) and one more turn."""
    if parent is None:
        return CandidateValue(ContextValue((turn,)))
    candidate = as_candidate(parent)
    if candidate.ids or candidate.text:
        return CandidateValue(ContextValue((turn,), candidate))
    return CandidateValue(ContextValue((*candidate.context.turns, turn), candidate.context.base))


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


def cut_delimiter(new_ids: Ids, delimiter: str, tokenizer: Tokenizer) -> Ids:
    """`new_ids` without the delimiter and what follows it.

    Whole tokens before the delimiter stay as they were generated; only the part of a token that the delimiter begins in
    is encoded again.
    """
    text = tokenizer.decode(new_ids)
    at = text.find(delimiter) if delimiter else -1
    if at < 0:
        return new_ids
    kept = len(new_ids)
    while kept and not _is_prefix(tokenizer.decode(new_ids[:kept]), text, at):
        kept -= 1
    rest = text[len(tokenizer.decode(new_ids[:kept])) : at]
    return (*new_ids[:kept], *tokenizer.encode(rest)) if rest else new_ids[:kept]


def _is_prefix(part: str, text: str, limit: int) -> bool:
    return len(part) <= limit and text.startswith(part)


def public(candidate: CandidateValue) -> dict[str, object]:
    """The fields of a candidate that a program may name."""
    return {name: getattr(candidate, name) for name in CANDIDATE_FIELDS}


def plain(value: object) -> Any:
    """A value for templates, externs and results: candidates and records as dicts, lists as lists."""
    if isinstance(value, CandidateValue):
        return public(value)
    if isinstance(value, ContextValue):
        return public(CandidateValue(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return value


def frozen(value: object) -> object:
    """A host's value as the program sees it: lists as tuples, all the way down."""
    if isinstance(value, Mapping):
        return {str(key): frozen(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, Elements):
        return tuple(frozen(each) for each in value)
    return value
