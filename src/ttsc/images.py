"""Pictures as parameters: from a file, from bytes, or from text in base 64. What they are is read off their bytes."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ttsc.backends.protocol import Image

MAX_BYTES = 20 * 1024 * 1024
"""Largest picture, as it comes: what SGLang's own clients send is far below."""

EXAMPLE = 'name a file, as in "cat.png", or give {"base64": "…"}'


class ImageRefused(ValueError):
    """No picture can be made of the value. The message says why; it follows the place, as in `parameter 'p'`."""


def read_image(value: Any) -> Image:
    """A picture from a path (a text may begin with `@`), bytes, `{"path": …}`, `{"base64": …, "media_type": …}`.

    Raises `ImageRefused` for anything else, a file that can't be read, a format other than PNG, JPEG, WebP and GIF,
    and more than `MAX_BYTES`.
    """
    match value:
        case Image(data=data, media_type=media_type):
            return _checked(data, media_type)
        case bytes() | bytearray() | memoryview():
            return _checked(bytes(value))
        case str():
            return _from_file(Path(value.removeprefix("@")))
        case os.PathLike():
            return _from_file(Path(value))
        case {"path": str(path), **rest} if not rest:
            return _from_file(Path(path))
        case {"base64": str(text), **rest} if set(rest) <= {"media_type"}:
            return _from_base64(text, rest)
    raise ImageRefused("must be a picture: a file's path, bytes, or base 64")


def _from_file(path: Path) -> Image:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageRefused(f"is a file of {_megabytes(path.stat().st_size)}, more than {_megabytes(MAX_BYTES)}")
        data = path.read_bytes()
    except OSError as error:
        raise ImageRefused(f"names a file that can't be read, '{path}': {error.strerror}") from None
    except ValueError:
        raise ImageRefused("names no file: the path holds a zero character") from None
    try:
        return _checked(data)
    except ImageRefused as error:
        raise ImageRefused(f"names '{path}', which {error}") from None


def _from_base64(text: str, rest: Mapping[Any, Any]) -> Image:
    if len(text) > MAX_BYTES * 4 // 3 + 4:
        raise ImageRefused(f"is more than {_megabytes(MAX_BYTES)}")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ImageRefused("is not base 64") from None
    return _checked(data, rest.get("media_type"))


def _checked(data: bytes, said: object = None) -> Image:
    if len(data) > MAX_BYTES:
        raise ImageRefused(f"is {_megabytes(len(data))}, more than {_megabytes(MAX_BYTES)}")
    found = sniffed(data)
    if found is None:
        raise ImageRefused("is no PNG, JPEG, WebP or GIF")
    if said is not None and said != found:
        raise ImageRefused(f"is said to be {said}, but its bytes are {found}")
    return Image(data, found)


def sniffed(data: bytes) -> str | None:
    """The media type that the first bytes tell, or None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "image/gif" if data[:6] in (b"GIF87a", b"GIF89a") else None


def _megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MB".replace(".0 ", " ")
