"""What the runtime asks of an engine, and nothing more.

An engine decodes token ids, and by its abilities scores given ones, rates or embeds a sequence, takes pictures, keeps
to a schema. Prompts, candidates and strategies are the compiler's business; the only text that crosses this line is
what a tokenizer of the model's own makes of it. Implementations: `backends/sglang` (a real server),
`backends/simulator` (virtual time, no model) and `backends/scripted` (a stub for unit tests and `test` blocks).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishKind = Literal["eos", "stop", "length", "abort", "below"]
"""How a request ended. "below" is said by no engine: the runtime stopped it for want of confidence."""
Role = Literal["system", "user", "assistant"]
Ability = Literal["generate", "score", "schema", "reward", "embed", "images"]
IMAGE = "\N{OBJECT REPLACEMENT CHARACTER}\N{FRAME WITH PICTURE}\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands in a turn's text where a picture is; the tokenizer writes the model's own placeholder there.

Whoever puts texts of others into turns takes it out of them first.
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """One chat message. `role` is what the model's own chat template is given; `IMAGE` in `text` marks a picture."""

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
    schema: str | None = None
    """A JSON schema (its text) that constrains decoding: the engine masks every token that would leave it.

    What is decoded up to `finish="eos"` is one JSON value that conforms, with an object's properties in the schema's
    order. Cut by `max_tokens` or a stop string it is the beginning of one. A schema that the engine cannot hold in
    full is refused (`RequestRefused`), not weakened. `seed` and `temperature` mean what they mean without it;
    `ignore_eos` is refused with it.
    """
    extra: tuple[tuple[str, str | int | float | bool], ...] = ()
    """Options of this engine that the language does not know (experts, block size), by the engine's own names.

    They are handed on as they are: an engine may ignore a name that it does not know.
    """


