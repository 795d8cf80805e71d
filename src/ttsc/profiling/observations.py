"""What is measured of an engine: times, and what they are times of."""

from __future__ import annotations

from dataclasses import dataclass, field

from ttsc.compiler.cost.steps import Chunk


@dataclass(frozen=True, slots=True)
class DecodeSpan:
    """`steps` decode steps of `rows` sequences that hold `context` tokens together before the first of them."""

    rows: int
    context: int
    steps: int
    seconds: float

    @property
    def reads(self) -> float:
        """Tokens read by attention, summed over the steps."""
        return self.steps * self.context + self.rows * self.steps * (self.steps + 1) / 2


@dataclass(frozen=True, slots=True)
class PrefillBatch:
    """One prefill batch, from when the scheduler formed it until its last prompt's first token was there."""

    chunks: tuple[Chunk, ...]
    seconds: float

    @property
    def tokens(self) -> int:
        return sum(chunk.new for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Settling:
    """What a burst of `requests` takes between its first tokens and its answers, beside its decode steps."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Apart:
    """Seconds until a server had sent on the last of as many requests as `messages`: in one message, and in as many."""

    messages: int
    together_s: float
    apart_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """From asking for `requests` in one message until the scheduler began with them."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Departure:
    """From the last token of `requests` that end in one step until all their answers had come."""

    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Streamed:
    """The same burst of `tokens` tokens in all, reported one by one and not."""

    tokens: int
    plain_s: float
    stream_s: float


@dataclass(slots=True)
class Measured:
    """Everything that was timed. Arrivals and departures are those of a small program, from its start and to its end;
    `direct` ones those of requests that no program asked for.
    """

    decode: list[DecodeSpan] = field(default_factory=list)
    prefill: list[PrefillBatch] = field(default_factory=list)
    settling: list[Settling] = field(default_factory=list)
    apart: list[Apart] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    departures: list[Departure] = field(default_factory=list)
    direct_arrivals: list[Arrival] = field(default_factory=list)
    direct_departures: list[Departure] = field(default_factory=list)
    streamed: list[Streamed] = field(default_factory=list)
