"""Embeddings of simulated models: texts that share words are near each other."""

from __future__ import annotations

import math
import re
import zlib

DIMENSIONS = 64
_WORD = re.compile(r"\w+")


def bag_of_words(text: str) -> tuple[float, ...]:
    """A vector of length 1: word counts, hashed into so many dimensions, without order and case.

    Texts without words share one vector.
    """
    counts = [0.0] * DIMENSIONS
    for word in _WORD.findall(text.lower()) or [""]:
        counts[zlib.crc32(word.encode()) % DIMENSIONS] += 1
    norm = math.sqrt(sum(each * each for each in counts))
    return tuple(each / norm for each in counts)
