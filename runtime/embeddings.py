"""Embeddings that a session has seen, so that no text is embedded twice: bounded, least recently used first out."""

from __future__ import annotations

from array import array
from collections import OrderedDict

MAX_NUMBERS = 1 << 22
"""Numbers kept per engine (32 MiB)."""


class Embeddings:
    """Vectors by text, of one engine."""

    def __init__(self, most: int = MAX_NUMBERS) -> None:
        self._most = most
        self._vectors: OrderedDict[str, array[float]] = OrderedDict()
        self._numbers = 0

    def get(self, text: str) -> tuple[float, ...] | None:
        vector = self._vectors.get(text)
        if vector is None:
            return None
        self._vectors.move_to_end(text)
        return tuple(vector)

    def put(self, text: str, vector: tuple[float, ...]) -> None:
        if text in self._vectors:
            return
        self._vectors[text] = array("d", vector)
        self._numbers += len(vector)
        while self._numbers > self._most:
            _, oldest = self._vectors.popitem(last=False)
            self._numbers -= len(oldest)
