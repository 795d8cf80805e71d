"""The served model's own tokenizer and chat template, read from the model's folder.

Only small files are needed (`MODEL_FILES`), so an attached server's model need not be here: its tokenizer is looked for
at the path the server names, then among the files of that name on the Hugging Face hub (cached or downloaded), and last
asked of the server itself, token by token of text, over HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.backends.protocol import EngineError, ModelNotFound, Turn
from ttsc.backends.protocol import Tokenizer as TokenizerProtocol
from ttsc.backends.sglang.chat_template import PLAIN, ChatTemplate
from ttsc.backends.sglang.conversation import Conversation, turn_end
from ttsc.backends.sglang.segments import Segments

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODEL_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "config.json",
)
_TEXTS = 256
"""Decoded texts that are remembered."""
_HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
_WAY_OUT = "name a folder that holds the model's tokenizer.json: --tokenizer PATH"


class ModelTokenizer:
    """A tokenizer loaded from a folder. Encoding and rendering are pure: equal turns give equal ids.

    A model without a chat template is a base model: its conversations are written as `chat_template.PLAIN` says, as
    plain labelled paragraphs, and begin with the token that its tokenizer puts before a document, if it does.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: str | None,
        special_tokens: Mapping[str, str],
        eos_ids: Iterable[int],
        vocabulary_tokens: int | None = None,
    ) -> None:
        """`special_tokens` maps roles ("bos_token") to text. `eos_ids` are those that the configuration names.

        `vocabulary_tokens`: how many ids the model's own table has, which may be more than the tokenizer's.
        """
        self.vocabulary_tokens = vocabulary_tokens
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._segments = Segments(tokenizer)
        self._text = lru_cache(_TEXTS)(self._decoded)
        self._template = ChatTemplate(template or PLAIN, special_tokens)
        self._starts_documents = template is None
        special = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items()}
        ends = {number: text for text, number in special.items() if number in set(eos_ids)}
        closing = turn_end(self._render, special)
        if closing is not None:
            ends[special[closing]] = closing
        self._eos_ids = frozenset(ends) | frozenset(eos_ids)
        turn_ends = {text: number for number, text in ends.items()}
        bos = special_tokens.get("bos_token", "")
        self._conversation = Conversation(self._render, self.encode, turn_ends, bos=bos)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model has a chat template of its own."""
        return not self._starts_documents

    @property
    def eos_ids(self) -> frozenset[int]:
        """Ids that end a turn: those that the configuration names, and the one its chat template closes with."""
        return self._eos_ids

    def encode(self, text: str) -> list[int]:
        """Ids of plain text. Special tokens are added nowhere, and recognised where the text spells them."""
        return self._segments.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out. What was just decoded is remembered: an answer's text is asked for
        where it arrives, and where it becomes a candidate.
        """
        return self._text(tuple(ids))

    def _decoded(self, ids: tuple[int, ...]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        """Ids of a conversation up to where the assistant speaks next. A last assistant turn is left open."""
        ids = self._conversation.root(turns)
        if not self._starts_documents:
            return ids
        prefix: list[int] = self._tokenizer.encode("", add_special_tokens=True).ids
        return [number for number in prefix if number not in self._eos_ids] + ids

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        """Ids that close an assistant's turn and add `turns`; see `conversation.Conversation.extension`."""
        return self._conversation.extension(ended, turns)

    def _render(self, messages: Sequence[Mapping[str, str]], add_generation_prompt: bool) -> str:
        return self._template.render(messages, add_generation_prompt=add_generation_prompt)


def load_tokenizer(path: str | Path) -> ModelTokenizer:
    """The tokenizer of the model in folder `path` (a path of a tokenizer.json will do, too).

    Raises `ModelNotFound` when there is no tokenizer.json, `EngineError` when it cannot be read.
    """
    folder = Path(path)
    if folder.is_file():
        folder = folder.parent
    source = folder / "tokenizer.json"
    if not source.is_file():
        raise ModelNotFound(f"there is no tokenizer.json in {folder}", _missing_hint(folder))
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(source))
    except Exception as error:  # the library raises nothing narrower
        raise EngineError(f"{source} cannot be read as a tokenizer: {error}") from error
    settings = _read(folder / "tokenizer_config.json")
    special_tokens = _special_tokens(settings, _read(folder / "special_tokens_map.json"))
    config = _read(folder / "config.json")
    eos = _eos_ids(tokenizer, special_tokens, _read(folder / "generation_config.json"), config)
    size = _vocabulary_tokens(config)
    return ModelTokenizer(tokenizer, _template_text(folder, settings), special_tokens, eos, size)


