"""Which server a request goes to, as SGLang's router chooses in its cache-aware way.

It knows nothing of servers' caches: it remembers which prompts it has sent where. A prompt goes to the server that has
had the longest part of it, if that is more than `MATCHES` of it; else, or when load is out of balance, to the one with
the least requests.
"""

from __future__ import annotations

from collections import OrderedDict

from ttsc.backends.simulator.radix import ID_BYTES, Node, RadixCache

MATCHES = 0.3
IMBALANCE = 64
IMBALANCE_RATIO = 1.5
"""Load is out of balance if the most loaded server has so many requests more than the least loaded one, and so many
times as many.
"""
MOST_TOKENS = 1 << 26
"""Tokens that it remembers; beyond that it forgets the least recently used prompts."""


class Router:
    """`place` chooses a server for a request, `leave` says that the request has ended there."""

    def __init__(self, servers: int) -> None:
        self._loads = Loads(servers)
        self._prompts = RadixCache()
        self._sent: dict[Node, int] = {}
        self.matched = 0
        self.balanced = 0

    def place(self, key: bytes) -> int:
        """The server for a prompt (packed ids)."""
        chosen = self._choose(key) if len(self._loads) > 1 else 0
        self._loads.add(chosen, 1)
        return chosen

    def leave(self, server: int) -> None:
        self._loads.add(server, -1)

    def exclude(self, server: int) -> None:
        """It does not answer: nothing is sent there."""
        self._loads.exclude(server)

    def include(self, server: int) -> None:
        self._loads.include(server)

    def _choose(self, key: bytes) -> int:
        loads = self._loads
        least, most = loads.least, loads.most
        chosen = None
        node, found = self._prompts.match(key)
        if most - least <= IMBALANCE or most <= IMBALANCE_RATIO * least:
            if found * ID_BYTES > MATCHES * len(key):
                chosen = self._server_at(node)
        if chosen is None:
            self.balanced += 1
            chosen = loads.least_loaded
        else:
            self.matched += 1
        if self._prompts.size > MOST_TOKENS:
            self._prompts.evict(MOST_TOKENS // 8)
            self._sent = {node: server for node, server in self._sent.items() if node.parent is not None}
        self._sent[self._prompts.insert(key)] = chosen
        return chosen

    def _server_at(self, node: Node) -> int | None:
        """The server that a prompt through `node` was sent to last: itself, or whatever lies below."""
        at = node
        while at not in self._sent:
            if not at.children:
                return None
            at = next(reversed(at.children.values()))
        server = self._sent[at]
        return server if self._loads.includes(server) else None


class Loads:
    """Requests per server, with the least and the most at hand."""

    def __init__(self, servers: int) -> None:
        self._of = [0] * servers
        self._out: set[int] = set()
        self._by_load: dict[int, OrderedDict[int, None]] = {0: OrderedDict.fromkeys(range(servers))}
        self.least = 0
        self.most = 0

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, server: int) -> int:
        return self._of[server]

    def includes(self, server: int) -> bool:
        return server not in self._out

    @property
    def least_loaded(self) -> int:
        """Of servers with equal load the one that has had it longest."""
        return next(iter(self._by_load[self.least])) if self._by_load else 0

    def add(self, server: int, change: int) -> None:
        before = self._of[server]
        self._of[server] = before + change
        if server not in self._out:
            self._take(server, before)
            self._put(server)

    def exclude(self, server: int) -> None:
        if server not in self._out:
            self._out.add(server)
            self._take(server, self._of[server])

    def include(self, server: int) -> None:
        if server in self._out:
            self._out.discard(server)
            self._put(server)

    def _take(self, server: int, load: int) -> None:
        bucket = self._by_load[load]
        del bucket[server]
        if not bucket:
            del self._by_load[load]
            if self._by_load and load in (self.least, self.most):
                self.least, self.most = min(self._by_load), max(self._by_load)

    def _put(self, server: int) -> None:
        load = self._of[server]
        if not self._by_load:
            self.least = self.most = load
        self._by_load.setdefault(load, OrderedDict())[server] = None
        self.least, self.most = min(self.least, load), max(self.most, load)
