"""One real server for all engine tests: the one that TTSC_TEST_ENGINE_URL names, or one launched for the session."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.backends.sglang.launcher import launch
from ttsc.backends.sglang.server_command import require_sglang

sys.path.insert(0, str(Path(__file__).parent))  # tiny_models.py
MODEL = "smollm2-135m"


def tell(message: str) -> None:
    """Say something to whoever watches the tests, past pytest's capture."""
    print(f"[engine] {message}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def launched_engine() -> None:
    """Skips, saying why, where a test launches a server of its own and SGLang is not installed."""
    try:
        require_sglang()
    except EngineUnavailable as error:
        tell(f"skipped: {error.message}")
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture(scope="session")
def engine_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a deterministic server for `MODEL`."""
    url = os.environ.get("TTSC_TEST_ENGINE_URL")
    if url:
        tell(f"using {url}")
        yield url
        return
    try:
        require_sglang()
    except EngineUnavailable as error:
        tell(f"engine tests skipped: {error.message}")
        pytest.skip(f"{error.message}: {error.hint}")
    log: Path = tmp_path_factory.mktemp("engine") / "server.log"
    began = time.monotonic()
    with launch(MODEL, deterministic=True, on_progress=tell, log_path=log, timeout_s=600) as process:
        tell(f"{MODEL} ready after {time.monotonic() - began:.1f} s at {process.url}")
        yield process.url
    tell("stopped")


@pytest.fixture
async def engine(engine_url: str) -> AsyncIterator[SGLangEngine]:
    """A client of the server. Tests share its prefix cache, so those that look at it send prompts of their own."""
    attached = await SGLangEngine.connect(engine_url)
    yield attached
    await attached.close()
