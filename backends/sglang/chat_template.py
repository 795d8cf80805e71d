"""A model's chat template, rendered as Hugging Face's `apply_chat_template` renders it.

Templates come with models and are not trusted: Jinja's immutable sandbox runs them. The environment's settings, filters
and globals are those that transformers gives a template, since templates are written against them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ttsc.backends.protocol import IMAGE, RequestRefused

# For a base model, which has no template: plain labelled paragraphs, as a text on the web might show a conversation.
PLAIN = (
    "{% for message in messages %}"
    "{{ {'system': '', 'user': 'User: ', 'assistant': 'Assistant: '}[message['role']] }}"
    "{{ message['content'] + '\\n\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


_PICTURE = {"type": "image"}
_NO_PICTURES = "the model's chat template has no place for pictures"
_PICTURES_HINT = "give this role a model that takes pictures, or leave them out"


class _GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}` marks what the assistant says, for training; here only its content."""

    tags = {"generation"}  # noqa: RUF012 (Jinja's own interface)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which would change the text that models were trained on.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> str:
    raise jinja2.TemplateError(message)


class ChatTemplate:
    """A compiled chat template with the special tokens that it may name."""

    def __init__(self, text: str, special_tokens: Mapping[str, str], now: datetime | None = None) -> None:
        """`now` is what `strftime_now` says; it is fixed once, so that a prompt stays a prefix past midnight.

        Raises `RequestRefused` for a template that does not compile.
        """
        moment = now or datetime.now()
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = moment.strftime
        self._special_tokens = dict(special_tokens)
        try:
            self._template = environment.from_string(text)
        except jinja2.TemplateError as error:
            raise RequestRefused(f"the model's chat template does not compile: {error}") from error

    def render(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool) -> str:
        """The conversation as text, with the model's placeholder for each `IMAGE`.

        Raises `RequestRefused` when the template refuses it.
        """
        pictured = any(IMAGE in message["content"] for message in messages)
        try:
            text = self._template.render(
                messages=[{**message, "content": _parts(message["content"])} for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except Exception as error:  # a template may fail in as many ways as a program
            if pictured:
                raise RequestRefused(f"{_NO_PICTURES}: {error}", _PICTURES_HINT) from error
            roles = ", ".join(message["role"] for message in messages)
            raise RequestRefused(
                f"the model's chat template refuses turns by {roles}: {error}",
                "most templates want an optional system turn first, then user and assistant in turn",
            ) from error
        if pictured and str(_PICTURE) in text:
            raise RequestRefused(_NO_PICTURES, _PICTURES_HINT)
        return text


def _parts(text: str) -> str | list[dict[str, str]]:
    """A message's content as templates take it: a text, or the parts of one with pictures."""
    first, *others = text.split(IMAGE)
    if not others:
        return text
    parts = [{"type": "text", "text": first}] if first else []
    for other in others:
        parts.append(dict(_PICTURE))
        if other:
            parts.append({"type": "text", "text": other})
    return parts
