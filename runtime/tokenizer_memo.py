"""What a tokenizer was asked during a run, so that a replay needs no tokenizer.

`RecordedTokenizer` stands before a model's own and tells of each question that it has not told of before;
`MemoTokenizer` answers the same questions from what was told. Ids to be decoded are kept as a digest: what they say is
what matters, and most of them are an answer's ids, which a trace has anyway.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from ttsc.backends.protocol import Engine, Tokenizer, Turn

Told = Callable[[str, Mapping[str, Any]], None]
"""`(which call, its arguments and result as JSON data)`."""


class NotInMemo(Exception):
    """The tokenizer was not asked this during the run. `asked`: what, in words."""

    def __init__(self, asked: str) -> None:
        super().__init__(asked)
        self.asked = asked


def ids_digest(ids: Sequence[int]) -> str:
    """16 hexadecimal digits."""
    return blake2b(array("q", ids).tobytes(), digest_size=8).hexdigest()


def _turns_key(turns: Sequence[Turn]) -> tuple[tuple[str, str], ...]:
    return tuple((turn.role, turn.text) for turn in turns)


class RecordedTokenizer:
    """A tokenizer that tells what it is asked. Equal to another that stands before an equal one."""

    def __init__(self, tokenizer: Tokenizer, told: Told, decoded: Callable[[Sequence[int], str], None]) -> None:
        self._tokenizer = tokenizer
        self._told = told
        self._decoded = decoded
        self._known: set[object] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordedTokenizer) and self._tokenizer == other._tokenizer

    def __hash__(self) -> int:
        return id(self)

    @property
    def eos_ids(self) -> frozenset[int]:
        return self._tokenizer.eos_ids

    def encode(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text)
        if self._new(("encode", text)):
            self._told("encode", {"text": text, "ids": ids})
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(ids)
        if ids:
            self._decoded(ids, text)
        return text

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        ids = self._tokenizer.chat_ids(turns)
        if self._new(("chat", _turns_key(turns))):
            self._told("chat", {"turns": _turns_key(turns), "ids": ids})
        return ids

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        ids = self._tokenizer.extension_ids(ended, turns)
        if self._new(("extension", ended, _turns_key(turns))):
            self._told("extension", {"ended": ended, "turns": _turns_key(turns), "ids": ids})
        return ids

    def _new(self, key: tuple[object, ...]) -> bool:
        digest = blake2b(repr(key).encode(), digest_size=16).digest()
        if digest in self._known:
            return False
        self._known.add(digest)
        return True


class RecordedEngine:
    """An engine with a recorded tokenizer, and otherwise as it is."""

    def __init__(self, engine: Engine, tokenizer: RecordedTokenizer) -> None:
        self._engine = engine
        self.tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


class MemoTokenizer:
    """A tokenizer that knows what one was asked."""

    def __init__(self, eos_ids: frozenset[int]) -> None:
        self.eos_ids = eos_ids
        self._ids: dict[tuple[object, ...], list[int]] = {}
        self._texts: dict[str, str] = {}

    def learn(self, call: str, data: Mapping[str, Any]) -> None:
        """Take in what a `RecordedTokenizer` told. Raises `KeyError` where something is missing."""
        turns = tuple((role, text) for role, text in data.get("turns", ()))
        match call:
            case "decode":
                self._texts[data["digest"]] = data["text"]
            case "encode":
                self._ids["encode", data["text"]] = data["ids"]
            case "chat":
                self._ids["chat", turns] = data["ids"]
            case "extension":
                self._ids["extension", data["ended"], turns] = data["ids"]

    def says(self, ids: Sequence[int], text: str) -> None:
        """These ids say this."""
        self._texts.setdefault(ids_digest(ids), text)

    def encode(self, text: str) -> list[int]:
        return self._answer(("encode", text), f"for the ids of {text[:60]!r}")

    def decode(self, ids: Sequence[int]) -> str:
        text = self._texts.get(ids_digest(ids)) if ids else ""
        if text is None:
            raise NotInMemo(f"for the text of {len(ids)} ids")
        return text

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        return self._answer(("chat", _turns_key(turns)), f"for the prompt {turns[-1].text[:60]!r}")

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        shown = turns[-1].text[:60] if turns else ""
        return self._answer(("extension", ended, _turns_key(turns)), f"for the further turn {shown!r}")

    def _answer(self, key: tuple[object, ...], asked: str) -> list[int]:
        found = self._ids.get(key)
        if found is None:
            raise NotInMemo(asked)
        return list(found)
