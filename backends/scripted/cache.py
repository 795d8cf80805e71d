"""The prefix cache of a scripted engine: every sequence that it has computed, as a trie of ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Node:
    children: dict[int, _Node] = field(default_factory=dict)


class PrefixCache:
    """It has no end, and forgets nothing."""

    def __init__(self) -> None:
        self._root = _Node()

    def shared(self, ids: Sequence[int]) -> int:
        """How many of the first ids are there."""
        node, length = self._root, 0
        for each in ids:
            following = node.children.get(each)
            if following is None:
                break
            node, length = following, length + 1
        return length

    def remember(self, ids: Sequence[int]) -> None:
        """Keep a sequence."""
        node = self._root
        for each in ids:
            node = node.children.setdefault(each, _Node())
