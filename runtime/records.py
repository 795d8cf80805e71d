"""What is known of a run before it asks: sites, and the records that answer at them.

A site names a request or a call of one input: its node, the rounds and indices of the regions around it, and its
index among the node's requests. It is the same in every run of a program at one level with one seed, so an answer that
was kept at a site (`journal.py`, `replay.py`) stands for the one that an engine would give there.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, assert_never

from ttsc.backends.protocol import Completion, Embedded, Image, Rewarded, Scored
from ttsc.compiler.values.abstain import ABSTAINED, Abstain
from ttsc.runtime.leases import Promise
from ttsc.runtime.work import Answer, Decoding, Embedding, Rewarding, Scoring, Work, kind_of

if TYPE_CHECKING:
    from ttsc.compiler.ir.nodes import Extern
    from ttsc.runtime.events import RunFailure
    from ttsc.runtime.failures import RunFailed
    from ttsc.runtime.flights import Ticket
    from ttsc.runtime.run import Run
    from ttsc.runtime.session import Lane

_IMAGE = "$image"
_ABSTAIN = "$abstain"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a request or a call is. `path`: as a scope's; a text in it is the key of an offline region."""

    node: str
    path: tuple[int | str, ...] = ()
    index: int = 0

    @property
    def shared(self) -> bool:
        """Whether it is within an offline region, which any input may be the one to compute."""
        return any(isinstance(step, str) for step in self.path)

    def __str__(self) -> str:
        """`%answer@0/3#2`: element 2 of the node `%answer`, in element 3 of round 0."""
        place = "/".join(map(str, self.path))
        return f"{self.node}{'@' if place else ''}{place}#{self.index}"


class Flying(Protocol):
    """What a run needs of a request under way; `flights.Flight` is one."""

    outcome: Promise

    def on_over(self, landed: Callable[[], None]) -> None:
        """Have `landed` called when nothing of it is left; at once if nothing is."""

    def abandon(self) -> None: ...

    def expire(self, error: RunFailed) -> None: ...

    def promote(self) -> None: ...


class Records(Protocol):
    """Answers that are known before anything is asked. A session has at most one."""

    def begin(self, run: Run) -> None:
        """The run of an input begins."""

    def flight(self, run: Run, lane: Lane, ticket: Ticket) -> Flying | None:
        """The request's outcome from the records, or None: it has to be asked."""

    def answered(self, ticket: Ticket, answer: Answer) -> None:
        """An engine has given an answer that ended by itself."""

    def call(self, run: Run, site: Site, node: Extern, arguments: Sequence[object]) -> Awaitable[object] | None:
        """The value of an extern's call from the records (it may raise `RunFailed`), or None: it has to be made."""

    def calling(self, run: Run, site: Site, node: Extern, arguments: Sequence[object]) -> Awaitable[None]:
        """The call of an environment is about to begin: wait until that is on record."""

    def called(
        self, run: Run, site: Site, node: Extern, arguments: Sequence[object], value: object, error: RunFailure | None
    ) -> None:
        """A call has ended with a value, or with a failure of its own."""

    def deadline(self, run: Run) -> bool:
        """Whether the records say when the run's time is over; else its own clock does."""


def prompt_digest(ids: Sequence[int], work: Work) -> str:
    """Of everything that decides an answer: the prompt, and what is asked about it. 32 hexadecimal digits."""
    what: object = kind_of(work)
    match work:
        case Decoding(sampling, logprobs=logprobs, images=images, confidences=most, bar=bar):
            what = (sampling, logprobs, [blake2b(each.data, digest_size=16).hexdigest() for each in images])
            what = (*what, most, bar) if most else what
        case Scoring(start):
            what = ("score", start)
        case _:
            pass
    state = _digested(tuple(ids)).copy()
    state.update(repr(what).encode())
    return state.hexdigest()


@lru_cache(maxsize=64)
def _digested(ids: tuple[int, ...]) -> blake2b:
    """Siblings have the same prompt."""
    return blake2b(array("q", ids).tobytes(), digest_size=16)


def answer_of(
    work: Work,
    request_id: str,
    *,
    finish: str,
    output_ids: Sequence[int] = (),
    matched: str | int | None = None,
    prompt_tokens: int = 0,
    cached_tokens: int = 0,
    completion_tokens: int = 0,
    logprobs: Sequence[float] | None = None,
    confidences: Sequence[float] | None = None,
    values: Sequence[float] = (),
) -> Answer:
    """An answer from what an event or a journal has of it. Undoes `work.tally`."""
    numbers = tuple(values)
    match work:
        case Decoding():
            return Completion(
                request_id,
                tuple(output_ids),
                finish,  # type: ignore[arg-type]
                matched,
                prompt_tokens,
                cached_tokens,
                completion_tokens,
                logprobs=None if logprobs is None else tuple(logprobs),
                confidences=None if confidences is None else tuple(confidences),
            )
        case Scoring():
            return Scored(request_id, numbers, prompt_tokens, cached_tokens)
        case Embedding():
            return Embedded(request_id, numbers, prompt_tokens)
        case Rewarding():
            return Rewarded(request_id, numbers, prompt_tokens)
        case _:
            assert_never(work)


class NotRecordable(Exception):
    """The value holds something that lives only inside a run."""


def to_json(value: object) -> Any:
    """A value as JSON data that `from_json` undoes, pictures whole. Raises `NotRecordable`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Abstain():
            return {_ABSTAIN: True}
        case Image(data, media_type):
            return {_IMAGE: [media_type, base64.b64encode(data).decode()]}
        case Mapping():
            return {str(name): to_json(each) for name, each in value.items()}
        case list() | tuple():
            return [to_json(each) for each in value]
    raise NotRecordable(type(value).__name__)


def recordable(values: Mapping[str, object]) -> dict[str, Any]:
    """Those of some named values that can be recorded, as JSON data."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        with suppress(NotRecordable):
            found[name] = to_json(value)
    return found


def from_json(data: Any) -> Any:
    """The value; lists as lists, as a host gives them."""
    if isinstance(data, dict):
        if set(data) == {_IMAGE}:
            media_type, encoded = data[_IMAGE]
            return Image(base64.b64decode(encoded), media_type)
        return ABSTAINED if set(data) == {_ABSTAIN} else {name: from_json(each) for name, each in data.items()}
    return [from_json(each) for each in data] if isinstance(data, list) else data
