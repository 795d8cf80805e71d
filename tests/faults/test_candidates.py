"""One of n candidates that always fails: the others stand, and a choice is among them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from asked import questions, results, used
from proxy import Fault, FaultProxy

COUNT = 5
LIMIT = 24
FAILS = (Fault("status", 500), Fault("cut"), Fault("malformed"), Fault("reset_before"))


def seeds_of(proxy: FaultProxy, events: list[Any]) -> dict[tuple[int, int], int]:
    """The seed of each candidate, by input and index."""
    asked = [json.loads(body) for body in proxy.bodies]
    sent = {body["rid"]: body["sampling_params"]["sampling_seed"] for body in asked}
    begun = [event for event in events if type(event).__name__ == "RequestStarted"]
    return {(event.input, event.index): sent[event.request_id] for event in begun}


def vote(texts: list[str]) -> str:
    """The text that most say; of those with equally many the first."""
    return max(Counter(texts).items(), key=lambda item: item[1])[0]


@pytest.mark.parametrize("fault", FAILS, ids=lambda fault: fault.kind)
async def test_the_others_stand(fault: Fault, proxy: FaultProxy) -> None:
    inputs = questions(3, n=COUNT, limit=LIMIT)
    events: list[Any] = []
    whole = [each.value for each in await results(inputs, proxy.url, on_event=events.append)]
    failing = seeds_of(proxy, events)[1, 2]

    def fails(_number: int, body: bytes) -> Fault | None:
        return fault if json.loads(body)["sampling_params"]["sampling_seed"] == failing else None

    proxy.faults = fails
    proxy.bodies.clear()
    found = await results(inputs, proxy.url)
    assert [each.error for each in found] == [None] * 3
    assert [each.value for each in found] == [whole[0], whole[1][:2] + whole[1][3:], whole[2]]
    assert proxy.injected == {fault.kind: 4}
    assert used(found).requests == len(proxy.bodies) == 3 * COUNT + 3
    voted = await results(inputs, proxy.url, "voted")
    assert [each.value for each in voted] == [vote(each.value) for each in found]
