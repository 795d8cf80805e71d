"""Requests of one input that belong together: led by one where the prompt is cold, decided early if that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from os.path import commonprefix
from typing import TypeVar

from hand_client import WORTH_LEADING, Client, Reply, Request

Decided = TypeVar("Decided")


class Warmth:
    """What is known to be in the server's cache: the beginning that all inputs of a command share."""

    def __init__(self, prompts: Sequence[tuple[int, ...]]) -> None:
        shared = len(commonprefix(list(prompts))) if len(prompts) > 1 else 0
        self._shared = shared if shared >= WORTH_LEADING else 0
        self._computed = asyncio.Event()
        self._taken = False

    async def missing(self, shared: int) -> int:
        """How many of a prompt's first `shared` tokens are still to be computed. Whoever asks first computes what all
        inputs share, and says so with `computed`; the others wait for that.
        """
        if not self._shared:
            return shared
        if not self._taken:
            self._taken = True
            return shared
        await self._computed.wait()
        return max(0, shared - self._shared)

    @property
    def known(self) -> bool:
        """Whether there is nothing that inputs share, or it is in the cache."""
        return not self._shared or self._computed.is_set()

    def computed(self) -> None:
        """The beginning is in the cache."""
        self._computed.set()


async def one_of_many(client: Client, request: Request, warmth: Warmth) -> Reply:
    """One request, whose prompt begins as those of the other inputs do: the first input's is computed, then theirs."""
    if await warmth.missing(len(request.ids)) < WORTH_LEADING or warmth.known:
        return await client.one(request)
    first = asyncio.Event()
    leader = asyncio.ensure_future(client.lead(request, client.rid(), first))
    await first.wait()
    warmth.computed()
    return await leader


async def fan_out(client: Client, requests: Sequence[Request], warmth: Warmth) -> list[Reply]:
    """All replies, in order. One POST for all, or the first alone until its first token has come."""
    if await warmth.missing(_shared(requests)) < WORTH_LEADING:
        warmth.computed()
        return await client.several(requests)
    first = asyncio.Event()
    leader = asyncio.ensure_future(client.lead(requests[0], client.rid(), first))
    await first.wait()
    warmth.computed()
    others = await client.several(requests[1:])
    return [await leader, *others]


async def fan_out_until(
    client: Client,
    requests: Sequence[Request],
    warmth: Warmth,
    decide: Callable[[dict[int, Reply]], Decided | None],
) -> Decided | None:
    """What `decide` makes of the replies so far (by index), as soon as it is not None; the rest is aborted then."""
    rids = [client.rid() for _ in requests]
    tasks: dict[asyncio.Task[Reply], int] = {}
    begin = 0
    if await warmth.missing(_shared(requests)) >= WORTH_LEADING:
        first = asyncio.Event()
        tasks[asyncio.ensure_future(client.lead(requests[0], rids[0], first))] = 0
        await first.wait()
        begin = 1
    warmth.computed()
    for index in range(begin, len(requests)):
        tasks[asyncio.ensure_future(client.one(requests[index], rids[index]))] = index
    replies: dict[int, Reply] = {}
    pending = set(tasks)
    decided: Decided | None = None
    while pending and decided is None:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        replies.update((tasks[task], task.result()) for task in done)
        decided = decide(replies)
    if pending:
        await client.abort([rids[tasks[task]] for task in pending])
        await asyncio.wait(pending)
    return decided


def _shared(requests: Sequence[Request]) -> int:
    """Tokens that at least two of the requests begin with. One alone shares nothing."""
    return len(commonprefix([request.ids for request in requests])) if len(requests) > 1 else 0
