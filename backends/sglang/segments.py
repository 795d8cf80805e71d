"""Encoding by lines: what prompts share is encoded once.

Most of a prompt is the same from input to input (instructions, worked examples), and encoding it costs more than all
else that a client does for a request. A text is cut where an ASCII letter follows a line's end, and the ids of the
pieces are remembered. That gives the ids of the whole where nothing that a tokenizer does reaches across such a place:
its normalizer composes no letter with a line's end, its pattern for words ends one there whatever else is around it,
and pairs are merged within words only. Whether a tokenizer is such a one is looked up, not tried: one whose pattern is
not among those known here encodes every text as a whole.

What stands before the cut is encoded with a letter behind it, whose id is dropped: some patterns treat the white space
at a text's end in another way than that before a word.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CUT = re.compile(r"(?<=\n)(?=[A-Za-z])")
_LETTER = "x"
_REMEMBERED = 1024
_LONGEST = 2000
"""Characters of the longest piece that is remembered."""

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = frozenset(_CONTRACTIONS + _WORDS + digits + _OTHERS for digits in (r"\p{N}", r"\p{N}{1,3}"))
"""Qwen's and Llama 3's. GPT-2's is a `ByteLevel` with a pattern of its own. None looks behind itself, and in none does
a word go on from a line's end to a letter.
"""


class Segments:
    """Ids of texts for one tokenizer: equal to those that it gives itself."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._letter = self._whole(_LETTER)
        self._cuts = len(self._letter) == 1 and _cuts_at_lines(tokenizer)
        self._piece = lru_cache(maxsize=_REMEMBERED)(self._before_a_letter)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens added."""
        if not self._cuts or "\n" not in text:
            return self._whole(text)
        *pieces, last = _CUT.split(text)
        ids: list[int] = []
        for piece in pieces:
            ids += self._piece(piece) if len(piece) <= _LONGEST else self._before_a_letter(piece)
        return ids + self._whole(last)

    def _before_a_letter(self, text: str) -> list[int]:
        return self._whole(text + _LETTER)[:-1]

    def _whole(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _cuts_at_lines(tokenizer: Tokenizer) -> bool:
    """Whether no word, no pair and no added token reaches across a line's end before a letter."""
    if type(tokenizer.model).__name__ != "BPE" or getattr(tokenizer.model, "dropout", None):
        return False
    if not all(part["type"] == "NFC" for part in _parts(tokenizer.normalizer, "normalizers")):
        return False
    *splits, last = _parts(tokenizer.pre_tokenizer, "pretokenizers") or [{"type": "none"}]
    if last["type"] != "ByteLevel" or last.get("add_prefix_space"):
        return False
    if not all(part["type"] == "Digits" or _known(part) for part in splits):
        return False
    if not (last.get("use_regex", True) or any(map(_known, splits))):
        return False
    added = tokenizer.get_added_tokens_decoder().values()
    return not any(_CUT.search(token.content) or token.lstrip for token in added)


def _known(part: dict[str, Any]) -> bool:
    return (
        part["type"] == "Split"
        and part.get("pattern", {}).get("Regex") in _PATTERNS
        and part.get("behavior") == "Isolated"
        and not part.get("invert")
    )


def _parts(stage: Any, inner: str) -> list[dict[str, Any]]:
    """A stage of a tokenizer as it is saved, a sequence of stages one by one."""
    if stage is None:
        return []
    saved: dict[str, Any] = json.loads(stage.__getstate__())
    return list(saved[inner]) if saved["type"] == "Sequence" else [saved]
