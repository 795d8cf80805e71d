"""What a file needs beside that asks how sure a model is of its tokens, or stops candidates below a bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ttsc.backends.protocol import Completion, GenerateRequest
from ttsc.backends.sglang.confidence import OriginalFigures
from ttsc.runtime.bars import Bar, Watch, stopped
from ttsc.runtime.generation import _of_grid, bar_of, top_of

if TYPE_CHECKING:
    from ttsc.backends.sglang.stream import Decoded
    from ttsc.standalone.support.server import Server


class Watched:
    """One request, and the bar below which it is stopped, if it has one."""

    def __init__(self, bar: Bar | None) -> None:
        self._bar = bar
        self._watch = None if bar is None else Watch(bar)

    @property
    def fell(self) -> bool:
        return self._watch is not None and self._watch.place is not None

    def falls(self, decoded: Decoded) -> bool:
        """Whether it has fallen below the bar by now, and had not before."""
        return self._watch is not None and not self.fell and self._watch.push(decoded.confidences[self._watch.seen :])

    def ended(self, answer: Completion) -> Completion:
        return stopped(self._bar, answer)[0]


class Confident:
    """What the continuations of one `generate` ask for."""

    def __init__(self, top: object = None, below: object = None, window: object = None) -> None:
        self.top = top_of(top)
        self._options: Mapping[str, object] = {"below": below, "window": window}
        self._bar: Bar | None = None

    def of(self, place: int) -> Confident:
        """What the continuation at this place of a grid asks for."""
        found = Confident(self.top)
        found._bar = bar_of(*(_of_grid(self._options[name], place) for name in ("below", "window")))
        return found

    @property
    def streams(self) -> bool:
        return self._bar is not None

    @property
    def every(self) -> int:
        return 1 if self._bar is None else self._bar.every

    async def watched(self, server: Server, request: GenerateRequest) -> Watched:
        """Raises `RequestRefused` if the server can't give the model's own figures."""
        if server.figures is None:
            server.figures = OriginalFigures(server.url, lambda body: server._post("/generate", body))
        await server.figures.require(request)
        return Watched(self._bar)
