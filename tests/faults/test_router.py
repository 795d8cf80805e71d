"""Two real workers behind a real router: one server as far as a program can tell.

`python tests/faults/router_environment.py` installs the router; without it these tests are skipped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import router_environment
from asked import INPUTS, PROGRAM, SEED, questions, results, used, values
from router import Router
from servers import Server, tell

import ttsc
from ttsc.backends.protocol import GenerateRequest, Sampling
from ttsc.backends.sglang.client import SGLangEngine


@pytest.fixture(scope="module")
def workers(servers: tuple[Server, Server]) -> tuple[Server, Server]:
    """Both running: the tests of this file are in the order of the harm they do."""
    for server in servers:
        server.start()
    return servers


@pytest.fixture(scope="module")
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    if router_environment.installed() is None:
        reason = "sglang-router is not installed: python tests/faults/router_environment.py"
        tell(f"skipped: {reason}")
        pytest.skip(reason)
    workers: tuple[Server, Server] = request.getfixturevalue("workers")
    log = tmp_path_factory.mktemp("router") / "router.log"
    with Router([server.url for server in workers], log) as started:
        yield started


async def counted(workers: tuple[Server, Server], name: str) -> list[float]:
    """A counter of each worker."""
    found = []
    for server in workers:
        engine = await SGLangEngine.connect(server.url)
        found.append((await engine.counters()).get(f"sglang:{name}", 0.0))
        await engine.close()
    return found


async def idle(engine: SGLangEngine) -> None:
    """Until the workers run nothing and hold nothing back."""
    for _ in range(600):
        load = await engine.load()
        assert load is not None
        if load.running == load.waiting == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"requests are left: {load}")


async def test_values_are_those_of_one_server_and_both_work(
    router: Router, workers: tuple[Server, Server], unbroken: str
) -> None:
    before = await counted(workers, "generation_tokens_total")
    found = await results(INPUTS, router.url)
    assert values(found) == unbroken
    usage = used(found)
    assert usage.retries == 0 and usage.requests == 4 * len(INPUTS)
    after = await counted(workers, "generation_tokens_total")
    shares = [end - begin for begin, end in zip(before, after, strict=True)]
    assert all(shares) and sum(shares) == usage.decoded_tokens


async def test_what_the_router_stands_for(router: Router, workers: tuple[Server, Server]) -> None:
    one, all_of_them = await SGLangEngine.connect(workers[0].url), await SGLangEngine.connect(router.url)
    assert all_of_them.info.seeds_honoured
    assert all_of_them.info.model == one.info.model
    assert all_of_them.info.context_tokens == one.info.context_tokens
    assert one.info.kv_tokens is not None and all_of_them.info.kv_tokens == 2 * one.info.kv_tokens
    await one.close()
    await all_of_them.close()


async def test_an_abort_reaches_the_worker(router: Router, workers: tuple[Server, Server]) -> None:
    engine = await SGLangEngine.connect(router.url)
    before = await counted(workers, "num_aborted_requests_total")
    sampling = Sampling(max_tokens=480, temperature=1.0, ignore_eos=True)
    prompt = tuple(engine.tokenizer.encode("Q:12+34\n"))
    names = [f"routed-abort-{number:02d}" for number in range(4)]
    first: list[asyncio.Event] = [asyncio.Event() for _ in names]
    running = [
        asyncio.create_task(
            engine.generate(GenerateRequest(name, prompt, sampling, stream=True), lambda _, seen=seen: seen.set())
        )
        for name, seen in zip(names, first, strict=True)
    ]
    await asyncio.gather(*(seen.wait() for seen in first))
    await engine.abort(names)
    ended = await asyncio.gather(*running)
    assert [each.finish for each in ended] == ["abort"] * 4
    assert all(each.completion_tokens < 480 for each in ended)
    await idle(engine)
    after = await counted(workers, "num_aborted_requests_total")
    assert [end - begin for begin, end in zip(before, after, strict=True)] == [2, 2]
    await engine.close()


async def test_a_cancelled_run_leaves_nothing_on_the_workers(router: Router) -> None:
    engine = await SGLangEngine.connect(router.url)
    run = asyncio.create_task(results(questions(8, n=4, limit=400), engine))
    while not (load := await engine.load()) or not load.running:
        assert not run.done(), "it was to be in the middle of its inputs"
        await asyncio.sleep(0.02)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await idle(engine)
    await engine.close()


@pytest.mark.usefixtures("router")
async def test_a_worker_that_is_killed(workers: tuple[Server, Server], tmp_path: Path) -> None:
    """What it was doing fails, and what the router gives it before it learns of its death; the other does it all."""
    inputs = questions(48, n=4, limit=100)
    expected = values(await results(inputs, workers[0].url))
    found: dict[int, Any] = {}
    killing: asyncio.Task[int] | None = None

    async def kill() -> int:
        await asyncio.to_thread(workers[1].kill)
        return len(found)

    with Router([server.url for server in workers], tmp_path / "router.log", retries=False) as router:
        run = ttsc.compile(PROGRAM, "drafts").amap(
            inputs, engine=router.url, seed=SEED, ordered=False, concurrency=6, engine_wait=10
        )
        async with aclosing(run) as ended:  # type: ignore[type-var]
            async for result in ended:
                found[result.input] = result
                if len(found) == 3:
                    killing = asyncio.create_task(kill())
    assert killing is not None and await killing < len(inputs) / 2, "most of the run was without it"
    whole = [found[number] for number in range(len(inputs))]
    assert json.loads(values(whole)) == json.loads(expected)
    usage = used(whole)
    tell(f"a worker of two was killed: {usage.failed} requests failed, {usage.retries} were sent again")
    assert usage.failed == usage.retries == usage.requests - 4 * len(inputs) >= 1
