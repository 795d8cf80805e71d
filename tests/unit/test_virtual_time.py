"""The virtual clock: hours pass in no time, in order, and after everything that was ready."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttsc.runtime.outside import outside
from ttsc.runtime.virtual_time import Stalled, VirtualTimeLoop, run_in_virtual_time


def virtual() -> VirtualTimeLoop:
    return cast(VirtualTimeLoop, asyncio.get_running_loop())


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_timers_fire_in_order_at_their_times(delays: list[float]) -> None:
    async def scenario() -> list[tuple[float, float]]:
        fired: list[tuple[float, float]] = []

        async def one(delay: float) -> None:
            await asyncio.sleep(delay)
            fired.append((delay, virtual().time()))

        await asyncio.gather(*map(one, delays))
        return fired

    fired = run_in_virtual_time(scenario())
    assert [delay for delay, _ in fired] == sorted(delays)
    assert all(at == pytest.approx(delay, rel=1e-12, abs=1e-9) for delay, at in fired)


def test_time_passes_only_when_nothing_is_ready() -> None:
    async def scenario() -> tuple[int, list[float]]:
        turns, seen = 0, []

        async def busy() -> None:
            nonlocal turns
            for _ in range(1000):
                await asyncio.sleep(0)
                turns += 1
                seen.append(virtual().time())

        task = asyncio.ensure_future(busy())
        await asyncio.sleep(0.001)
        assert task.done()
        return turns, seen

    turns, seen = run_in_virtual_time(scenario())
    assert turns == 1000 and set(seen) == {0.0}


def test_waiting_for_nothing_is_an_error() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stalled):
        run_in_virtual_time(forever())


def test_settled_waits_for_chains_and_sleep_until_for_the_time() -> None:
    async def scenario() -> tuple[bool, float, float]:
        done = False

        async def chain() -> None:
            nonlocal done
            for _ in range(50):
                await asyncio.sleep(0)
            done = True

        task = asyncio.ensure_future(chain())
        await virtual().settled()
        settled_at = virtual().time()
        await virtual().sleep_until(7.5)
        assert task.done()
        return done, settled_at, virtual().time()

    done, settled_at, later = run_in_virtual_time(scenario())
    assert done and 0 < settled_at < 1e-3 and later == pytest.approx(7.5)


def test_timeouts_follow_the_virtual_clock() -> None:
    async def scenario() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.sleep(7200)
        return virtual().time()

    assert run_in_virtual_time(scenario()) == pytest.approx(3600)


def test_the_clock_can_be_set_ahead() -> None:
    async def scenario() -> float:
        fired: list[float] = []
        virtual().call_later(5, lambda: fired.append(virtual().time()))
        virtual().advance_to(6)
        virtual().advance_to(4)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return fired[0]

    assert run_in_virtual_time(scenario()) == 6.0


def test_the_clock_stands_still_for_work_outside() -> None:
    async def scenario() -> tuple[float, float]:
        loop = virtual()
        done: asyncio.Future[None] = loop.create_future()
        go = threading.Event()

        def work() -> None:
            go.wait(30)
            loop.call_soon_threadsafe(done.set_result, None)

        threading.Thread(target=work, daemon=True).start()
        fired: list[float] = []
        loop.call_at(1.0, lambda: fired.append(loop.time()))
        with outside():
            go.set()
            await done
        before = loop.time()
        await asyncio.sleep(5)
        return before, fired[0]

    before, fired = run_in_virtual_time(scenario())
    assert before < 1.0 == fired


def test_work_outside_that_never_ends_lets_timeouts_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttsc.runtime.virtual_time._PATIENCE_S", 0.01)

    async def scenario() -> float:
        with outside(), pytest.raises(TimeoutError):
            await asyncio.wait_for(virtual().create_future(), 60)
        return virtual().time()

    assert run_in_virtual_time(scenario()) == 60


def test_a_call_that_waits_for_timers_goes_by_the_clock() -> None:
    async def scenario() -> float:
        with outside(calls=True):
            await asyncio.sleep(3600)
        return virtual().time()

    assert run_in_virtual_time(scenario()) == 3600


def test_a_call_that_waits_for_a_socket_is_waited_for() -> None:
    async def scenario() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        with outside(calls=True):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"hello\n")
            said = await reader.readline()
            writer.close()
        server.close()
        return said

    assert run_in_virtual_time(scenario()) == b"hello\n"


def test_on_a_real_loop_it_does_nothing() -> None:
    async def scenario() -> None:
        with outside():
            await asyncio.sleep(0)

    asyncio.run(scenario())
