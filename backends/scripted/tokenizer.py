"""A toy tokenizer for the scripted engine: words, runs of white space, and single other characters are tokens.

It is a stub, but it keeps the promises that the runtime relies on: decoding undoes encoding, and the ids of a longer
conversation start with those of a shorter one that the model answered. As with a real tokenizer, encoding two texts
apart is not always encoding them together ("he" + "llo").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ttsc.backends.protocol import Turn

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")
END = 0
_SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")


class ScriptedTokenizer:
    """Gives every token the next free id the first time it is seen. Ids below 4 are special and decode to nothing."""

    def __init__(self) -> None:
        self._tokens: list[str] = list(_SPECIAL)
        self._ids: dict[str, int] = {}

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset({END})

    def encode(self, text: str) -> list[int]:
        return [self._id(token) for token in _TOKEN.findall(text)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self._tokens[i] for i in ids if i >= len(_SPECIAL))

    def show(self, ids: Sequence[int]) -> str:
        """Text with the special tokens in it: what a script is matched against."""
        return "".join(self._tokens[i] for i in ids)

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        *closed, last = turns
        ids = [i for turn in closed for i in (*self._opened(turn), END)] + self._opened(last)
        return ids if last.role == "assistant" else [*ids, END, _role_id("assistant")]

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        return [*([] if ended else [END]), *self.chat_ids(turns)]

    def _opened(self, turn: Turn) -> list[int]:
        return [_role_id(turn.role), *self.encode(turn.text)]

    def _id(self, token: str) -> int:
        if token not in self._ids:
            self._ids[token] = len(self._tokens)
            self._tokens.append(token)
        return self._ids[token]


def _role_id(role: str) -> int:
    return _SPECIAL.index(f"<|{role}|>")