def tokenizer_for_server(
    name: str, url: str, override: str | Path | None = None, api_key: str | None = None
) -> TokenizerProtocol:
    """The tokenizer for an attached server that says its tokenizer is `name` (a folder of its machine, or a hub name).

    Raises `EngineError` that names --tokenizer when none of the ways to it leads anywhere.
    """
    if override is not None:
        return load_tokenizer(_folder(str(override)) or override)
    tried = [f"no tokenizer.json in {name} on this machine"]
    folder = _folder(name)
    if folder is not None:
        return load_tokenizer(folder)
    if _HUB_NAME.match(name):
        tried.append(f"{name} is not in the Hugging Face cache and cannot be downloaded")
    from ttsc.backends.sglang.remote_tokenizer import RemoteTokenizer

    try:
        return RemoteTokenizer(url, api_key)
    except EngineError as error:
        tried.append(f"the server's own tokenizer does not do: {error.message}")
    raise EngineError(f"the tokenizer of the model that {url} serves was not found: " + "; ".join(tried), _WAY_OUT)


def _folder(name: str) -> Path | None:
    """The folder with the tokenizer of `name`, a path or a hub name; None when there is none to be had."""
    if (Path(name) / "tokenizer.json").is_file():
        return Path(name)
    return _from_hub(name) if _HUB_NAME.match(name) and not Path(name).exists() else None


def _from_hub(name: str) -> Path | None:
    """The folder with a hub model's small files: from the cache if it is there, else downloaded; None if it cannot."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return None
    for cached_only in (True, False):
        try:
            found = Path(snapshot_download(name, allow_patterns=list(MODEL_FILES), local_files_only=cached_only))
        except Exception:  # noqa: S112 (no cache, no network, no such model: the caller says what was tried)
            continue
        if (found / "tokenizer.json").is_file():
            return found
    return None


def _missing_hint(folder: Path) -> str:
    if (folder / "tokenizer.model").is_file():
        return "only a SentencePiece tokenizer.model is there; save it once with transformers' fast tokenizer"
    return _WAY_OUT


def _read(path: Path) -> dict[str, Any]:
    """A JSON object from a file; empty when there is none. Raises `EngineError` when it cannot be parsed."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EngineError(f"{path} cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}


def _special_tokens(*sources: Mapping[str, Any]) -> dict[str, str]:
    """The named special tokens ("bos_token": "<s>"), as transformers hands them to a template."""
    found: dict[str, str] = {}
    for source in reversed(sources):
        for role, value in source.items():
            text = value.get("content") if isinstance(value, dict) else value
            if role.endswith("_token") and isinstance(text, str):
                found[role] = text
    return found


def _vocabulary_tokens(config: Mapping[str, Any]) -> int | None:
    inner = config.get("text_config")
    for source in (config, inner if isinstance(inner, dict) else {}):
        if isinstance(source.get("vocab_size"), int):
            return int(source["vocab_size"])
    return None


def _eos_ids(tokenizer: Tokenizer, special_tokens: Mapping[str, str], *configs: Mapping[str, Any]) -> set[int]:
    ids: set[int] = set()
    for config in configs:
        inner = config.get("text_config")
        for source in (config, inner if isinstance(inner, dict) else {}):
            value = source.get("eos_token_id")
            ids.update(number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int))
    named = tokenizer.token_to_id(special_tokens.get("eos_token", ""))
    return ids if named is None else ids | {named}


def _template_text(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The chat template, from wherever the model keeps it; the one called "default" where there are several."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    value = _read(folder / "chat_template.json").get("chat_template") or settings.get("chat_template")
    if isinstance(value, list):
        named = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
        value = named.get("default", next(iter(named.values()), None))
    return value if isinstance(value, str) else None
