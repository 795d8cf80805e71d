"""Servers for the tests of faults: two small ones for the whole session, of which one may be killed; or, where no harm
is done to it, the one that TTSC_TEST_ENGINE_URL names.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # asked.py, proxy.py, servers.py
from asked import INPUTS, MODEL, results, values  # noqa: E402
from proxy import FaultProxy  # noqa: E402
from servers import NOTES, Server, tell  # noqa: E402

from ttsc.backends.protocol import EngineUnavailable  # noqa: E402
from ttsc.backends.sglang.server_command import require_sglang  # noqa: E402


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for note in NOTES:
        terminalreporter.write_line(f"[faults] {note}")


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two servers of the same model, running when first asked for. The second is the one that is killed."""
    try:
        require_sglang()
    except EngineUnavailable as error:
        tell(f"skipped: {error.message}")
        pytest.skip(f"{error.message}: {error.hint}")
    if not (MODEL / "model.safetensors").exists():
        pytest.skip(f"there is no model at {MODEL}: benchmarks/testbed/train.py makes it")
    folder = tmp_path_factory.mktemp("servers")
    both = Server(folder), Server(folder)
    began = time.monotonic()
    try:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Server.start, both))
        tell(f"two servers ready after {time.monotonic() - began:.1f} s")
        yield both
    finally:
        for server in both:
            server.stop()


@pytest.fixture
def victim(servers: tuple[Server, Server]) -> Server:
    """A running server that a test may kill."""
    servers[1].start()
    return servers[1]


@pytest.fixture(scope="session")
def engine_url(request: pytest.FixtureRequest) -> str:
    """The address of a deterministic server that nobody kills."""
    url = os.environ.get("TTSC_TEST_ENGINE_URL")
    if url:
        tell(f"using {url}")
        return url
    servers: tuple[Server, Server] = request.getfixturevalue("servers")
    return servers[0].url


@pytest.fixture
def proxy(engine_url: str) -> Iterator[FaultProxy]:
    """A proxy before the server, where nothing goes wrong until a test says so."""
    with FaultProxy(engine_url) as before:
        yield before


@pytest.fixture(scope="session")
def unbroken(engine_url: str) -> str:
    """The values of `INPUTS` when nothing goes wrong."""
    return values(asyncio.run(results(INPUTS, engine_url)))
