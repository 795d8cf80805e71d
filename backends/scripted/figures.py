"""What a scripted engine reports where its script says nothing: log-probabilities, rewards, embeddings.

They depend on the tokens' text only, not on their ids (which the toy tokenizer gives in the order of arrival), so that
they are the same in every run, process and order of events.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Mapping, Sequence

Scores = Callable[[str, str], float | Sequence[float]]
"""`(what is before the span, the span, both as shown) -> the log-probability of each of its tokens`, or one for all."""
Confidences = Callable[[str, str], Sequence[float]]
"""`(what is before the output, the output, both as shown) -> the confidence of each of its tokens`."""
Reward = Callable[[str], float | Sequence[float]]
"""`text as shown -> the reward model's output`, or one per label."""
Embed = Callable[[str], Sequence[float]]
"""`text -> its vector`."""

DIMENSIONS = 64
_WORD = re.compile(r"\w+")


def default_logprobs(tokens: Sequence[str], start: int) -> tuple[float, ...]:
    """A number in (-4, 0) for each of `tokens[start:]`, which depends on it and on all tokens before it."""
    found, state = [], 0
    for place, token in enumerate(tokens):
        state = zlib.crc32(token.encode(), state)
        if place >= start:
            found.append(-(1 + state % 3999) / 1000)
    return tuple(found)


def default_confidence(token: str) -> float:
    """It is sure of every token but a question mark: so a script says where the model doubts."""
    return 1.0 if "?" in token else 8.0


def default_reward(text: str) -> float:
    """A number in [-2, 2]."""
    return (zlib.crc32(text.encode()) % 4001 - 2000) / 1000


def bag_of_words(text: str) -> tuple[float, ...]:
    """A vector of length 1 in which equal words count the same, whatever their order and case.

    Texts without words share one vector.
    """
    counts = [0.0] * DIMENSIONS
    for word in _WORD.findall(text.lower()) or [""]:
        counts[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
    norm = math.sqrt(sum(count * count for count in counts))
    return tuple(count / norm for count in counts)


def by_pattern(rows: Mapping[str, float], default: float = 0.0) -> Reward:
    """A reward function from a table of regular expressions, the first that is found in the text as shown."""
    compiled = [(re.compile(pattern, re.DOTALL), value) for pattern, value in rows.items()]

    def reward(text: str) -> float:
        return next((value for pattern, value in compiled if pattern.search(text)), default)

    return reward
