"""Fixtures of the language server's tests; a plugin, as tests ask for it by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsp_session import LIBRARY, TEXT, Session, uri_of


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session() -> AsyncIterator[Session]:
    running = Session()
    await running.start()
    yield running
    assert await running.stop() == 0
    assert not running.logged


@pytest.fixture
def uri(session: Session, tmp_path: Path) -> str:
    """`TEXT`, open; the file that it uses is on the disk."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "grades.tts").write_text(LIBRARY, encoding="utf-8")
    found = uri_of(tmp_path / "elect.tts")
    session.open(found, TEXT)
    return found
