"""Which simulated server a request goes to, and that servers behind a router are apart."""

from __future__ import annotations

import asyncio

import pytest
from simulated import engine, request

from ttsc.backends.simulator.radix import packed
from ttsc.backends.simulator.router import IMBALANCE, Loads, Router
from ttsc.runtime.virtual_time import run_in_virtual_time

PROMPT = tuple(range(100, 140))


def test_a_prompt_goes_where_the_longest_part_of_it_was_sent() -> None:
    router = Router(3)
    first = router.place(packed(PROMPT))
    others = {router.place(packed(range(500 * number, 500 * number + 40))) for number in (1, 2)}
    assert {first, *others} == {0, 1, 2}  # nothing known of them: the least loaded
    assert router.place(packed((*PROMPT, 1, 2))) == first
    assert router.place(packed((*PROMPT[:20], 7, 8, 9))) == first
    assert (router.matched, router.balanced) == (2, 3)


def test_a_short_match_is_none() -> None:
    router = Router(2)
    first = router.place(packed(PROMPT))
    assert router.place(packed((*PROMPT[:12], *range(28)))) != first  # 0.3 of it, not more
    router.leave(0)
    router.leave(1)
    assert router.place(packed((*PROMPT[:13], *range(900, 927)))) == first


def test_load_that_is_out_of_balance_counts_more_than_a_match() -> None:
    router = Router(2)
    first = router.place(packed(PROMPT))
    placed = [router.place(packed((*PROMPT, number))) for number in range(IMBALANCE)]
    assert placed == [first] * IMBALANCE
    assert router.place(packed((*PROMPT, 9999))) != first


def test_nothing_is_sent_to_a_server_that_is_gone() -> None:
    router = Router(2)
    first = router.place(packed(PROMPT))
    router.exclude(first)
    assert {router.place(packed((*PROMPT, number))) for number in range(3)} == {1 - first}
    router.include(first)
    assert router.place(packed(range(900, 940))) == first


def test_loads_know_the_least_and_the_most() -> None:
    loads = Loads(3)
    for server in (0, 0, 1, 2, 2, 2):
        loads.add(server, 1)
    assert (loads.least, loads.most, loads.least_loaded) == (1, 3, 1)
    loads.exclude(1)
    assert (loads.least, loads.most, loads.least_loaded) == (2, 3, 0)
    loads.add(1, 5)
    loads.add(2, -3)
    assert (loads.least, loads.most, loads.least_loaded) == (0, 2, 2)
    loads.include(1)
    assert (loads.most, loads[1]) == (6, 6)


@pytest.mark.parametrize("replicas", [1, 4])
def test_servers_work_beside_each_other(replicas: int) -> None:
    simulated = engine(3, replicas=replicas)

    async def scenario() -> float:
        asked = [request(number, range(50 * number, 50 * number + 10)) for number in range(4)]
        await asyncio.gather(*map(simulated.generate, asked))
        return asyncio.get_running_loop().time()

    # One server computes four prompts of 10 tokens in one batch, four one each.
    assert run_in_virtual_time(scenario()) == pytest.approx(40 / replicas * 0.5 + 2, abs=1e-5)
    assert [server.served.requests for server in simulated.servers] == [4 // replicas] * replicas
    assert simulated.info.max_running == 64 * replicas and simulated.served.decoded_tokens == 12
