"""Turn: a chat message rendered from a template, with its pictures.

A picture among the arguments is written into the text as a mark of this rendering; afterwards each mark becomes the
engine's own (`IMAGE`), and the pictures stand beside the text in the order in which the template wrote them. Texts that
hold that character themselves would be taken for pictures, so there it is replaced.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from ttsc.backends.protocol import IMAGE, Image
from ttsc.backends.protocol import Turn as ChatTurn
from ttsc.compiler.ir.nodes import Turn
from ttsc.compiler.values.templates import render
from ttsc.runtime.blocks import Job
from ttsc.runtime.values import add_turn, plain

_NO_IMAGE = "\N{REPLACEMENT CHARACTER}"


def begin_turn(job: Job) -> bool:
    node = job.node
    assert isinstance(node, Turn)
    parent = job.whole(node.parent.id) if node.parent is not None else None
    images: tuple[Image, ...] = ()
    text = node.template.replace(IMAGE, _NO_IMAGE)
    if not node.literal:
        args = {name: plain(job.whole(value.id)) for name, value in node.args}
        text, images = rendered(node.template, args)
    job.cell.resolve(add_turn(parent, ChatTurn(node.role, text), images))
    return True


def rendered(template: str, args: Mapping[str, object]) -> tuple[str, tuple[Image, ...]]:
    """The message and the pictures in it, in order. A picture that is written twice is there twice."""
    pictures: list[Image] = []
    word = secrets.token_hex(8)

    def marked(value: object) -> object:
        match value:
            case Image():
                pictures.append(value)
                return f"[image {word} {len(pictures) - 1}]"
            case dict():
                return {name: marked(each) for name, each in value.items()}
            case list():
                return [marked(each) for each in value]
        return value

    text = render(template, {name: marked(value) for name, value in args.items()}).replace(IMAGE, _NO_IMAGE)
    if not pictures:
        return text, ()
    mark = re.compile(rf"\[image {word} (\d+)\]")
    shown = tuple(pictures[int(number)] for number in mark.findall(text))
    return mark.sub(IMAGE, text), shown
