"""The tokenizer of an attached server, asked over HTTP: for a model whose files are nowhere to be found here.

SGLang's /v1/tokenize renders turns with the model's own chat template, and /v1/detokenize spells special tokens out, so
the two together give the rendered text that `conversation` needs. Every call blocks for about a millisecond on a near
server, so answers are remembered; a local tokenizer is always preferred.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ttsc.backends.protocol import IMAGE, EngineError, EngineUnavailable, RequestRefused, Turn
from ttsc.backends.sglang.answers import error_text
from ttsc.backends.sglang.blocking import ask
from ttsc.backends.sglang.conversation import Conversation
from ttsc.backends.sglang.wire import encoded, json_object

_REMEMBERED = 8192
_ANSWER_S = 30.0


class RemoteTokenizer:
    """A server's tokenizer. Safe to use from any thread."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        """Raises `EngineError` when the server has no such endpoints or they do not suffice."""
        self._url = url
        self._api_key = api_key
        self._ids = lru_cache(maxsize=_REMEMBERED)(self._ask_ids)
        self._text = lru_cache(maxsize=_REMEMBERED)(self._ask_text)
        word = f"x{uuid.uuid4().hex}"
        if self._text(self._ids(word), True) != word:
            raise RequestRefused("it does not give back the text that it was given")
        ends = self._turn_ends(word)
        self._eos_ids = frozenset(ends.values())
        self._conversation = Conversation(self._render, self.encode, ends)

    @property
    def eos_ids(self) -> frozenset[int]:
        """The id with which the model's chat template closes an assistant's turn."""
        return self._eos_ids

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, without special tokens added."""
        return list(self._ids(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out."""
        return self._text(tuple(ids), True) if ids else ""

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation up to where the assistant speaks next. A last assistant turn is left open."""
        return self._conversation.root(turns)

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        """Ids that close an assistant's turn and add `turns`; see `conversation.Conversation.extension`."""
        return self._conversation.extension(ended, turns)

    def _turn_ends(self, word: str) -> dict[str, int]:
        """The special token behind an assistant's last words, if the template puts one there."""
        spoken = [{"role": "user", "content": "x"}, {"role": "assistant", "content": word}]
        tail = self._render(spoken, False).rpartition(word)[2].lstrip()
        first = self._ids(tail)[:1] if tail else ()
        # Special tokens, and only they, disappear when special tokens are skipped.
        return {self._text(first, False): first[0]} if first and not self._text(first, True) else {}

    def _render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
        return self._text(self._chat(messages, add_generation_prompt), False)

    def _chat(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> tuple[int, ...]:
        if any(IMAGE in message["content"] for message in messages):
            raise RequestRefused(
                "where a picture goes cannot be asked of a server", "name a folder with the tokenizer: --tokenizer PATH"
            )
        body = {
            "messages": [dict(message) for message in messages],
            "add_generation_prompt": add_generation_prompt,
            "add_special_tokens": False,
        }
        return tuple(self._post("/v1/tokenize", body)["tokens"])

    def _ask_ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._post("/v1/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"])

    def _ask_text(self, ids: tuple[int, ...], skip_special: bool) -> str:
        return str(self._post("/v1/detokenize", {"tokens": list(ids), "skip_special_tokens": skip_special})["text"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            status, data = ask(f"{self._url}{path}", encoded(body), timeout_s=_ANSWER_S, api_key=self._api_key)
        except OSError as error:
            raise EngineUnavailable(f"the server's tokenizer does not answer: {error}") from error
        if status != 200:
            raise EngineError(f"{path} answered {status}: {error_text(data)[:200]}")
        return json_object(data)
