"""A prefix cache over token ids: a radix tree in whole pages, whose leaves are evicted least recently used first.

It does what SGLang's does (a match splits the node that it ends in, what is locked stays, only leaves go), over packed
ids: a prompt is compared with a node in one memory comparison, and a token that is kept costs four bytes.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Sequence

ID_BYTES = 4


def packed(ids: Sequence[int]) -> bytes:
    """Ids as bytes, four for each. Raises `OverflowError` for an id that needs more."""
    return array("I", ids).tobytes()


class Node:
    """`key`: packed ids between the parent and here. `locks`: how many requests stand on it or below. `used`: when it
    was last matched or inserted.
    """

    __slots__ = ("children", "key", "locks", "parent", "queued", "used")

    def __init__(self, key: bytes, parent: Node | None, used: int) -> None:
        self.key = key
        self.parent = parent
        self.used = used
        self.locks = 0
        self.queued = False
        self.children: dict[bytes, Node] = {}


class RadixCache:
    """`page_tokens`: keys that go in and come out are cut to whole pages. `size`: tokens kept; `evictable`: those of
    them that no request stands on.
    """

    def __init__(self, page_tokens: int = 1) -> None:
        self._unit = ID_BYTES * page_tokens
        self._root = Node(b"", None, 0)
        self._now = 0
        self._order = 0
        self._leaves: list[tuple[int, int, Node]] = []
        self.size = 0
        self.evictable = 0
        self.evicted = 0

    @property
    def root(self) -> Node:
        return self._root

    def match(self, key: bytes) -> tuple[Node, int]:
        """The longest prefix of `key` that is kept, as its node, and how many tokens it has."""
        return self._walk(key)

    def insert(self, key: bytes) -> Node:
        """Keep `key`, cut to whole pages; the node where it ends."""
        key = key[: len(key) - len(key) % self._unit]
        node, tokens = self._walk(key)
        rest = key[tokens * ID_BYTES :]
        if not rest:
            return node
        leaf = Node(rest, node, self._now)
        node.children[rest[: self._unit]] = leaf
        self.size += len(rest) // ID_BYTES
        self.evictable += len(rest) // ID_BYTES
        self._queue(leaf)
        return leaf

    def lock(self, node: Node) -> None:
        """Keep the path to `node` from being evicted, until it is unlocked as often."""
        at: Node | None = node
        while at is not None and at is not self._root:
            if at.locks == 0:
                self.evictable -= len(at.key) // ID_BYTES
            at.locks += 1
            at = at.parent

    def unlock(self, node: Node) -> None:
        at: Node | None = node
        while at is not None and at is not self._root:
            at.locks -= 1
            if at.locks == 0:
                self.evictable += len(at.key) // ID_BYTES
                self._queue(at)
            at = at.parent

    def evict(self, tokens: int) -> int:
        """Drop whole leaves until at least so many tokens are gone, or nothing is left to drop; how many went."""
        gone = 0
        while gone < tokens and self._leaves:
            used, _, node = heapq.heappop(self._leaves)
            node.queued = False
            parent = node.parent
            if parent is None or node.locks or node.children:
                continue
            if node.used != used:
                self._queue(node)
                continue
            gone += len(node.key) // ID_BYTES
            del parent.children[node.key[: self._unit]]
            node.parent = None
            if parent is not self._root:
                self._queue(parent)
        self.size -= gone
        self.evictable -= gone
        self.evicted += gone
        return gone

    def _walk(self, key: bytes) -> tuple[Node, int]:
        """To where `key` leaves the tree, marking what is passed as used."""
        self._now += 1
        unit, now, node, at, end = self._unit, self._now, self._root, 0, len(key)
        while end - at >= unit:
            child = node.children.get(key[at : at + unit])
            if child is None:
                break
            if not key.startswith(child.key, at):
                child = self._split(child, _shared(child.key, key[at : at + len(child.key)]))
                child.used = now
                return child, (at + len(child.key)) // ID_BYTES
            child.used = now
            at += len(child.key)
            node = child
        return node, at // ID_BYTES

    def _split(self, node: Node, shared: int) -> Node:
        """Cut a node after `shared` bytes, less what is no whole page; the upper part."""
        parent = node.parent
        assert parent is not None
        shared -= shared % self._unit
        upper = Node(node.key[:shared], parent, self._now)
        upper.locks = node.locks
        parent.children[upper.key[: self._unit]] = upper
        node.key = node.key[shared:]
        node.parent = upper
        upper.children[node.key[: self._unit]] = node
        return upper

    def _queue(self, node: Node) -> None:
        """A node that may have become an evictable leaf."""
        if not (node.queued or node.locks or node.children):
            node.queued = True
            self._order += 1
            heapq.heappush(self._leaves, (node.used, self._order, node))


def _shared(one: bytes, other: bytes) -> int:
    """How many leading bytes are equal; at least one is not."""
    size = min(len(one), len(other))
    differ = int.from_bytes(one[:size], "little") ^ int.from_bytes(other[:size], "little")
    return ((differ & -differ).bit_length() - 1) // 8 if differ else size
