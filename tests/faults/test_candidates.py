"""One of n candidates that always fails: the others stand, and a choice is among them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from asked import questions, results, used
from proxy import Fault, FaultProxy, requests_in, seed_of

COUNT = 5
LIMIT = 24
FAILS = (Fault("status", 500), Fault("cut"), Fault("malformed"), Fault("reset_before"))


def seeds_of(proxy: FaultProxy, events: list[Any]) -> dict[tuple[int, int], int]:
    """The seed of each candidate, by input and index."""
    sent = {request["rid"]: seed_of(request) for request in proxy.asked}
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
        return fault if failing in map(seed_of, requests_in(body)) else None

    proxy.faults = fails
    proxy.asked.clear()
    found = await results(inputs, proxy.url)
    assert [each.error for each in found] == [None] * 3
    assert [each.value for each in found] == [whole[0], whole[1][:2] + whole[1][3:], whole[2]]
    times = Counter(map(seed_of, proxy.asked))
    assert times[failing] == 4
    assert times.total() == used(found).requests == 3 * COUNT + used(found).retries
    voted = await results(inputs, proxy.url, "voted")
    assert [each.value for each in voted] == [vote(each.value) for each in found]
