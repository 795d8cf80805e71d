"""The prefix gate: one useful request warms a cold shared prefix, the others follow.

An engine that gets k requests with one cold prompt at once may prefill it k times. So a request whose prompt shares
at least `threshold` tokens, beyond what is already warm, with a request in flight that has not produced its first
token, waits for that token: then the prefix is in the cache. The request it waits for is its leader; if a leader
fails or is cancelled, the first of those that waited takes its place. Prompts that share more than the leader's
prefix sort themselves out in the next round, so a tree of prefixes is warmed level by level, also across inputs.

What is warm is a model of the engine's cache: prompts whose first token came, and what was generated after them. It
is bounded; the least recently used leaves go first. If the engine evicted something that is thought warm, followers
compute it again: slower, never wrong.
"""

from __future__ import annotations

import asyncio

from ttsc.backends.protocol import EngineInfo
from ttsc.runtime.prefix_trie import Ids, Node, PrefixTrie

MAX_TOKENS = 1 << 20
"""Tokens kept per engine (about 10 MB)."""


def default_threshold(info: EngineInfo) -> int:
    """Fewest shared tokens worth a round trip: prefill on a CPU is slow, so almost any."""
    return 4 if info.device.startswith("cpu") else 32 + info.page_tokens


class Leader:
    """A request in flight before its first token. `path` are the trie's nodes of its prompt."""

    __slots__ = ("_waiting", "ids", "leads")

    def __init__(self, ids: Ids, leads: bool) -> None:
        self.ids = ids
        self.leads = leads
        self._waiting: list[asyncio.Future[None]] = []

    async def settled(self) -> None:
        """Until the first token came or the request ended."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class PrefixGate:
    """The gate of one engine, shared by all inputs of a session."""

    def __init__(self, threshold: int, max_tokens: int = MAX_TOKENS) -> None:
        self._threshold = threshold
        self._max_tokens = max_tokens
        self._trie = PrefixTrie()
        self._clock = 0

    async def enter(self, ids: Ids) -> Leader:
        """Wait until nothing better than prefilling is left to do; the caller then leads or follows."""
        while True:
            warm, leader = self._look(ids)
            if leader is None:
                break
            await leader.settled()
        entry = Leader(ids, leads=len(ids) - warm >= self._threshold)
        if entry.leads:
            for node in self._trie.insert(ids):
                node.pending[entry] = None
        return entry

    def first_token(self, entry: Leader) -> None:
        """The prompt is in the cache now."""
        self.warm(entry.ids)
        self.leave(entry)

    def leave(self, entry: Leader) -> None:
        """The request led and ended, in whatever way. Doing it again does nothing."""
        if not entry.leads:
            return
        entry.leads = False
        path = self._trie.insert(entry.ids)
        for node in path:
            node.pending.pop(entry, None)
        self._prune(path[-1] if path else None)
        entry.release()

    def warm(self, ids: Ids) -> None:
        """The engine has computed `ids`."""
        self._clock += 1
        for node in self._trie.insert(ids):
            node.warm = True
            node.used = self._clock
        if self._trie.tokens > self._max_tokens:
            self._evict()

    @property
    def tokens(self) -> int:
        return self._trie.tokens

    def _look(self, ids: Ids) -> tuple[int, Leader | None]:
        """How much of `ids` is warm, and whom to wait for: the request that is prefilling most of the rest."""
        warm = pending = 0
        leader: Leader | None = None
        for node, common in self._trie.match(ids):
            if node.warm:
                warm += common
                pending += common
            elif node.pending:
                pending += common
                leader = next(e for e in node.pending if isinstance(e, Leader))
            else:
                break
        return warm, leader if pending - warm >= self._threshold else None

    def _prune(self, node: Node | None) -> None:
        while node is not None and node.parent is not None and not node.children and not node.warm and not node.pending:
            node = self._trie.remove_leaf(node)

    def _evict(self) -> None:
        """Forget the leaves unused for longest, to three quarters of the limit."""
        target = self._max_tokens * 3 // 4
        while self._trie.tokens > target:
            leaves = [leaf for leaf in self._trie.leaves() if not leaf.pending]
            if not leaves:
                return
            for leaf in sorted(leaves, key=lambda each: each.used):
                if self._trie.tokens <= target:
                    return
                self._trie.remove_leaf(leaf)
