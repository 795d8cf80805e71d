"""From turns to token ids, so that what continues a context extends its ids and never re-encodes them.

A conversation that goes on after the model has spoken cannot be rendered again as a whole: the model's own ids need not
be those that its text encodes to, and many templates rewrite history (they drop earlier reasoning, for instance). The
prefix cache would miss, and the model would read something that it never said. So only what comes *after* the model's
words is rendered: the template is run on a conversation in which a sentinel stands for them, and the text behind the
sentinel is encoded. It begins with what ends the turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from ttsc.backends.protocol import RequestRefused, Turn

# Survives trimming, splitting at </think> and the like; and no template has a reason to contain it.
_SENTINEL = "ttsc0sentinel0of0the0answer"
_OPENING = {"role": "user", "content": "x"}

_ROOTS = 256
"""Beginnings of conversations that are remembered."""

Render = Callable[[Sequence[Mapping[str, str]], bool], str]
Encode = Callable[[str], list[int]]


class Conversation:
    """Turns a model's turns into ids, given how to render, how to encode, and the tokens that end a turn."""

    def __init__(self, render: Render, encode: Encode, turn_ends: Mapping[str, int], *, bos: str = "") -> None:
        """`turn_ends` maps the text of each end-of-turn token to its id. `bos` is the text that starts a document."""
        self._render = render
        self._encode = encode
        self._turn_ends = dict(sorted(turn_ends.items(), key=lambda item: -len(item[0])))
        self._bos = bos
        self._tail = lru_cache(maxsize=4096)(self._tail_of)
        self._root = lru_cache(maxsize=_ROOTS)(self._root_of)

    def root(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation from its start up to where the assistant speaks; a last assistant turn stays open.

        The open turn is encoded by itself, as the model's own words would be: so the ids without it are a prefix.
        """
        closed, opened = _split(turns)
        if not closed:
            raise RequestRefused("a conversation cannot begin with the assistant", "start it with a user turn")
        return [*self._root(tuple((turn.role, turn.text) for turn in closed)), *self._opened(opened)]

    def extension(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        """Ids that close an assistant's turn and add `turns`; `ended`: the turn holds its end token already."""
        closed, opened = _split(turns)
        text = self._tail(tuple((turn.role, turn.text) for turn in closed))
        end = next((token for token in self._turn_ends if text.lstrip().startswith(token)), None)
        if not ended or end is None:
            return self._behind(text) + self._opened(opened)
        return self._behind(text.lstrip().removeprefix(end), end) + self._opened(opened)

    def _root_of(self, turns: tuple[tuple[str, str], ...]) -> tuple[int, ...]:
        """Ids of complete turns up to where the assistant speaks: prompts that differ in how its turn begins share
        them.
        """
        return tuple(self._encode(self._render([{"role": role, "content": text} for role, text in turns], True)))

    def _opened(self, text: str | None) -> list[int]:
        return self._behind(text) if text else []

    def _behind(self, text: str, token: str | None = None) -> list[int]:
        """Ids of a text that follows other ids.

        Encoded alone, some tokenizers would put a space in front of it: so it is encoded behind a special token, which
        is cut off again.
        """
        anchor = token or next(iter(self._turn_ends), None)
        if anchor is not None:
            ids = self._encode(anchor + text)
            if ids[:1] == [self._turn_ends[anchor]]:
                return ids[1:]
        return self._encode(text)

    def _tail_of(self, turns: tuple[tuple[str, str], ...]) -> str:
        """The text that follows an assistant's words when `turns` follow them."""
        added = [{"role": role, "content": text} for role, text in turns]
        spoken = {"role": "assistant", "content": _SENTINEL}
        _, found, tail = self._render([_OPENING, spoken, *added], True).rpartition(_SENTINEL)
        if found:
            return tail
        # This template drops what was said before. How a turn ends it must still know; the rest starts afresh.
        _, found, end = self._render([_OPENING, spoken], False).rpartition(_SENTINEL)
        if not found:
            raise RequestRefused(
                "the model's chat template leaves out what the assistant said",
                "start a new context instead of extending this one",
            )
        return end + self._render(added, True).removeprefix(self._bos)


def turn_end(render: Render, special: Mapping[str, int]) -> str | None:
    """The special token that a template puts behind an assistant's last words, if it does."""
    try:
        spoken = [_OPENING, {"role": "assistant", "content": _SENTINEL}]
        tail = render(spoken, False).rpartition(_SENTINEL)[2].lstrip()
    except RequestRefused:
        return None
    found = [token for token in special if token and tail.startswith(token)]
    return max(found, key=len, default=None)


def _split(turns: Sequence[Turn]) -> tuple[Sequence[Turn], str | None]:
    """The turns that are complete, and the assistant's open one behind them."""
    if turns and turns[-1].role == "assistant":
        return turns[:-1], turns[-1].text
    return turns, None
