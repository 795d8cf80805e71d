"""What a scripted engine says: a table of patterns and replies.

The pattern is searched in the prompt as shown (`<|user|>…<|end|><|assistant|>`); the first row that matches applies,
and the seed chooses among its replies. A prompt whose assistant turn has begun is a continuation: only replies that
begin like it apply, and what they still have to say is the reply. So a step-wise search walks along whole scripted
answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from ttsc.backends.protocol import Sampling

Reply = Callable[[str, int, Sampling], str]
"""`(prompt as shown, seed, sampling) -> what the model says from there on`."""

_SPOKEN = "<|assistant|>"


def table(rows: Mapping[str, Sequence[str]], default: Sequence[str] = ("I do not know.",)) -> Reply:
    """A reply function from a table of regular expressions."""
    compiled = [(re.compile(pattern, re.DOTALL), tuple(replies)) for pattern, replies in rows.items()]

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        asked, _, begun = prompt.rpartition(_SPOKEN)
        found = next((replies for pattern, replies in compiled if pattern.search(asked)), tuple(default))
        going_on = [each[len(begun) :] for each in found if each.startswith(begun)]
        return going_on[seed % len(going_on)] if going_on else ""

    return reply
