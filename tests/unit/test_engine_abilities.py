"""What engines can do besides decoding: scores, rewards, embeddings, schemas, pictures, log-probabilities.

The client against the stub server. The scripted engine's are in `test_scripted.py`; what a real SGLang makes of the
requests is in `tests/engine/test_scores.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ttsc.backends.protocol import (
    IMAGE,
    AbilityMissing,
    ContextTooLong,
    Embedded,
    EmbedRequest,
    EngineError,
    GenerateRequest,
    Image,
    RequestFailed,
    RequestRefused,
    Rewarded,
    RewardRequest,
    Sampling,
    Scored,
    ScoreRequest,
    Turn,
)
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.connection import Connection
from ttsc.backends.sglang.serverinfo import engine_info
from ttsc.backends.sglang.tokenizer import load_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
from fake_sglang import Behaviour, Fault, StubServer, stub_logprob, stub_pooled, stub_tokens  # noqa: E402
from test_client import NoTokenizer  # noqa: E402
from test_tokenizer import CHATML, save  # noqa: E402

IDS = (5, 6, 7, 8, 9)
REWARD = Behaviour(architecture="LlamaForSequenceClassification", pooled_dimensions=1)
SCHEMA = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})


async def attach(stub: StubServer, tokenizer: Any = None) -> SGLangEngine:
    connection = Connection(stub.url)
    facts = await engine_info(connection)
    return SGLangEngine(connection, facts.info, tokenizer or NoTokenizer())


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
async def engine(stub: StubServer) -> AsyncIterator[SGLangEngine]:
    attached = await attach(stub)
    yield attached
    await attached.close()


# -- scores ---------------------------------------------------------------------------------------------------------


async def test_a_score_is_a_prefill_that_leaves_the_prefix_to_the_cache(stub: StubServer, engine: SGLangEngine) -> None:
    await engine.generate(GenerateRequest("warm", IDS[:4], Sampling(max_tokens=0)))
    result = await engine.score(ScoreRequest("s0001", IDS, 3))
    assert result == Scored("s0001", (stub_logprob(8, 3), stub_logprob(9, 4)), 5, 2)
    body = stub.bodies[-1]
    assert (body["return_logprob"], body["logprob_start_len"], body["input_ids"]) == (True, 2, list(IDS))
    assert body["sampling_params"]["max_new_tokens"] == 0


async def test_an_empty_span_asks_nothing(stub: StubServer, engine: SGLangEngine) -> None:
    assert await engine.score(ScoreRequest("s0001", IDS, 5)) == Scored("s0001", (), 0, 0)
    assert not stub.bodies


@pytest.mark.parametrize("start", [0, -1, 6])
async def test_a_span_needs_something_before_it(stub: StubServer, engine: SGLangEngine, start: int) -> None:
    with pytest.raises(RequestRefused, match=f"from position {start} on of 5"):
        await engine.score(ScoreRequest("s0001", IDS, start))
    assert not stub.bodies


@pytest.mark.parametrize(
    "answer",
    [
        b'{"meta_info": {"prompt_tokens": 5}}',
        b'{"meta_info": {"prompt_tokens": 5, "input_token_logprobs": [[null, 7, null], [-1.0, 8, null]]}}',
        b'{"meta_info": {"prompt_tokens": 5, "input_token_logprobs": [[null, 7, 0], [-1.0, 8, 0], [-1.0, 8, 0]]}}',
        b'{"meta_info": {"prompt_tokens": 5, "input_token_logprobs": [[null, 7, 0], [-1.0, 8, 0], [null, 9, 0]]}}',
        b'{"meta_info": {"prompt_tokens": 5, "input_token_logprobs": [[null, 7, 0], [-1.0, 8, 0], ["x", 9, 0]]}}',
        b'{"meta_info": {"input_token_logprobs": [[null, 7, 0], [-1.0, 8, 0], [-1.0, 9, 0]]}}',
        b"[]",
        b"{}",
    ],
)
async def test_scores_that_do_not_fit_the_span_are_no_scores(
    engine: SGLangEngine, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    async def compute(path: str, body: object, asked: object) -> AsyncIterator[bytes]:
        yield answer

    monkeypatch.setattr(engine._connection, "compute", compute)
    with pytest.raises(RequestFailed) as caught:
        await engine.score(ScoreRequest("s0001", IDS, 3))
    assert caught.value.retryable


# -- rewards and embeddings -----------------------------------------------------------------------------------------


async def test_a_reward_model_gives_its_raw_output() -> None:
    with StubServer(REWARD) as stub:
        engine = await attach(stub)
        assert engine.info.abilities == {"reward"}
        assert await engine.reward(RewardRequest("w0001", IDS)) == Rewarded("w0001", tuple(stub_pooled([*IDS], 1)), 5)
        assert (stub.bodies[-1]["path"], stub.bodies[-1]["rid"]) == ("/classify", "w0001")
        await engine.close()


async def test_an_embedding_model_gives_its_vector() -> None:
    with StubServer(Behaviour(pooled_dimensions=3)) as stub:
        engine = await attach(stub)
        assert engine.info.abilities == {"embed"}
        assert await engine.embed(EmbedRequest("e0001", IDS)) == Embedded("e0001", tuple(stub_pooled([*IDS], 3)), 5)
        assert stub.bodies[-1]["path"] == "/encode"
        await engine.close()


Ask = Callable[[SGLangEngine], Any]
ASKS: dict[str, tuple[Behaviour, Ask]] = {
    "score": (Behaviour(), lambda engine: engine.score(ScoreRequest("x0001", IDS * 4, 3))),
    "reward": (REWARD, lambda engine: engine.reward(RewardRequest("x0001", IDS * 4))),
    "embed": (Behaviour(pooled_dimensions=3), lambda engine: engine.embed(EmbedRequest("x0001", IDS * 4))),
}


def behaving(kind: str, **more: Any) -> Behaviour:
    base = ASKS[kind][0]
    return Behaviour(architecture=base.architecture, pooled_dimensions=base.pooled_dimensions, **more)


@pytest.mark.parametrize("kind", ASKS)
async def test_their_errors_are_those_of_a_generation(kind: str) -> None:
    ask = ASKS[kind][1]
    with StubServer(behaving(kind)) as stub:
        engine = await attach(stub)
        for fault in (Fault("status", status=503), Fault("malformed"), Fault("drop")):
            stub.faults.append(fault)
            with pytest.raises(RequestFailed):
                await ask(engine)
        stub.faults.append(Fault("status", status=400, message="no"))
        with pytest.raises(RequestRefused):
            await ask(engine)
        assert (await ask(engine)).prompt_tokens == 20
        await engine.close()


@pytest.mark.parametrize("kind", ASKS)
async def test_a_sequence_that_is_too_long_is_told_with_its_numbers(kind: str) -> None:
    with StubServer(behaving(kind, context_tokens=20)) as stub:
        engine = await attach(stub)
        with pytest.raises(ContextTooLong) as caught:
            await ASKS[kind][1](engine)
        assert caught.value.message == "a sequence of 20 tokens does not fit the model's context of 20 tokens"
        assert "max_tokens" not in caught.value.hint
        await engine.close()


@pytest.mark.parametrize("kind", ASKS)
async def test_cancelled_ones_abort_on_the_server(kind: str) -> None:
    with StubServer(behaving(kind, pool_delay_s=3600.0, waiting_first=1)) as stub:
        engine = await attach(stub)
        running = asyncio.create_task(ASKS[kind][1](engine))
        while not stub.running:
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await engine.close()
        assert stub.aborted == 1
        assert not stub.running


@pytest.mark.parametrize("kind", ASKS)
async def test_aborted_ones_have_no_result(kind: str) -> None:
    with StubServer(behaving(kind, pool_delay_s=3600.0, waiting_first=1)) as stub:
        engine = await attach(stub)
        running = asyncio.create_task(ASKS[kind][1](engine))
        while not stub.running:
            await asyncio.sleep(0.01)
        await engine.abort(["x0001"])
        with pytest.raises(EngineError, match="aborted") as caught:
            await asyncio.wait_for(running, 5)
        assert not caught.value.retryable
        await engine.close()


# -- log-probabilities of what is decoded ----------------------------------------------------------------------------


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_each_output_token_has_its_logprob(incremental: bool, stream: bool) -> None:
    with StubServer(Behaviour(incremental=incremental)) as stub:
        engine = await attach(stub)
        request = GenerateRequest("r0001", IDS, Sampling(max_tokens=6, seed=1), stream, logprobs=True)
        result = await engine.generate(request)
        assert result.logprobs == tuple(stub_logprob(token, 5 + n) for n, token in enumerate(stub_tokens(1, 6)))
        assert stub.bodies[-1]["return_logprob"] is True
        assert "logprob_start_len" not in stub.bodies[-1], "the prompt's would keep its prefix from the cache"
        plain = await engine.generate(GenerateRequest("r0002", IDS, Sampling(max_tokens=6, seed=1), stream))
        assert plain.logprobs is None
        assert "return_logprob" not in stub.bodies[-1]
        await engine.close()


@pytest.mark.parametrize("incremental", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_aborted_request_has_those_of_what_it_decoded(incremental: bool, stream: bool) -> None:
    with StubServer(Behaviour(incremental=incremental, token_delay_s=0.01)) as stub:
        engine = await attach(stub)
        request = GenerateRequest("r0001", IDS, Sampling(max_tokens=1000, seed=1), stream, logprobs=True)
        running = asyncio.create_task(engine.generate(request))
        await asyncio.sleep(0.15)
        await engine.abort(["r0001"])
        result = await asyncio.wait_for(running, 5)
        assert result.logprobs == tuple(stub_logprob(token, 5 + n) for n, token in enumerate(result.output_ids))
        await engine.close()


async def test_logprobs_that_are_missing_are_noticed(engine: SGLangEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubServer, "_reported", staticmethod(lambda body, done, ids: {}))
    with pytest.raises(RequestFailed, match="0 log-probabilities for 5 tokens"):
        await engine.generate(GenerateRequest("r0001", IDS, Sampling(max_tokens=5), logprobs=True))


# -- schemas, the engine's own options, pictures ---------------------------------------------------------------------


async def test_schema_and_the_engines_own_options_are_on_the_wire(stub: StubServer, engine: SGLangEngine) -> None:
    extra = (("block_size", 8), ("expert", "math"), ("fast", True))
    result = await engine.generate(GenerateRequest("r0001", IDS, Sampling(max_tokens=9, schema=SCHEMA, extra=extra)))
    assert result.output_ids == tuple(b"{}")
    sampling = stub.bodies[-1]["sampling_params"]
    assert sampling["json_schema"] == SCHEMA
    assert sampling["custom_params"] == {"block_size": 8, "expert": "math", "fast": True}


async def test_a_schema_the_server_cannot_hold_is_refused_with_its_reason(engine: SGLangEngine) -> None:
    with pytest.raises(RequestRefused) as caught:
        await engine.generate(GenerateRequest("r0001", IDS, Sampling(max_tokens=9, schema='{"not": {}}')))
    assert caught.value.message == "the server cannot decode by this schema: keyword(s) not would be ignored"


async def test_a_schema_must_be_allowed_to_end(stub: StubServer, engine: SGLangEngine) -> None:
    with pytest.raises(RequestRefused, match="ignore_eos"):
        await engine.generate(GenerateRequest("r1", IDS, Sampling(max_tokens=9, schema=SCHEMA, ignore_eos=True)))
    assert not stub.bodies


@pytest.mark.parametrize("logprobs", [False, True])
async def test_an_abort_while_the_schema_is_compiled_is_an_abort(logprobs: bool) -> None:
    with StubServer(Behaviour(slow_schemas=True)) as stub:
        engine = await attach(stub)
        request = GenerateRequest("r0001", IDS, Sampling(max_tokens=9, schema=SCHEMA), logprobs=logprobs)
        running = asyncio.create_task(engine.generate(request))
        while not stub.running:
            await asyncio.sleep(0.01)
        await engine.abort(["r0001"])
        result = await asyncio.wait_for(running, 5)
        assert (result.finish, result.output_ids, result.completion_tokens) == ("abort", (), 0)
        assert result.logprobs == (() if logprobs else None)
        await engine.close()


SEES = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}{{ '<s></s>' }}{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_the_models_own_placeholder_stands_where_a_picture_is(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(save(tmp_path, tokenizer_config={"chat_template": SEES, "eos_token": "<|im_end|>"}))
    spelled = tokenizer._tokenizer.decode
    picture = tokenizer.encode("<s></s>")
    ids = tokenizer.chat_ids([Turn("system", "answer"), Turn("user", f"{IMAGE}{IMAGE}then {IMAGE} the user")])
    assert "<s></s><s></s>then <s></s> the user<|im_end|>" in spelled(ids, skip_special_tokens=False)
    assert sum(ids[place : place + 2] == picture for place in range(len(ids))) == 3
    more = tokenizer.extension_ids(True, [Turn("user", f"and {IMAGE}")])
    assert sum(more[place : place + 2] == picture for place in range(len(more))) == 1


@pytest.mark.parametrize("template", [CHATML, CHATML.replace("message['content']", "message['content'] | string")])
def test_a_model_without_pictures_says_so(tmp_path: Path, template: str) -> None:
    tokenizer = load_tokenizer(save(tmp_path, tokenizer_config={"chat_template": template}))
    with pytest.raises(RequestRefused, match="no place for pictures") as caught:
        tokenizer.chat_ids([Turn("user", f"what is on {IMAGE}?")])
    assert "takes pictures" in caught.value.hint


async def test_pictures_go_as_data_urls() -> None:
    with StubServer(Behaviour(sees_images=True)) as stub:
        engine = await attach(stub)
        assert "images" in engine.info.abilities
        images = (Image(b"\x89PNG", "image/png"), Image(b"JF", "image/jpeg"))
        await engine.generate(GenerateRequest("r0001", IDS, Sampling(max_tokens=2), images=images))
        await engine.generate(GenerateRequest("r0002", IDS, Sampling(max_tokens=2)))
        await engine.close()
    assert stub.bodies[0]["image_data"] == ["data:image/png;base64,iVBORw==", "data:image/jpeg;base64,SkY="]
    assert "image_data" not in stub.bodies[1]


# -- what is missing ------------------------------------------------------------------------------------------------


def generation(**more: Any) -> GenerateRequest:
    sampling = Sampling(max_tokens=2, schema=more.pop("schema", None))
    return GenerateRequest("r0001", IDS, sampling, **more)


MISSING: list[tuple[Behaviour, Ask, str, str]] = [
    (Behaviour(), ASKS["reward"][1], "cannot rate a text", "ForSequenceClassification"),
    (Behaviour(), ASKS["embed"][1], "cannot embed a text", "--is-embedding"),
    (Behaviour(), lambda e: e.generate(generation(images=(Image(b"", "image/png"),))), "cannot take pictures", "VL"),
    (Behaviour(grammar_backend="none"), lambda e: e.generate(generation(schema=SCHEMA)), "JSON schema", "backend none"),
    (REWARD, lambda e: e.generate(generation()), "as a reward model: it cannot generate", "ttsc engine start MODEL"),
    (REWARD, ASKS["score"][1], "cannot score tokens", "ttsc engine start MODEL"),
    (REWARD, ASKS["embed"][1], "cannot embed a text", "--is-embedding"),
    (Behaviour(pooled_dimensions=3), ASKS["reward"][1], "as an embedding model: it cannot rate", "RewardModel"),
]


@pytest.mark.parametrize(("behaviour", "ask", "message", "hint"), MISSING)
async def test_what_a_server_cannot_do_names_it_and_a_way_out(
    behaviour: Behaviour, ask: Ask, message: str, hint: str
) -> None:
    with StubServer(behaviour) as stub:
        engine = await attach(stub)
        with pytest.raises(AbilityMissing) as caught:
            await ask(engine)
        await engine.close()
    assert not stub.bodies, "nothing is asked of the server"
    assert caught.value.code == "R0406"
    assert not caught.value.retryable
    assert caught.value.message.startswith(f"{stub.url} serves stub/model ")
    assert message in caught.value.message
    assert hint in caught.value.hint


async def test_a_router_that_hides_what_it_serves_is_asked_all_the_same() -> None:
    with StubServer(Behaviour(server_info=False, grammar_backend="none")) as stub:
        engine = await attach(stub)
        assert engine.info.abilities == {"generate", "score", "schema"}
        with pytest.raises(AbilityMissing, match="--grammar-backend none"):
            await engine.generate(generation(schema=SCHEMA))
        await engine.close()


async def test_ids_of_another_model_do_not_reach_the_server(tmp_path: Path) -> None:
    save(tmp_path, config={"vocab_size": 500})
    with StubServer(REWARD) as stub:
        engine = await attach(stub, load_tokenizer(tmp_path))
        with pytest.raises(RequestRefused, match="has no token 500; its vocabulary has 500"):
            await engine.reward(RewardRequest("w0001", (5, 500, 6)))
        with pytest.raises(RequestRefused, match="no tokens"):
            await engine.reward(RewardRequest("w0002", ()))
        assert not stub.bodies
        assert (await engine.reward(RewardRequest("w0003", (5, 499)))).prompt_tokens == 2
        await engine.close()
