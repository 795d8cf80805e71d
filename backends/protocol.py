"""What the runtime asks of an engine, and nothing more.

An engine decodes token ids. Prompts, candidates and strategies are the compiler's business; the only text that
crosses this line is what a tokenizer of the model's own makes of it. Implementations: `backends/sglang` (a real server)
and `backends/scripted` (a stub for unit tests and `test` blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishKind = Literal["eos", "stop", "length", "abort"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One chat message. `role` is what the model's own chat template is given."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of one request. `seed` is honoured only by a deterministic engine (see `EngineInfo`)."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One decode of one sequence.

    `request_id` is fixed-width and unique (SGLang matches ids by prefix). `input_ids` are the parent's ids plus new
    ones. With `stream`, progress is reported as tokens arrive; without, only the completion comes back.
    """

    request_id: str
    input_ids: tuple[int, ...]
    sampling: Sampling
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Tokens decoded so far by a streaming request: `tokens` counts them, `new_ids` are those since the last report."""

    request_id: str
    tokens: int
    new_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """What a request ended with, as the server reports it.

    `output_ids` includes the end-of-sequence token or the stop string's tokens when the engine produced them.
    `prompt_tokens - cached_tokens` is the prefill the server computed. `completion_tokens` counts every decoded token,
    also those of an aborted request. `matched` is the stop string, or the id of the end token.
    """

    request_id: str
    output_ids: tuple[int, ...]
    finish: FinishKind
    matched: str | int | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    server_latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is known of an engine. `seeds_honoured`: equal seeds give equal tokens, whatever else is in the batch."""

    name: str
    model: str
    context_tokens: int
    seeds_honoured: bool
    page_tokens: int = 1
    device: str = ""
    details: dict[str, str] = field(default_factory=dict)


class Tokenizer(Protocol):
    """The model's own tokenizer and chat template."""

    @property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a turn."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, without special tokens added."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation up to where the assistant speaks next. A last assistant turn is left open."""

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        """Ids that close an assistant's turn and add `turns`, up to where the assistant speaks next.

        They are appended to the parent's ids, never re-encoded with them. `ended`: the parent's ids already hold the
        token that ends a turn.
        """


class Engine(Protocol):
    """One engine, shared by everything in flight. All methods are safe to call concurrently on one event loop."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        """Decode one request to its end. Raises `EngineError`; an aborted request returns `finish="abort"`."""

    async def abort(self, request_ids: Sequence[str]) -> None:
        """Ask the engine to stop decoding these requests. Unknown or ended ids are ignored."""

    async def close(self) -> None:
        """Release connections. Does not stop a server that others may use."""


class EngineError(Exception):
    """An engine could not do what was asked. `hint` says what the user can do; `retryable` what the executor may do."""

    code = "R0400"
    retryable = False

    def __init__(self, message: str, hint: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after_s = retry_after_s


class EngineUnavailable(EngineError):
    """Nothing answers, or it died. CLI exit code 5."""

    code = "R0401"


class RequestFailed(EngineError):
    """This request failed on the server; the engine as such lives. Retried with backoff."""

    code = "R0402"
    retryable = True


class RequestRefused(EngineError):
    """The server will never accept this request."""

    code = "R0403"


class ContextTooLong(RequestRefused):
    """Prompt plus max_tokens exceed the model's context."""

    code = "R0404"


class ModelNotFound(EngineError):
    """A model's name resolves to nothing."""

    code = "R0405"
