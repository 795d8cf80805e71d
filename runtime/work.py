"""What one request asks of an engine, and what its answer counts: decoding, or scoring of one of three kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

from ttsc.backends.protocol import (
    Ability,
    AbilityMissing,
    Completion,
    Embedded,
    EmbedRequest,
    Engine,
    EngineInfo,
    GenerateRequest,
    Image,
    Origin,
    Progress,
    Rewarded,
    RewardRequest,
    Sampling,
    Scored,
    ScoreRequest,
)
from ttsc.compiler.cost.units import TokenUse
from ttsc.runtime.bars import Bar

MOST_IMAGE_TOKENS = 16_384
"""Reserved for each picture of a prompt: only the engine knows how many tokens it becomes."""

_GIVES: dict[Ability, str] = {
    "generate": "generate text",
    "score": "give log-probabilities",
    "reward": "give rewards",
    "embed": "give embeddings",
    "images": "take pictures",
    "schema": "keep to a JSON schema",
}


@dataclass(frozen=True, slots=True)
class Decoding:
    sampling: Sampling
    stream: bool = False
    logprobs: bool = False
    images: tuple[Image, ...] = ()
    confidences: int = 0
    """Of how many most probable tokens each token's confidence is made; 0 if nobody asks."""
    bar: Bar | None = None
    """It is stopped when its confidence falls below."""


@dataclass(frozen=True, slots=True)
class Scoring:
    """The prompt's own log-probabilities from `start` (an index of its ids) on."""

    start: int


@dataclass(frozen=True, slots=True)
class Rewarding:
    """A reward model's output at the end of the prompt."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of the prompt."""


Work = Decoding | Scoring | Rewarding | Embedding
Answer = Completion | Scored | Rewarded | Embedded


@dataclass(frozen=True, slots=True)
class Tally:
    """What an answer says that it took."""

    finish: str
    prompt_tokens: int
    cached_tokens: int = 0
    completion_tokens: int = 0
    output_ids: tuple[int, ...] = ()
    scored_tokens: int = 0
    matched: str | int | None = None
    logprobs: tuple[float, ...] | None = None
    confidences: tuple[float, ...] | None = None
    values: tuple[float, ...] = ()
    """What was scored: log-probabilities, rewards, or the vector."""

    @property
    def computed(self) -> int:
        """Tokens the engine computed: those of the prompt that it did not have, and those it decoded."""
        return max(0, self.prompt_tokens - self.cached_tokens) + self.completion_tokens

    @property
    def use(self) -> TokenUse:
        return TokenUse(self.prompt_tokens, self.cached_tokens, self.completion_tokens, self.scored_tokens)


def kind_of(work: Work) -> Literal["generate", "score", "reward", "embed"]:
    match work:
        case Decoding():
            return "generate"
        case Scoring():
            return "score"
        case Rewarding():
            return "reward"
        case Embedding():
            return "embed"
        case _:
            assert_never(work)


def ability(work: Work, info: EngineInfo) -> None:
    """Raise `AbilityMissing` if the engine cannot do this, before it is asked."""
    needed: list[Ability] = [kind_of(work)]
    if isinstance(work, Decoding):
        needed += ["images"] if work.images else []
        needed += ["schema"] if work.sampling.schema is not None else []
    for each in needed:
        if each not in info.abilities:
            raise AbilityMissing(
                f"{info.model} cannot {_GIVES[each]} as {info.name} serves it",
                "bind this model role to an engine that can, with --engine ROLE=URL or --model ROLE=NAME",
            )


def most_tokens(work: Work, ids: tuple[int, ...]) -> int:
    """The most tokens the engine may compute for it."""
    if isinstance(work, Decoding):
        return len(ids) + work.sampling.max_tokens + MOST_IMAGE_TOKENS * len(work.images)
    return len(ids)


def most_use(work: Work, ids: tuple[int, ...]) -> TokenUse:
    """The most that it may take of an engine that has nothing of it in its cache."""
    match work:
        case Decoding(sampling, images=images):
            return TokenUse(len(ids) + MOST_IMAGE_TOKENS * len(images), 0, sampling.max_tokens)
        case Scoring(start):
            return TokenUse(len(ids), scored=len(ids) - start)
        case Rewarding() | Embedding():
            return TokenUse(len(ids))
        case _:
            assert_never(work)


async def perform(
    engine: Engine,
    request_id: str,
    ids: tuple[int, ...],
    work: Work,
    on_progress: Callable[[Progress], None],
    leads: bool,
    priority: int = 0,
    origin: Origin | None = None,
) -> Answer:
    """Ask the engine. `leads`: others wait for the first token, so it has to be seen. `priority`: for engines that
    serve the greater ones first. `origin`: for engines that simulate.
    """
    match work:
        case Decoding():
            streams = work.stream or work.bar is not None
            seen = streams or leads
            request = GenerateRequest(
                request_id,
                ids,
                work.sampling,
                streams,
                work.logprobs,
                work.confidences,
                work.images,
                priority,
                leads,
                origin,
                1 if work.bar is None else work.bar.every,
            )
            return await engine.generate(request, on_progress if seen else None)
        case Scoring(start):
            return await engine.score(ScoreRequest(request_id, ids, start, priority, origin))
        case Rewarding():
            return await engine.reward(RewardRequest(request_id, ids, priority, origin))
        case Embedding():
            return await engine.embed(EmbedRequest(request_id, ids, priority, origin))
        case _:
            assert_never(work)


def tally(answer: Answer) -> Tally:
    match answer:
        case Completion():
            return Tally(
                answer.finish,
                answer.prompt_tokens,
                answer.cached_tokens,
                answer.completion_tokens,
                answer.output_ids,
                matched=answer.matched,
                logprobs=answer.logprobs,
                confidences=answer.confidences,
            )
        case Scored(logprobs=values):
            return Tally("done", answer.prompt_tokens, answer.cached_tokens, scored_tokens=len(values), values=values)
        case Rewarded(values=values) | Embedded(vector=values):
            return Tally("done", answer.prompt_tokens, values=values)
        case _:
            assert_never(answer)