@dataclass(frozen=True, slots=True)
class Image:
    """One picture of a prompt: its bytes, and its media type (`image/png`)."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in a program a request comes from: what an engine that only simulates needs to say something fitting.

    `node`, `op`, `role`: of the plan's request. `index`: of the candidate. `site`: where in the program, equal from run
    to run. `input`: the number of the input.
    """

    node: str
    op: str
    role: str
    index: int
    site: str
    input: int


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One decode of one sequence.

    `request_id` is fixed-width and unique (SGLang matches ids by prefix). `input_ids` are the parent's ids plus new
    ones. With `stream`, progress is reported every `every` tokens or sooner; without, only the completion comes back.
    """

    request_id: str
    input_ids: tuple[int, ...]
    sampling: Sampling
    stream: bool = False
    logprobs: bool = False
    """Whether the completion reports the log-probability of each output token. Changes no token."""
    confidences: int = 0
    """Of how many most probable tokens each output token's confidence is made; 0 if nobody asks. Changes no token."""
    images: tuple[Image, ...] = ()
    """Pictures, in the order of their placeholders in `input_ids`: what the tokenizer makes of `IMAGE`.

    A continuation brings its parent's pictures along. The engine's `prompt_tokens` count what it makes of a picture,
    not the placeholder.
    """
    priority: int = 0
    """Greater is served first by an engine with `EngineInfo.priorities`; others ignore it."""
    first_token: bool = False
    """Report progress when the first token is there; without `stream` no more need be reported."""
    origin: Origin | None = None
    """Given to engines with `EngineInfo.simulated` only."""
    every: int = 1


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """The log-probabilities of `input_ids[start:]`, each given all ids before it. Nothing is decoded.

    `start` is at least 1: the first id has nothing before it. An empty span asks nothing of the engine.
    """

    request_id: str
    input_ids: tuple[int, ...]
    start: int
    priority: int = 0
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """`logprobs[i]` belongs to `input_ids[start + i]`.

    The natural logarithm of what the model itself gives it: at temperature 1, whatever the ids were sampled with, and
    without filters or masks. The part before the span comes from the prefix cache as far as it is there;
    `prompt_tokens - cached_tokens` is the prefill the server computed, which always has the span and the id before it.
    """

    request_id: str
    logprobs: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class RewardRequest:
    """The outputs of a reward model's head at the last of `input_ids`.

    For a process reward model the caller sends one request per step, each ending with its step: the later ones find
    the earlier ones in the prefix cache.
    """

    request_id: str
    input_ids: tuple[int, ...]
    priority: int = 0
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Rewarded:
    """Raw outputs of the head, one per label (most reward models have one): logits, no sigmoid, no softmax."""

    request_id: str
    values: tuple[float, ...]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """The embedding of a text's ids: what the model's own pooling makes of them, most often at the last one."""

    request_id: str
    input_ids: tuple[int, ...]
    priority: int = 0
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector as the engine gives it; nearly all models are served with vectors of length 1."""

    request_id: str
    vector: tuple[float, ...]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Tokens decoded so far by a streaming request: `tokens` counts them, `new_ids`, `confidences` are the newest."""

    request_id: str
    tokens: int
    new_ids: tuple[int, ...]
    confidences: tuple[float, ...] = ()


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
    logprobs: tuple[float, ...] | None = None
    """Natural logarithm of the probability of each of `output_ids`, if it was asked for: as many as there are ids.

    Of the distribution that the token was drawn from: after temperature (at temperature 0, as at 1) and after a
    schema's mask, but before top_p, top_k and min_p leave tokens out. What the model itself says of the tokens,
    whatever they were sampled with, is `Engine.score`'s answer.
    """
    confidences: tuple[float, ...] | None = None
    """The `confidence` of each of `output_ids`, if it was asked for: of what the model itself says, at temperature 1
    and before filters, whatever the ids were sampled with. An engine that only knows other figures refuses.
    """


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is known of an engine. `seeds_honoured`: equal seeds give equal tokens, whatever else is in the batch."""

    name: str
    model: str
    context_tokens: int
    seeds_honoured: bool
    page_tokens: int = 1
    device: str = ""
    abilities: frozenset[Ability] = frozenset({"generate", "score", "schema"})
    """What it can be asked for; anything else is refused with `AbilityMissing`.

    A server either generates (then it scores, too, and as a rule takes schemas) or serves a reward model or an
    embedding model: one of `reward` and `embed`, and neither of the others.
    """
    max_running: int | None = None
    """Sequences that it decodes in one batch at most."""
    kv_tokens: int | None = None
    """Tokens that its KV memory holds, prefix cache included."""
    priorities: bool = False
    """Whether it serves requests of greater priority first."""
    parameters: int | None = None
    """Parameters that every token goes through, embeddings left out; None if unknown."""
    simulated: bool = False
    """Whether no model is behind it: its requests say where they come from (`Origin`)."""
    details: dict[str, str] = field(default_factory=dict)

    @property
    def speaker(self) -> str:
        """Whose answers these are. What keeps answers goes by it, so that made-up ones are never taken for a model's,
        nor for those of another workload.
        """
        if not self.simulated:
            return self.model
        return f"{self.model} simulated with {self.details.get('workload', 'outcomes of its own')}"


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine is doing now. `running`, `waiting`: requests that decode, and that queue for it. `kv_used`: the
    part of its KV memory that running requests hold, 0 to 1.
    """

    running: int
    waiting: int
    kv_used: float


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
        """Decode one request to its end. Raises `EngineError`; an aborted request returns `finish="abort"`.

        Cancelling the task aborts on the engine, here as in the three below.
        """

    async def score(self, request: ScoreRequest) -> Scored:
        """Log-probabilities of given tokens, by prefill alone. Raises `EngineError`, also when it was aborted."""

    async def reward(self, request: RewardRequest) -> Rewarded:
        """A reward model's outputs. Raises `EngineError`: `AbilityMissing` where no such model is served."""

    async def embed(self, request: EmbedRequest) -> Embedded:
        """An embedding. Raises `EngineError`: `AbilityMissing` where no such model is served."""

    async def abort(self, request_ids: Sequence[str]) -> None:
        """Ask the engine to stop working on these requests of any kind. Unknown or ended ids are ignored."""

    async def load(self) -> Load | None:
        """What it is doing now; None if it does not say. Cheap, but a round trip. Raises `EngineError`."""

    async def probe(self) -> None:
        """Return if the engine is there and still the one that `info` describes. Raises `EngineUnavailable` if nothing
        answers, another `EngineError` if it is not the same: a server restarted with another model.
        """

    async def close(self) -> None:
        """Release connections. Does not stop a server that others may use."""


def confidence(top: Sequence[float]) -> float:
    """How sure a model was of a token: minus the mean of the log-probabilities `top` of the k most probable tokens at
    its place. Greater is surer (DeepConf, Fu et al. 2025: token confidence, k = 20).
    """
    return -math.fsum(top) / len(top)


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
    """Nothing answers, or it died. CLI exit code 5. `retryable`: it may come back; False where it is known that it
    won't.
    """

    code = "R0401"
    retryable = True


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


class AbilityMissing(EngineError):
    """What is served there cannot do what was asked: generate, score, reward, embed, take pictures, keep a schema."""

    code = "R0406"


class ModelNotFound(EngineError):
    """A model's name resolves to nothing."""

    code = "R0405"
