"""What a real SGLang gives besides tokens: log-probabilities, scores of given tokens, JSON by a schema.

The numbers are compared with the model itself, computed by transformers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from ttsc.backends.protocol import (
    AbilityMissing,
    Completion,
    ContextTooLong,
    EmbedRequest,
    GenerateRequest,
    RequestRefused,
    RewardRequest,
    Sampling,
    ScoreRequest,
    Turn,
)
from ttsc.backends.sglang.client import SGLangEngine

pytestmark = pytest.mark.timeout(900)
torch = pytest.importorskip("torch")
jsonschema = pytest.importorskip("jsonschema")

CLOSE = 2e-3
"""Absolute difference of log-probabilities computed by two programs in float32."""
QUESTION = Turn("user", "Describe one person as JSON, with name, age, tags, score, kind and boss.")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 8}, "minItems": 1, "maxItems": 3},
        "score": {"type": "number"},
        "kind": {"enum": ["a", "b"]},
        "boss": {"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]},
    },
    "required": ["name", "age", "tags", "score", "kind", "boss"],
    "additionalProperties": False,
}

_numbers = itertools.count()
_run = f"{time.time_ns():x}"


def rid() -> str:
    return f"score-{_run}-{next(_numbers):06}"


@cache
def model_of(path: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def by_the_model(engine: SGLangEngine, ids: Sequence[int], start: int, temperature: float = 1.0) -> list[float]:
    """The log-probabilities of `ids[start:]` by transformers."""
    with torch.no_grad():
        logits = model_of(engine.info.model)(torch.tensor([list(ids)])).logits[0].double()
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    return [float(logprobs[place - 1, ids[place]]) for place in range(start, len(ids))]


def fresh_ids(engine: SGLangEngine) -> list[int]:
    """A prompt that no test has sent."""
    return engine.tokenizer.chat_ids([Turn("user", f"{next(_numbers)} {_run}: which animals live in the sea?")])


async def idle(engine: SGLangEngine, within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if (await engine.counters())["sglang:num_running_reqs"] == 0:
            return True
        await asyncio.sleep(0.2)
    return False


# -- scores of given tokens -----------------------------------------------------------------------------------------


async def test_scores_are_the_models_own(engine: SGLangEngine) -> None:
    prompt = fresh_ids(engine)
    ids = (*prompt, *engine.tokenizer.encode("Whales, dolphins and many fish live in the sea."))
    scored = await engine.score(ScoreRequest(rid(), ids, len(prompt)))
    assert scored.logprobs == pytest.approx(by_the_model(engine, ids, len(prompt)), abs=CLOSE)
    assert scored.prompt_tokens == len(ids)
    whole = await engine.score(ScoreRequest(rid(), ids, 1))
    assert whole.logprobs == pytest.approx(by_the_model(engine, ids, 1), abs=CLOSE)


async def test_scores_are_the_same_whatever_is_cached_and_in_the_batch(engine: SGLangEngine) -> None:
    prompt = fresh_ids(engine)
    ids = (*prompt, *engine.tokenizer.encode("Whales and fish."))
    cold = await engine.score(ScoreRequest(rid(), ids, len(prompt)))
    assert cold.cached_tokens < len(prompt) - 2
    together = await asyncio.gather(*(engine.score(ScoreRequest(rid(), ids, len(prompt))) for _ in range(4)))
    for warm in together:
        assert warm.cached_tokens == len(prompt) - 1, "all before the span, less the token that predicts its first"
        assert warm.logprobs == pytest.approx(cold.logprobs, abs=1e-4)
    again = await engine.generate(GenerateRequest(rid(), ids, Sampling(max_tokens=1)))
    assert again.cached_tokens == len(ids) - 1, "a scored sequence is in the cache"


async def test_a_score_decodes_nothing_and_is_cut_off_when_cancelled(engine: SGLangEngine) -> None:
    before = await engine.counters()
    ids = tuple(7 + place % 900 for place in range(1500))
    started = [asyncio.create_task(engine.score(ScoreRequest(rid(), (number, *ids), 1400))) for number in range(20, 32)]
    await asyncio.sleep(0.3)
    cut = sum(not each.done() for each in started)
    assert cut > 6, "the last of them must be waiting still"
    for each in started:
        each.cancel()
    await asyncio.gather(*started, return_exceptions=True)
    assert await idle(engine, within_s=60)
    after = await engine.counters()
    decoded, aborted = "sglang:generation_tokens_total", "sglang:num_aborted_requests_total"
    assert after.get(decoded, 0.0) == before.get(decoded, 0.0)
    assert after[aborted] - before.get(aborted, 0.0) > 6


async def test_a_sequence_that_is_too_long_is_told_with_its_numbers(engine: SGLangEngine) -> None:
    most = engine.info.context_tokens
    for length in (most, most + 100):
        with pytest.raises(ContextTooLong, match=f"{length} tokens does not fit.*{most}"):
            await engine.score(ScoreRequest(rid(), (5,) * length, length - 3))


# -- log-probabilities of what is decoded ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampling", "temperature"),
    [
        (Sampling(max_tokens=12, temperature=0.0, ignore_eos=True), 1.0),
        (Sampling(max_tokens=12, temperature=1.0, seed=4, ignore_eos=True), 1.0),
        (Sampling(max_tokens=12, temperature=0.6, seed=4, ignore_eos=True), 0.6),
        (Sampling(max_tokens=12, temperature=0.6, top_p=0.7, top_k=20, min_p=0.05, seed=4, ignore_eos=True), 0.6),
    ],
)
async def test_logprobs_are_after_temperature_and_before_filters(
    engine: SGLangEngine, sampling: Sampling, temperature: float
) -> None:
    ids = tuple(fresh_ids(engine))
    plain = await engine.generate(GenerateRequest(rid(), ids, sampling))
    assert plain.logprobs is None
    whole = await engine.generate(GenerateRequest(rid(), ids, sampling, logprobs=True))
    streamed = await engine.generate(GenerateRequest(rid(), ids, sampling, True, logprobs=True))
    assert whole.output_ids == streamed.output_ids == plain.output_ids, "asking changes no token"
    assert whole.logprobs is not None
    assert whole.logprobs == pytest.approx(streamed.logprobs, abs=1e-4)
    expected = by_the_model(engine, (*ids, *whole.output_ids), len(ids), temperature)
    assert whole.logprobs == pytest.approx(expected, abs=CLOSE)
    if temperature == 1.0:
        scored = await engine.score(ScoreRequest(rid(), (*ids, *whole.output_ids), len(ids)))
        assert whole.logprobs == pytest.approx(scored.logprobs, abs=1e-3)


async def test_logprobs_of_a_mixed_batch_and_of_the_end(engine: SGLangEngine) -> None:
    ids = tuple(engine.tokenizer.chat_ids([Turn("user", "What is 2+2? Answer in one sentence.")]))
    requests = [
        GenerateRequest(rid(), ids, Sampling(max_tokens=40, temperature=t, seed=3), number % 2 == 0, number != 1)
        for number, t in enumerate((0.0, 0.0, 0.5, 1.0))
    ]
    results = await asyncio.gather(*(engine.generate(request) for request in requests))
    assert results[0].finish == "eos"
    assert results[1].logprobs is None
    for result, t in zip(results, (1.0, None, 0.5, 1.0), strict=True):
        if t is not None:
            expected = by_the_model(engine, (*ids, *result.output_ids), len(ids), t)
            assert result.logprobs == pytest.approx(expected, abs=CLOSE)


async def test_an_aborted_stream_has_one_logprob_a_token(engine: SGLangEngine) -> None:
    ids = tuple(fresh_ids(engine))
    enough = asyncio.Event()
    sampling = Sampling(max_tokens=1500, ignore_eos=True, seed=1)
    request = GenerateRequest(rid(), ids, sampling, True, logprobs=True)
    running = asyncio.create_task(engine.generate(request, lambda p: enough.set() if p.tokens > 5 else None))
    await asyncio.wait_for(enough.wait(), 120)
    await engine.abort([request.request_id])
    result = await asyncio.wait_for(running, 60)
    assert result.finish == "abort"
    assert result.logprobs is not None
    assert len(result.logprobs) == len(result.output_ids) == result.completion_tokens


# -- schemas --------------------------------------------------------------------------------------------------------


def ask_for(engine: SGLangEngine, schema: Any, *, stream: bool = False, **options: Any) -> GenerateRequest:
    ids = tuple(engine.tokenizer.chat_ids([QUESTION]))
    sampling = Sampling(**{"max_tokens": 300, "temperature": 1.0, "schema": json.dumps(schema), **options})
    return GenerateRequest(rid(), ids, sampling, stream)


async def test_what_a_schema_constrains_conforms(engine: SGLangEngine) -> None:
    assert "schema" in engine.info.abilities
    requests = [ask_for(engine, PERSON, seed=seed, temperature=0.4 * seed, stream=seed > 3) for seed in range(6)]
    results = await asyncio.gather(*(engine.generate(request) for request in requests))
    texts = [engine.tokenizer.decode(result.output_ids) for result in results]
    compact = "compact" in engine.info.details["schema"]
    for result, text in zip(results, texts, strict=True):
        assert result.finish == "eos", text
        value = json.loads(text)
        jsonschema.Draft202012Validator(PERSON).validate(value)
        assert list(value) == list(PERSON["properties"]), "in the schema's order"
        if compact:
            assert "\n" not in text and "  " not in text.replace(json.dumps(value["name"], ensure_ascii=False), "")
    assert len(set(texts)) == len(texts)


async def test_seeds_mean_the_same_with_a_schema(engine: SGLangEngine) -> None:
    requests = [ask_for(engine, PERSON, seed=seed) for seed in (3, 4, 3)]
    together = await asyncio.gather(*(engine.generate(request) for request in requests))
    alone = await engine.generate(ask_for(engine, PERSON, seed=3))
    assert together[0].output_ids == together[2].output_ids == alone.output_ids != together[1].output_ids


async def test_a_schema_beside_free_requests_touches_only_its_own(engine: SGLangEngine) -> None:
    ids = tuple(fresh_ids(engine))
    free = Sampling(max_tokens=24, temperature=1.0, seed=5, ignore_eos=True)
    alone = await engine.generate(GenerateRequest(rid(), ids, free))
    beside: Sequence[Completion] = await asyncio.gather(
        engine.generate(GenerateRequest(rid(), ids, free)), engine.generate(ask_for(engine, PERSON, seed=1))
    )
    assert beside[0].output_ids == alone.output_ids
    jsonschema.Draft202012Validator(PERSON).validate(json.loads(engine.tokenizer.decode(beside[1].output_ids)))


async def test_a_value_that_max_tokens_cuts_is_its_beginning(engine: SGLangEngine) -> None:
    whole = await engine.generate(ask_for(engine, PERSON, seed=8))
    cut = await engine.generate(ask_for(engine, PERSON, seed=8, max_tokens=9))
    assert (cut.finish, cut.output_ids) == ("length", whole.output_ids[:9])


async def test_a_schema_that_would_be_weakened_is_refused(engine: SGLangEngine) -> None:
    for schema, why in (({"type": "strin"}, "strin"), ({"type": "integer", "multipleOf": 3}, "multipleOf")):
        with pytest.raises(RequestRefused, match=f"cannot decode by this schema.*{why}"):
            await engine.generate(ask_for(engine, schema))


async def test_aborts_meet_requests_whose_schema_is_new(engine: SGLangEngine) -> None:
    """Some are still compiling theirs, some decode: each ends as aborted, and none is left."""
    requests = []
    for number in range(12):
        properties = {f"field{number}_{part}": {"enum": [f"{_run} {i}" for i in range(40)]} for part in range(20)}
        schema = {"type": "object", "properties": properties, "required": sorted(properties)}
        requests.append(ask_for(engine, schema, max_tokens=1500, seed=number))
    running = [asyncio.create_task(engine.generate(request)) for request in requests]
    for wait_s, some in ((0.0, requests[:4]), (0.02, requests[4:8]), (0.3, requests[8:])):
        await asyncio.sleep(wait_s)
        await engine.abort([request.request_id for request in some])
    results = await asyncio.wait_for(asyncio.gather(*running), 120)
    assert {result.finish for result in results} == {"abort"}
    assert await idle(engine)


async def test_options_the_engine_does_not_know_do_no_harm(engine: SGLangEngine) -> None:
    sampling = Sampling(max_tokens=4, temperature=0.0, extra=(("block_size", 8), ("expert", "math"), ("on", True)))
    ids = tuple(fresh_ids(engine))
    result = await engine.generate(GenerateRequest(rid(), ids, sampling))
    assert (await engine.generate(GenerateRequest(rid(), ids, Sampling(4, 0.0)))).output_ids == result.output_ids


async def test_a_model_that_generates_neither_rates_nor_embeds(engine: SGLangEngine) -> None:
    with pytest.raises(AbilityMissing, match="cannot rate"):
        await engine.reward(RewardRequest(rid(), (5, 6)))
    with pytest.raises(AbilityMissing, match="cannot embed"):
        await engine.embed(EmbedRequest(rid(), (5, 6)))
