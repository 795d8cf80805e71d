"""The event loop of `ttsc run`: uvloop where it is installed, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest

from ttsc.cli.event_loop import run_on_fastest


async def kind() -> str:
    return type(asyncio.get_running_loop()).__name__


class OtherLoop(asyncio.SelectorEventLoop):
    """Stands in for uvloop's."""


def test_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=OtherLoop))
    assert run_on_fastest(kind()) == "OtherLoop"


def test_asyncio_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_on_fastest(kind()) != "OtherLoop"
