"""How many requests an engine is given: what it says of itself, what its queue shows, how long a token takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ttsc.backends.protocol import EngineInfo, Load
from ttsc.runtime.capacity import FALLBACK, MOST_STRETCH, Capacity
from ttsc.runtime.pace import PRIOR_CPU, PRIOR_GPU, Pace

INFO = EngineInfo("stub", "m", 4096, True)


def test_the_limit_begins_with_what_the_engine_says_and_a_cap_is_kept() -> None:
    assert Capacity(INFO, None).limit == FALLBACK
    assert Capacity(INFO, 1000).limit == 1000
    assert Capacity(replace(INFO, max_running=16), 1000).limit == 16
    assert Capacity(replace(INFO, max_running=16), 4).limit == 4
    with pytest.raises(ValueError, match="at least 1"):
        Capacity(INFO, 0)


def test_the_limit_follows_the_engines_queue() -> None:
    capacity = Capacity(INFO, None)
    for _ in range(FALLBACK):
        capacity.take(1)
    capacity.follow(Load(10, 54, 0.2))
    assert capacity.limit == FALLBACK, "it may still be computing prompts"
    capacity.follow(Load(40, 24, 0.5))
    assert capacity.limit == FALLBACK, "more get to run: it is no lasting queue"
    capacity.follow(Load(40, 24, 0.6))
    assert capacity.limit == 40
    capacity.follow(Load(64, 0, 0.7))
    assert capacity.limit == 80, "nothing waits: what runs there, and a quarter more"
    capacity.follow(Load(64, 0, 0.96))
    assert capacity.limit == 64, "its memory is nearly full"
    capacity.follow(Load(0, 0, 0.99))
    assert capacity.limit == 1, "one is always sent"


def test_the_limit_grows_no_further_than_what_is_sure_to_queue() -> None:
    capacity = Capacity(replace(INFO, max_running=4, kv_tokens=100), None)
    for _ in range(4):
        capacity.take(10)
    capacity.follow(Load(4, 0, 0.1))
    assert capacity.limit == 4
    capacity.give(10)
    assert not capacity.fits(90)
    for _ in range(30):
        capacity.follow(Load(3, 0, 0.1))
    assert capacity.fits(90) and capacity.stretch == MOST_STRETCH, "requests take less than max_tokens"


def test_room_for_speculation_is_where_tokens_get_no_slower() -> None:
    pace = Pace("cuda")
    assert (pace.room, Pace("cpu").room) == (PRIOR_GPU, PRIOR_CPU)
    for _ in range(10):
        pace.observe(2, 100, 1.0)
        pace.observe(500, 100, 1.1)
    assert pace.room == 2 * 511, "not slower yet, so there is more"
    for _ in range(10):
        pace.observe(20, 100, 1.4)
    assert pace.room == 15
    pace.observe(1, 3, 100.0)
    assert pace.room == 15, "too short to say anything"
