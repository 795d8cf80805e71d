"""The CPU engine's promises on the real server: seeds, batch invariance, the prefix cache, sensible text."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.timeout(900)

PROMPTS = (
    "The capital of France is",
    "Write a short poem about the sea.",
    "2+2=4, 3+3=6, 4+4=",
    "Once upon a time there was a small robot who",
)


@pytest.fixture(autouse=True)
def on_the_cpu(engine_url: str) -> None:
    """These are promises of the CPU engine."""
    info = httpx.get(f"{engine_url}/server_info", timeout=60).json()
    if info.get("attention_backend") != "ttsc_cpu":
        pytest.skip("the server does not run on ttsc's CPU engine")


async def generate(client: httpx.AsyncClient, prompt: str | list[int], **sampling: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"sampling_params": sampling}
    body["input_ids" if isinstance(prompt, list) else "text"] = prompt
    reply = await client.post("/generate", json=body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=100))


def jobs() -> list[tuple[str, dict[str, Any]]]:
    """24 requests of mixed prompts, temperatures, filters and lengths; one of them long."""
    result = []
    for index in range(24):
        sampling: dict[str, Any] = {
            "max_new_tokens": 128 if index == 1 else 16,
            "temperature": (0.0, 1.0, 0.7)[index % 3],
            "sampling_seed": 7 * index + 1,
            "ignore_eos": True,
        }
        if index % 5 == 4:
            sampling["top_p"] = 0.9
        if index % 7 == 6:
            sampling["top_k"] = 20
        result.append((PROMPTS[index % 4] + " " * (index % 3), sampling))
    return result


async def test_concurrent_requests_equal_the_same_requests_alone(engine_url: str) -> None:
    async with client(engine_url) as http:

        async def together() -> list[list[int]]:
            replies = await asyncio.gather(*[generate(http, prompt, **sampling) for prompt, sampling in jobs()])
            return [reply["output_ids"] for reply in replies]

        await http.post("/flush_cache")
        batched = await together()
        await http.post("/flush_cache")
        alone = [(await generate(http, prompt, **sampling))["output_ids"] for prompt, sampling in jobs()]
        cached = await together()
    assert batched == alone
    assert cached == alone


async def test_cutting_a_prompt_into_chunks_changes_nothing(engine_url: str) -> None:
    """Three prompts at once do not fit one chunk, so that one of them is cut; alone each fits."""
    async with client(engine_url) as http:
        chunk = int((await http.get("/server_info")).json().get("chunked_prefill_size") or 0)
        if not 0 < chunk <= 4096:
            pytest.skip(f"the server's prefill chunks of {chunk} tokens are too long to fill here")
        size = chunk * 2 // 5
        prompts = [[(index * 37 + start) % 40000 + 100 for index in range(size)] for start in (1, 2, 3)]
        options = {"max_new_tokens": 8, "temperature": 1.0, "sampling_seed": 11, "ignore_eos": True}
        await http.post("/flush_cache")
        together = await asyncio.gather(*[generate(http, prompt, **options) for prompt in prompts])
        await http.post("/flush_cache")
        alone = [await generate(http, prompt, **options) for prompt in prompts]
    assert [reply["output_ids"] for reply in together] == [reply["output_ids"] for reply in alone]


async def test_seeds_are_honoured(engine_url: str) -> None:
    async with client(engine_url) as http:
        options = {"max_new_tokens": 24, "temperature": 1.0, "ignore_eos": True}
        same = [await generate(http, PROMPTS[1], sampling_seed=5, **options) for _ in range(2)]
        others = await asyncio.gather(
            *[generate(http, PROMPTS[1], sampling_seed=seed, **options) for seed in range(6, 14)]
        )
    assert same[0]["output_ids"] == same[1]["output_ids"]
    assert len({tuple(reply["output_ids"]) for reply in [same[0], *others]}) == 9


async def test_cached_prefix_changes_nothing_but_the_count(engine_url: str) -> None:
    prompt = [(time.time_ns() // 1000 + index * 131) % 40000 + 100 for index in range(200)]
    options = {"max_new_tokens": 16, "temperature": 1.0, "sampling_seed": 3, "ignore_eos": True}
    async with client(engine_url) as http:
        cold = await generate(http, prompt, **options)
        warm = await generate(http, prompt, **options)
    assert cold["meta_info"]["cached_tokens"] == 0
    assert warm["meta_info"]["cached_tokens"] == len(prompt) - 1
    assert warm["output_ids"] == cold["output_ids"]


async def test_text_makes_sense(engine_url: str) -> None:
    async with client(engine_url) as http:
        reply = await generate(http, "The capital of France is", max_new_tokens=8, temperature=0.0)
    assert "Paris" in reply["text"]


async def test_metrics_are_served(engine_url: str) -> None:
    async with client(engine_url) as http:
        reply = await http.get("/metrics")
    assert "sglang:" in reply.text
