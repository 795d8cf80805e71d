"""The tokenizer of simulated models: about as many tokens as a real one makes, and marks that survive as text.

A token is a piece of a word (up to 7 bytes, with the space before it), a run of white space, or a mark: four Braille
characters, which stand for 31 bits that a simulated model attaches to what it writes (`latents.py`). Text goes through
templates, judges, host functions and stores, so what is known of a candidate must be in its text.

Ids depend on the text alone, so they are the same in every process and order of events, and fit 32 bits:

    0 .. 4               special tokens
    n << 24 | bytes      1 to 3 bytes
    1 << 26 | ...        1 to 3 Braille characters
    1 << 27 .. 1 << 31   a piece by its hash; decoding one needs that this process has encoded it
    1 << 31 | 31 bits    a mark

What simulated models write is made of marks, of filler words, which every process knows, and of bytes: `spelled`. So
answers of another process, from a journal, are readable. A piece whose hash is taken is spelled, too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from ttsc.backends.protocol import IMAGE, Turn

END, SYSTEM, USER, ASSISTANT, PICTURE = range(5)
MARK = 1 << 31
_BYTES, _BRAILLE, _HASHED = 24, 26, 27
_PIECE_BYTES = 7
_PIECE = re.compile(
    f"(?P<image>{IMAGE})|(?P<mark>[\u2880-\u28ff][\u2800-\u28ff]{{3}})|(?P<dots>[\u2800-\u28ff]{{1,3}})"
    f"| ?[^\\s\u2800-\u28ff{IMAGE[0]}]+|\\s+|{IMAGE[0]}"
)
_ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
_KEPT = 200_000
_SHORT = 80

_texts: dict[int, str] = {END: "", SYSTEM: "", USER: "", ASSISTANT: "", PICTURE: ""}
"""Of ids that were met: shared by all tokenizers, since ids mean the same everywhere. Hashed pieces stay, as nothing
else knows them.
"""
_ids: dict[str, tuple[int, ...]] = {}
"""Of runs without marks that were met."""

_last: tuple[tuple[int, ...], str] = ((), "")

FILLER_WORDS = (
    "so then we now have this that with from into over under here there where while since hence first next last more "
    "less some many each both other same half twice add take give keep hold make use find see show sum part whole left "
    "right rest value case step line side way point form unit term fact idea note plan check count total still again"
).split()


class SimulatedTokenizer:
    """Has no state: two of them are equal."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimulatedTokenizer)

    def __hash__(self) -> int:
        return hash(SimulatedTokenizer)

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset({END})

    def encode(self, text: str) -> list[int]:
        found: list[int] = []
        for match in _PIECE.finditer(text):
            piece = match.group()
            ids = _ids.get(piece)
            if ids is None:
                ids = _piece_ids(piece, match.lastgroup)
            found += ids
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """What was decoded last is remembered: a completion's ids are asked for by whoever keeps it, one after the
        other.
        """
        global _last
        known, text = _last
        if known is not ids:
            text = decoded(ids)
            if isinstance(ids, tuple):
                _last = ids, text
        return text

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        *closed, last = turns
        ids = [each for turn in closed for each in (*self._opened(turn), END)] + self._opened(last)
        return ids if last.role == "assistant" else [*ids, END, ASSISTANT]

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        return [*([] if ended else [END]), *self.chat_ids(turns)]

    def _opened(self, turn: Turn) -> list[int]:
        return [_ROLES[turn.role], *self.encode(turn.text)]


def decoded(ids: Sequence[int]) -> str:
    """The text of ids, special tokens left out. A piece that this process never met is a replacement character."""
    parts = list(map(_texts.get, ids))
    try:
        return "".join(cast("list[str]", parts))
    except TypeError:  # a mark, or what this process never met
        pass
    at = 0
    while None in (rest := parts[at:] if at else parts):
        begun = at = at + rest.index(None)
        raw = b""
        while at < len(parts) and parts[at] is None:
            raw += mark_text(ids[at]).encode() if ids[at] >= MARK else _raw(ids[at])
            parts[at] = ""
            at += 1
        parts[begun] = raw.decode("utf-8", "replace")
    return "".join(cast("list[str]", parts))


def spelled(text: str) -> list[int]:
    """Ids of text that every process can read: marks, filler words, and three bytes each of everything else."""
    return list(_spelled(text) if len(text) <= _SHORT else _spelled.__wrapped__(text))


@lru_cache(maxsize=4096)
def _spelled(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for match in _PIECE.finditer(text):
        piece = match.group()
        if match.lastgroup is not None or piece in _FILLER:
            found += _ids.get(piece) or _piece_ids(piece, match.lastgroup)
        else:
            raw = piece.encode("utf-8", "replace")
            found += [_of_bytes(raw[at : at + 3]) for at in range(0, len(raw), 3)]
    return tuple(found)


def mark_text(mark: int) -> str:
    """The four characters of a mark's id."""
    return _DOTS[mark >> 24 & 0xFF] + _DOTS[mark >> 16 & 0xFF] + _DOTS[mark >> 8 & 0xFF] + _DOTS[mark & 0xFF]


_DOTS = tuple(chr(0x2800 + byte) for byte in range(256))


def _piece_ids(piece: str, kind: str | None) -> tuple[int, ...]:
    match kind:
        case "image":
            return (PICTURE,)
        case "mark":
            dots = [ord(each) - 0x2800 for each in piece]
            mark = dots[0] << 24 | dots[1] << 16 | dots[2] << 8 | dots[3]
            return (mark,)
        case "dots":
            payload = sum(ord(each) - 0x2800 << 8 * place for place, each in enumerate(reversed(piece)))
            ids: tuple[int, ...] = (1 << _BRAILLE | len(piece) << 24 | payload,)
        case _:
            ids = tuple(each for part in _parts(piece) for each in _part_ids(part))
    if len(_ids) >= _KEPT:
        _ids.clear()
    _ids[piece] = ids
    return ids


def _parts(piece: str) -> list[str]:
    """Parts of at most so many bytes, whole characters each."""
    if len(piece.encode("utf-8", "replace")) <= _PIECE_BYTES:
        return [piece]
    parts, size = [""], 0
    for each in piece:
        length = len(each.encode("utf-8", "replace"))
        if size + length > _PIECE_BYTES:
            parts.append("")
            size = 0
        parts[-1] += each
        size += length
    return parts


def _part_ids(part: str) -> tuple[int, ...]:
    raw = part.encode("utf-8", "replace")
    if len(raw) <= 3:
        known = _of_bytes(raw)
        _texts[known] = part
        return (known,)
    hashed = (1 << _HASHED) + zlib.crc32(raw) % (MARK - (1 << _HASHED))
    if _texts.setdefault(hashed, part) == part:
        return (hashed,)
    return tuple(_of_bytes(raw[at : at + 3]) for at in range(0, len(raw), 3))


def _of_bytes(raw: bytes) -> int:
    return len(raw) << _BYTES | int.from_bytes(raw, "big")


def _raw(token: int) -> bytes:
    """The bytes of a token that is no mark and was not met: they need not be whole characters."""
    if token >= 1 << _HASHED:
        return b"\xef\xbf\xbd"
    if token >= 1 << _BRAILLE:
        length = token >> 24 & 3
        return "".join(chr(0x2800 + (token >> 8 * place & 0xFF)) for place in reversed(range(length))).encode()
    length = token >> _BYTES
    return (token & (1 << 8 * length) - 1).to_bytes(length, "big")


_FILLER = frozenset(" " + word for word in FILLER_WORDS)
FILLER_IDS = tuple(_part_ids(" " + word)[0] for word in FILLER_WORDS)
