"""A real SGLang that serves a reward model, and one that serves embeddings.

The models are tiny and random, and what comes back is compared with what transformers computes from them. Each server
is started here, which takes about 20 s on two free cores.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tiny_models import tiny_model

from ttsc.backends.protocol import (
    AbilityMissing,
    ContextTooLong,
    EmbedRequest,
    EngineError,
    GenerateRequest,
    RequestRefused,
    RewardRequest,
    Sampling,
)
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.doctor import diagnose_server
from ttsc.backends.sglang.launcher import launch

pytestmark = pytest.mark.timeout(900)
torch = pytest.importorskip("torch")

_numbers = itertools.count()
_run = f"{time.time_ns():x}"


def rid() -> str:
    return f"score-{_run}-{next(_numbers):06}"


async def idle(engine: SGLangEngine, within_s: float = 30.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if (await engine.counters())["sglang:num_running_reqs"] == 0:
            return True
        await asyncio.sleep(0.2)
    return False


@pytest.fixture(scope="module")
def rater(launched_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A reward server's address and its model."""
    folder = tmp_path_factory.mktemp("tiny-reward")
    model = tiny_model(folder, reward=True)
    with launch(str(folder), log_path=folder / "server.log") as process:
        yield process.url, model


@pytest.fixture(scope="module")
def embedder(launched_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """An embedding server's address and its model: one that could generate, told to embed."""
    folder = tmp_path_factory.mktemp("tiny-embedding")
    model = tiny_model(folder, reward=False)
    with launch(str(folder), log_path=folder / "server.log", extra_args=("--is-embedding",)) as process:
        yield process.url, model


@pytest.fixture
async def rating(rater: tuple[str, Any]) -> AsyncIterator[SGLangEngine]:
    attached = await SGLangEngine.connect(rater[0])
    yield attached
    await attached.close()


def sequences(engine: SGLangEngine) -> list[tuple[int, ...]]:
    """Texts of several lengths, the later ones beginning as the earlier ones do."""
    words = engine.tokenizer.encode("First we add the numbers. Then we take half of it. The answer is 21. " * 12)
    return [tuple(words[:length]) for length in (1, 2, 7, 40, 200)]


async def test_rewards_are_the_heads_raw_output(rater: tuple[str, Any], rating: SGLangEngine) -> None:
    assert rating.info.abilities == {"reward"}
    asked = sequences(rating)
    together = await asyncio.gather(*(rating.reward(RewardRequest(rid(), ids)) for ids in asked))
    alone = [await rating.reward(RewardRequest(rid(), ids)) for ids in asked]
    for ids, first, second in zip(asked, together, alone, strict=True):
        with torch.no_grad():
            expected = rater[1](torch.tensor([ids])).logits[0].tolist()
        assert first.values == pytest.approx(expected, abs=1e-4)
        assert second.values == pytest.approx(expected, abs=1e-4)
        assert first.prompt_tokens == len(ids)


async def test_a_reward_server_says_what_it_cannot_do(rating: SGLangEngine) -> None:
    most = rating.info.context_tokens
    with pytest.raises(ContextTooLong, match=str(most)):
        await rating.reward(RewardRequest(rid(), (5,) * (most + 1)))
    with pytest.raises(AbilityMissing, match="as a reward model: it cannot generate"):
        await rating.generate(GenerateRequest(rid(), (5, 6), Sampling(4)))
    with pytest.raises(RequestRefused, match="has no token"):
        await rating.reward(RewardRequest(rid(), (5, 99999)))
    checks = await diagnose_server(rating.url)
    assert {check.status for check in checks} == {"ok"}, checks


async def test_cancelled_and_aborted_rewards_leave_nothing_running(rating: SGLangEngine) -> None:
    ids = tuple(7 + place % 900 for place in range(2000))
    requests = [RewardRequest(rid(), (number, *ids)) for number in range(20, 60)]
    running = [asyncio.create_task(rating.reward(request)) for request in requests]
    await asyncio.sleep(0.1)
    for each in running[:20]:
        each.cancel()
    await rating.abort([request.request_id for request in requests[20:]])
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(outcome, EngineError):
            assert "was aborted" in outcome.message
    assert await idle(rating)
    assert len((await rating.reward(RewardRequest(rid(), (5, 6)))).values) == 1


async def test_embeddings_are_the_last_states_normalised(embedder: tuple[str, Any]) -> None:
    url, model = embedder
    engine = await SGLangEngine.connect(url)
    assert engine.info.abilities == {"embed"}
    for ids in sequences(engine):
        with torch.no_grad():
            state = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        found = await engine.embed(EmbedRequest(rid(), ids))
        assert found.vector == pytest.approx((state / state.norm()).tolist(), abs=1e-4)
    assert {check.status for check in await diagnose_server(url)} == {"ok"}
    await engine.close()
