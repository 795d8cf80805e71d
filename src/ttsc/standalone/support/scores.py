"""What a model makes of given text, without decoding."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ttsc.backends.protocol import EmbedRequest, RewardRequest, ScoreRequest, Turn
from ttsc.backends.sglang.prefill_answers import embedded, pool_body, rewarded, score_body, scored
from ttsc.runtime.failures import INVALID_ARGUMENT, REWARD_SHAPE, failed
from ttsc.runtime.scoring import step_ends
from ttsc.runtime.values import CandidateValue, Ids, as_candidate, generated_ids, ids_of_beginning, open_ids, prompt_ids
from ttsc.standalone.support.coming import there
from ttsc.standalone.support.job import Job
from ttsc.standalone.support.server import Server


async def logprobs(job: Job, server: Server, source: object, text: object = None) -> tuple[float, ...]:
    """Of each token of `text` after `source`; without a text, of each token that the candidate generated."""
    candidate, tokenizer = as_candidate(source), server.tokenizer
    if text is None:
        spans = [(prompt_ids(candidate.context, tokenizer), generated_ids(candidate, tokenizer))]
        return (await _scored(job, server, spans))[0]
    if not isinstance(text, str):
        raise failed(INVALID_ARGUMENT, f"the text to score must be a str; it is {text!r}")
    return (await _scored(job, server, [(_open(candidate, server), tuple(tokenizer.encode(text)))]))[0]


async def choices(job: Job, server: Server, source: object, texts: object) -> tuple[float, ...]:
    """For each text the sum of its tokens' log-probabilities after `source`."""
    if not isinstance(texts, list | tuple) or any(not isinstance(text, str) or not text for text in texts):
        raise failed(INVALID_ARGUMENT, f"choices must be a list of texts, none of them empty; they are {texts!r}")
    before = _open(as_candidate(source), server)
    found = await _scored(job, server, [(before, tuple(server.tokenizer.encode(str(text)))) for text in texts])
    return tuple(math.fsum(each) for each in found)


async def rewards(job: Job, server: Server, source: object, delimiter: object = None) -> tuple[float, ...]:
    """A reward model's output at the end of each step (`delimiter` ends it), or of the whole turn."""
    if delimiter is not None and (not isinstance(delimiter, str) or not delimiter):
        raise failed(INVALID_ARGUMENT, f"steps end with a text that is not empty, not with {delimiter!r}")
    candidate, tokenizer = as_candidate(source), server.tokenizer
    context, generated = prompt_ids(candidate.context, tokenizer), open_ids(candidate, tokenizer)
    if delimiter is None:
        prompts = [(*context, *generated, *_closing(server))]
    else:
        ends = step_ends(tokenizer.decode(generated), delimiter)
        prompts = [(*context, *ids_of_beginning(generated, end, tokenizer)[0]) for end in ends]
    read = [lambda answer, ids=ids: rewarded(RewardRequest("", ids), answer).values for ids in prompts]
    bodies = [_pooled(RewardRequest("", ids)) for ids in prompts]
    return tuple(_reward(values) for values in await _all(job, server, "/classify", prompts, bodies, read))


async def vector(job: Job, server: Server, text: object) -> tuple[float, ...]:
    """The embedding of a text."""
    if not isinstance(text, str):
        raise failed(INVALID_ARGUMENT, f"only a text can be embedded, not {text!r}")
    request = EmbedRequest("", tuple(server.tokenizer.encode(text)))
    read = [lambda answer: embedded(request, answer).vector]
    found: tuple[float, ...] = (await _all(job, server, "/encode", [request.input_ids], [_pooled(request)], read))[0]
    return found


def _open(source: CandidateValue, server: Server) -> Ids:
    """The conversation up to where something may be said next in the assistant's turn."""
    return (*prompt_ids(source.context, server.tokenizer), *open_ids(source, server.tokenizer))


def _closing(server: Server) -> Ids:
    """What ends an assistant's turn, up to and with the token that does."""
    following = server.tokenizer.extension_ids(False, [Turn("user", "")])
    ends = [place for place, token in enumerate(following) if token in server.tokenizer.eos_ids]
    return tuple(following[: ends[0] + 1]) if ends else ()


def _reward(values: Sequence[float]) -> float:
    match values:
        case (value,):
            return value
        case (first, second):
            return second - first
    raise failed(REWARD_SHAPE, f"the reward model gives {len(values)} numbers where a reward model gives one")


def _pooled(request: RewardRequest | EmbedRequest) -> dict[str, Any]:
    return {name: value for name, value in pool_body(request).items() if name != "rid"}


async def _scored(job: Job, server: Server, spans: Sequence[tuple[Ids, Ids]]) -> list[tuple[float, ...]]:
    """Log-probabilities of each span after what stands before it. Nothing is asked about an empty span."""
    asked = [ScoreRequest("", (*before, *span), len(before)) for before, span in spans if span]
    bodies = [score_body(request, server.tokenizer.eos_ids) for request in asked]
    read = [lambda answer, request=request: scored(request, answer).logprobs for request in asked]
    bodies = [{name: value for name, value in body.items() if name != "rid"} for body in bodies]
    found = iter(await _all(job, server, "/generate", [request.input_ids for request in asked], bodies, read))
    return [next(found) if span else () for _, span in spans]


async def _all(
    job: Job,
    server: Server,
    path: str,
    prompts: Sequence[Ids],
    bodies: Sequence[Mapping[str, Any]],
    read: Sequence[Any],
) -> list[Any]:
    """The answers in order. The longest prompts go first: what they share with others is computed once."""
    for ids in prompts:
        server.room_for(len(ids), 0)
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    tasks: dict[int, asyncio.Task[Any]] = {}
    for index in order:
        tasks[index] = job.later(job.ask(server, path, dict(bodies[index]), read[index], len(prompts[index])))
    return [await there(tasks[index]) for index in range(len(prompts))]
