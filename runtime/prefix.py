"""The prefix gate: one useful request warms a cold shared prefix, the others follow.

An engine that gets k requests with one cold prompt at once may prefill it k times. So a request whose prompt shares
at least `threshold` tokens, beyond what is already warm, with a request that was sent and has not produced its first
token, waits for that token: then the prefix is in the cache. The request it waits for is its leader. It is asked for
when a request could be sent, so that a leader is always under way and nobody waits for one that is itself waiting.
When the first token comes all its followers go at once, as far as the limit lets them; prompts that share more than
the leader's prefix sort themselves out in the next round, so a tree of prefixes is warmed level by level, also across
inputs. If a leader fails or is aborted, the first of those that waited takes its place.

What is warm is a model of the engine's cache: prompts whose first token came, and what was generated after them. It
is bounded; the least recently used leaves go first. If the engine evicted something that is thought warm, followers
compute it again: slower, never wrong. An engine that was restarted has nothing (`forget`).
"""

from __future__ import annotations

from collections.abc import Callable

from ttsc.backends.protocol import EngineInfo
from ttsc.runtime.prefix_trie import Ids, Node, PrefixTrie

MAX_TOKENS = 1 << 20
"""Tokens kept per engine (about 10 MB)."""


_CPU_ROUND_TRIP = 4 * 10**8
"""Parameters times tokens that a CPU computes while a first token comes back, shared among some siblings."""
_CPU_LEAST, _CPU_MOST = 4, 32


def default_threshold(info: EngineInfo) -> int:
    """Fewest shared tokens worth a round trip.

    Prefill on a CPU is slow, so almost any, unless the model is so small that a token costs next to nothing.
    """
    if not info.device.startswith("cpu"):
        return 32 + info.page_tokens
    return min(_CPU_MOST, max(_CPU_LEAST, _CPU_ROUND_TRIP // info.parameters)) if info.parameters else _CPU_LEAST


class Leader:
    """A request on its way to its first token. `node` is where its prompt ends."""

    __slots__ = ("_waiting", "leads", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.leads = True
        self._waiting: dict[Callable[[], None], None] = {}

    def hold(self, again: Callable[[], None]) -> None:
        """Have `again` called when the first token came or the request ended."""
        self._waiting[again] = None

    def let_go(self, again: Callable[[], None]) -> None:
        """It is not to be called after all."""
        self._waiting.pop(again, None)

    def release(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for again in waiting:
            again()


class PrefixGate:
    """The gate of one engine, shared by all programs and inputs of a session."""

    def __init__(self, threshold: int, max_tokens: int = MAX_TOKENS) -> None:
        self._threshold = threshold
        self._max_tokens = max_tokens
        self._trie = PrefixTrie()
        self._clock = 0
        self._last: Node | None = None
        self._last_ids: Ids = ()

    @property
    def tokens(self) -> int:
        return self._trie.tokens

    def keep(self, ids: Ids) -> Node:
        """The place of a prompt, which stays until it is dropped."""
        node, last = self._last, self._last_ids
        if node is None or ids is not last or not node.users:  # continuations of one source share their prompt
            node = self._last = self._trie.insert(ids)
            self._last_ids = ids
        node.users += 1
        return node

    def drop(self, node: Node) -> None:
        """The opposite of `keep`."""
        node.users -= 1
        self._prune(node)

    def look(self, node: Node) -> tuple[int, Leader | None]:
        """How many tokens of the prompt are warm, and whom to wait for: the request that is prefilling most of the
        rest.

        What is warm, or pending, is so from the root on: the first such node on the way up is the deepest.
        """
        pending: Node | None = None
        while not node.warm:
            if pending is None and node.pending:
                pending = node
            assert node.parent is not None
            node = node.parent
        if pending is None or pending.depth - node.depth < self._threshold:
            return node.depth, None
        leader = next(iter(pending.pending))
        assert isinstance(leader, Leader)
        return node.depth, leader

    def enter(self, node: Node) -> Leader | None:
        """The request is sent; whether it leads, that is whether it has enough to prefill for others to wait."""
        warm, _ = self.look(node)
        if node.depth - warm < self._threshold:
            return None
        leader = Leader(node)
        at: Node | None = node
        while at is not None and not at.warm:
            at.pending[leader] = None
            at = at.parent
        return leader

    def first_token(self, leader: Leader) -> None:
        """The prompt is in the cache now."""
        self._warm(leader.node)
        self.leave(leader)

    def leave(self, leader: Leader) -> None:
        """The request led and ended, in whatever way. Doing it again does nothing."""
        if not leader.leads:
            return
        leader.leads = False
        node: Node | None = leader.node
        while node is not None and leader in node.pending:
            del node.pending[leader]
            node = node.parent
        self._prune(leader.node)
        leader.release()

    def warm(self, node: Node, output: Ids = ()) -> None:
        """The engine has computed the prompt that ends at `node`, and `output` after it."""
        self._warm(self._trie.insert(output, node))
        if self._trie.tokens > self._max_tokens:
            self._evict()

    def forget(self) -> None:
        """The engine's cache is empty."""
        for node in self._trie.nodes():
            node.warm = False
        for leaf in [node for node in self._trie.nodes() if not node.children]:
            self._prune(leaf)

    def _warm(self, node: Node) -> None:
        self._clock += 1
        node.used = self._clock
        at: Node | None = node
        while at is not None and not at.warm:
            at.warm = True
            at.used = self._clock
            at = at.parent

    def _prune(self, node: Node) -> None:
        """Remove a node, and those above it, as far as nothing is known of them and nobody keeps them."""
        while not (node.children or node.warm or node.pending or node.users):
            node = self._trie.remove_leaf(node)

    def _evict(self) -> None:
        """Forget the leaves unused for longest, to three quarters of the limit."""
        target = self._max_tokens * 3 // 4
        while self._trie.tokens > target:
            leaves = [n for n in self._trie.nodes() if not (n.children or n.pending or n.users)]
            if not leaves:
                return
            for leaf in sorted(leaves, key=lambda each: each.used):
                if self._trie.tokens <= target:
                    return
                self._trie.remove_leaf(leaf)
