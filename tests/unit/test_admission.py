"""The queue before an engine: its order, its limits, and that nobody is forgotten, whatever happens in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.protocol import EngineError, EngineInfo, EngineUnavailable, Load
from ttsc.backends.scripted import ScriptedEngine
from ttsc.runtime.admission import Admission, Rank
from ttsc.runtime.capacity import FALLBACK
from ttsc.runtime.pace import PRIOR_CPU

INFO = EngineInfo("stub", "m", 4096, True)


class Waiting:
    """A request that notes when it goes."""

    def __init__(self, rank: Rank, log: list[Waiting], tokens: int = 1) -> None:
        self.rank = rank
        self.tokens = tokens
        self.held = False
        self.refused: EngineError | None = None
        self._log = log

    def ready(self) -> int | None:
        return None if self.held else self.tokens

    def go(self) -> None:
        self._log.append(self)

    def refuse(self, error: EngineError) -> None:
        self.refused = error


class Telling(ScriptedEngine):
    """Says of its load what a test wants, and counts how often it is asked."""

    def __init__(self, load: Load | None = None) -> None:
        super().__init__({})
        self.says = load
        self.asked = 0

    async def load(self) -> Load | None:
        self.asked += 1
        return self.says


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def certain(number: int, input_index: int = 0, critical: int = 0) -> Rank:
    return False, input_index, -critical, number


def test_the_order_is_certain_then_input_then_critical_then_submission() -> None:
    async def main() -> None:
        log: list[Waiting] = []
        admission = Admission(Telling(), 1)
        ranks: list[Rank] = [
            (True, 0, -900, 1),
            certain(2, 1),
            certain(3, 0, critical=10),
            certain(4, 0, critical=50),
            certain(5, 0, critical=50),
            (True, 0, 0, 0),
        ]
        for rank in ranks:
            admission.join(Waiting(rank, log))
        for _ in ranks:
            await turns()
            admission.leave(log[-1])
        assert [waiting.rank for waiting in log] == [ranks[i] for i in (3, 4, 2, 1, 0, 5)]
        assert admission.waiting == admission.in_flight == 0
        await admission.close()

    asyncio.run(main())


def test_a_promoted_request_moves_and_one_that_is_held_back_lets_others_pass() -> None:
    async def main() -> None:
        log: list[Waiting] = []
        admission = Admission(Telling(), 1)
        first, second, maybe = Waiting(certain(1), log), Waiting(certain(2), log), Waiting((True, 0, 0, 0), log)
        first.held = True
        for each in (first, second, maybe):
            admission.join(each)
        maybe.rank = certain(0)
        admission.join(maybe)
        await turns()
        assert log == [maybe]
        admission.leave(maybe)
        await turns()
        assert log == [maybe, second] and not admission.waits(first)
        first.held = False
        admission.join(first)
        admission.leave(second)
        await turns()
        assert log == [maybe, second, first]
        await admission.close()

    asyncio.run(main())


def test_kv_memory_is_a_limit_and_the_first_is_not_overtaken() -> None:
    async def main() -> None:
        engine = Telling()
        engine._info = replace(engine.info, kv_tokens=100, max_running=10)
        log: list[Waiting] = []
        admission = Admission(engine, None)
        waiting = [Waiting(certain(number), log, tokens) for number, tokens in enumerate((60, 50, 10, 500))]
        for each in waiting:
            admission.join(each)
        await turns()
        assert log == waiting[:1], "the third would fit, but the second is before it"
        admission.leave(waiting[0])
        await turns()
        assert log == waiting[:3]
        admission.leave(waiting[1])
        admission.leave(waiting[2])
        await turns()
        assert log == waiting, "one alone goes, however large"
        await admission.close()

    asyncio.run(main())


def test_speculative_requests_go_only_where_there_is_room() -> None:
    async def main() -> None:
        log: list[Waiting] = []
        admission = Admission(Telling(), None)
        for number in range(100):
            admission.join(Waiting((True, 0, 0, number), log))
        await turns()
        assert len(log) == PRIOR_CPU
        sure = [Waiting(certain(1000 + number), log) for number in range(FALLBACK)]
        for each in sure:
            admission.join(each)
        await turns()
        assert log[PRIOR_CPU:] == sure[: FALLBACK - PRIOR_CPU], "certain ones may take all of the limit"
        admission.leave(log[0])
        await turns()
        assert log[-1] is sure[FALLBACK - PRIOR_CPU]
        await admission.close()

    asyncio.run(main())


def test_the_load_is_asked_for_only_while_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttsc.runtime.admission.LOOK_S", 0.001)

    async def main() -> None:
        engine = Telling(Load(1, 0, 0.1))
        log: list[Waiting] = []
        admission = Admission(engine, None)
        admission.capacity.limit = 1
        a, b = Waiting(certain(1), log), Waiting(certain(2), log)
        admission.join(a)
        await asyncio.sleep(0.01)
        assert engine.asked == 0
        admission.join(b)
        while log != [a, b]:
            await asyncio.sleep(0.001)
        asked = engine.asked
        await asyncio.sleep(0.01)
        assert engine.asked == asked > 0
        await admission.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_an_engine_that_does_not_tell_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ttsc.runtime.admission.LOOK_S", 0.001)

    async def main() -> None:
        engine = Telling(None)
        log: list[Waiting] = []
        admission = Admission(engine, None)
        for number in range(FALLBACK + 5):
            admission.join(Waiting(certain(number), log))
        await asyncio.sleep(0.02)
        assert (len(log), engine.asked) == (FALLBACK, 1)
        await admission.close()

    asyncio.run(main())


def test_a_queue_of_thousands_moves_without_scans() -> None:
    """Each request is looked at about once, however many wait: `ready` is asked of the first only."""
    looks = 0

    class Counted(Waiting):
        def ready(self) -> int | None:
            nonlocal looks
            looks += 1
            return super().ready()

    async def main() -> None:
        log: list[Waiting] = []
        admission = Admission(Telling(), 8)
        for number in range(5000):
            admission.join(Counted(certain(number), log))
        done = 0
        while done < 5000:
            await asyncio.sleep(0)
            while done < len(log):
                admission.leave(log[done])
                done += 1
        await admission.close()

    asyncio.run(main())
    assert looks <= 5000 * (1 + 1 / 4), "once each, and once for each turn that ended at the limit"


def test_entries_of_those_that_left_do_not_pile_up() -> None:
    async def main() -> None:
        log: list[Waiting] = []
        admission = Admission(Telling(), 1)
        for number in range(10_000):
            waiting = Waiting(certain(number), log)
            admission.join(waiting)
            if number % 1000:
                admission.leave(waiting)
        assert len(admission._heap) <= 2 * admission.waiting + 64
        await admission.close()

    asyncio.run(main())


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(("join", "speculate", "end", "leave", "promote", "hold", "limit", "pause", "turn")),
        st.integers(0, 30),
        st.integers(1, 6),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_never_more_than_the_limit_and_none_is_lost(script: list[Step]) -> None:
    """Whatever joins, ends, leaves, is promoted or held back, and however the limit changes meanwhile."""

    async def main() -> None:
        log: list[Waiting] = []
        flying: list[Waiting] = []
        admission = Admission(Telling(), None)
        admission.pace.observe = lambda *_: None  # type: ignore[method-assign]
        everyone: list[Waiting] = []
        gone: set[Waiting] = set()
        paused = False

        class Checked(Waiting):
            def go(self) -> None:
                assert self not in gone and self not in flying
                assert len(flying) < admission.capacity.limit and not paused
                better = [w for w in everyone if admission.waits(w) and not w.held and w is not self]
                assert all(self.rank <= w.rank for w in better), "the order is kept"
                flying.append(self)
                super().go()

        def end(waiting: Waiting) -> None:
            flying.remove(waiting)
            gone.add(waiting)
            admission.leave(waiting)

        for number, (what, which, size) in enumerate(script):
            match what:
                case "join" | "speculate":
                    waiting = Checked((what == "speculate", which % 3, -(which % 4), number), log)
                    everyone.append(waiting)
                    admission.join(waiting)
                case "end" if flying:
                    end(flying[which % len(flying)])
                case "leave" | "promote" | "hold" if everyone:
                    waiting = everyone[which % len(everyone)]
                    if waiting in gone or waiting in flying:
                        continue
                    if what == "leave":
                        gone.add(waiting)
                        admission.leave(waiting)
                    elif what == "promote":
                        waiting.rank = (False, *waiting.rank[1:])
                        admission.join(waiting)
                    else:
                        waiting.held = True
                case "limit":
                    admission.capacity.limit = size
                case "pause":
                    paused = not paused
                    (admission.hold if paused else admission.resume)("test")
                case "turn":
                    await turns(1)
                case _:
                    pass
        if paused:
            paused = False
            admission.resume("test")
        for waiting in everyone:
            if waiting.held:
                waiting.held = False
                if waiting not in gone and waiting not in flying:
                    admission.join(waiting)
        for _ in range(4 * len(everyone) + 4):
            await turns(2)
            for waiting in tuple(flying):
                end(waiting)
        assert gone == set(everyone), "everyone had a turn or left"
        assert admission.waiting == admission.in_flight == admission.capacity.in_flight == 0
        assert admission.capacity.tokens == 0 and not admission._heap
        await admission.close()

    asyncio.run(main())


def test_when_the_engine_is_gone_for_good_everyone_hears() -> None:
    async def main() -> None:
        log: list[Waiting] = []
        admission = Admission(Telling(), 2)
        waiting = [Waiting(certain(number), log) for number in range(5)]
        for each in waiting:
            admission.join(each)
        await turns()
        error = EngineUnavailable("gone")
        admission.refuse_all(error)
        assert all(each.refused is error for each in waiting)
        for each in log:
            admission.leave(each)
        assert admission.waiting == admission.in_flight == 0
        admission.joining = lambda: error
        late = Waiting(certain(9), log)
        admission.join(late)
        assert late.refused is error and admission.waiting == 0
        await admission.close()

    asyncio.run(main())


def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()
        timers: list[Callable[[], None]] = []
        admission = Admission(Telling(), 2)
        loop.call_later = lambda s, call, *args: timers.append(lambda: call(*args))  # type: ignore[method-assign,assignment]
        log: list[Waiting] = []
        admission.hold_for(60.0)
        admission.hold_for(1.0)
        admission.join(Waiting(certain(1), log))
        await turns()
        order.append(f"{len(log)}")
        timers.pop()()
        await turns()
        order.append(f"{len(log)}")
        timers.pop()()
        await turns()
        order.append(f"{len(log)}")
        return order

    assert asyncio.run(main()) == ["0", "0", "1"]
