"""A real server's answers spoiled on their way: what can be had is had, with the values of a run without faults, and
what can't ends with an error that says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from asked import INPUTS, PROGRAM, questions, results, used, values
from proxy import Fault, FaultProxy, always, by_chance, requests_in, scripted, seed_of

from ttsc.backends.protocol import EngineUnavailable
from ttsc.backends.sglang.client import SGLangEngine
from ttsc.cli import run
from ttsc.runtime.events import RunResult

FAULTS = {
    "429": Fault("status", 429, retry_after_s=0.1),
    "500": Fault("status", 500),
    "503": Fault("status", 503),
    "drip": Fault("drip"),
    "cut": Fault("cut"),
    "cut later": Fault("cut", after_bytes=700),
    "malformed": Fault("malformed"),
    "reset before": Fault("reset_before"),
    "reset after": Fault("reset_after"),
}
REQUESTS = 4 * len(INPUTS)


@pytest.mark.parametrize("name", FAULTS)
async def test_what_passes_by_changes_no_value(name: str, proxy: FaultProxy, unbroken: str) -> None:
    fault = FAULTS[name]
    proxy.faults = scripted(dict.fromkeys((1, 2, 4), fault))
    found = await results(INPUTS, proxy.url)
    assert values(found) == unbroken
    check_counts(proxy, found)
    assert proxy.injected.keys() == {fault.kind}


@pytest.mark.parametrize("seed", [1, 3, 14])  # each hits the first POST, which may be the only one
async def test_several_of_them_together(seed: int, proxy: FaultProxy, unbroken: str) -> None:
    proxy.faults = by_chance(seed, 0.4, tuple(FAULTS.values()), posts=6)
    found = await results(INPUTS, proxy.url)
    assert values(found) == unbroken
    check_counts(proxy, found)
    assert len(proxy.injected) >= 2


def check_counts(proxy: FaultProxy, found: Sequence[RunResult]) -> None:
    """Every request that a fault ended was sent again, and no other; some of a cut answer's had ended before."""
    hit = {kind: count for kind, count in proxy.injected.items() if kind != "drip"}
    usage = used(found)
    assert usage.failed == usage.retries == usage.requests - REQUESTS == len(proxy.asked) - REQUESTS
    assert sum(hit.values()) - hit.get("cut", 0) <= usage.retries <= sum(hit.values())
    assert usage.retries or not hit
    assert max(Counter(map(seed_of, proxy.asked)).values()) <= 4


# -- silence --------------------------------------------------------------------------------------------------------


async def test_a_server_that_hangs_for_a_while_changes_no_value(proxy: FaultProxy, unbroken: str) -> None:
    """It takes the first requests and answers nothing, not even how it is; then it does again."""

    def hang(number: int, _body: bytes) -> None:
        proxy.hung = proxy.hung or number == 1

    proxy.faults = hang
    engine = await SGLangEngine.connect(proxy.url, silence_s=1.0)

    def on_event(event: object) -> None:
        if "has hung" in getattr(event, "error", ""):
            proxy.faults, proxy.hung = scripted({}), False

    found = await results(INPUTS, engine, on_event=on_event)
    await engine.close()
    assert values(found) == unbroken
    assert 1 <= used(found).retries == used(found).failed <= REQUESTS


async def test_a_server_that_hangs_for_good_is_given_up(proxy: FaultProxy) -> None:
    engine = await SGLangEngine.connect(proxy.url, silence_s=0.5)
    proxy.hung = True
    found = await results(INPUTS[:2], engine, engine_wait=0.5)
    await engine.close()
    errors = [each.error for each in found]
    assert [error and error.code for error in errors] == ["R0401", "R0401"]
    assert all(error is not None and "has hung" in error.message and error.hint for error in errors)


async def test_a_request_that_hangs_alone_is_hedged(proxy: FaultProxy) -> None:
    """The server is well: only with `hedge` is a request that takes long sent a second time."""
    inputs = questions(1, n=8)
    expected = values(await results(inputs, proxy.url))
    chosen = seed_of(proxy.asked[5])
    proxy.asked.clear()

    def hang_once(_number: int, body: bytes) -> Fault | None:
        seeds = [seed_of(request) for request in requests_in(body)]
        if chosen not in seeds or "hang" in proxy.injected:
            return None
        # Requests that go together are answered together or not: one that fails is sent again alone.
        return Fault("hang") if len(seeds) == 1 else Fault("status", 500)

    proxy.faults = hang_once
    found = await results(inputs, proxy.url, hedge=5.0)
    assert values(found) == expected
    assert proxy.injected["hang"] == 1
    assert [seed_of(request) for request in proxy.asked].count(chosen) >= 3


# -- what lasts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "drafts.tts"
    path.write_text(PROGRAM, encoding="utf-8")
    return str(path)


def ask(file: str, url: str) -> int:
    return run(["run", file, "-p", "voted", "--set", "question=Q:12+34", "--set", "n=1", "--engine", url])


LASTING = [
    ("500", "the server answered 500: the proxy's own fault", 4),
    ("503", "the server answered 503: the proxy's own fault", 4),
    ("429", "the server answered 429: the proxy's own fault", 4),
    ("cut", "the connection to", 4),
    ("malformed", "the server's answer", 4),
    ("reset before", "the connection to", 4),
    ("reset after", "the connection to", 4),
]


@pytest.mark.parametrize(("name", "message", "times"), LASTING)
def test_what_lasts_is_told(
    name: str, message: str, times: int, proxy: FaultProxy, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.faults = always(FAULTS[name])
    assert ask(file, proxy.url) == 1
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    assert "error[R0402]" in err and message in err
    assert len(proxy.asked) == times


def test_a_server_that_asks_for_too_much_patience(
    proxy: FaultProxy, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.faults = always(Fault("status", 429, retry_after_s=3600))
    assert ask(file, proxy.url) == 1
    _, err = capsys.readouterr()
    assert "error[R0402]" in err and "429" in err and "Traceback" not in err
    assert len(proxy.asked) == 1


def test_nobody_there(proxy: FaultProxy, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultProxy("http://127.0.0.1:1") as nowhere:
        assert ask(file, nowhere.url) == 5
    out, err = capsys.readouterr()
    assert out == "" and "error[R0401]" in err and "hint: " in err and "Traceback" not in err


def test_another_model_in_the_middle_of_a_run(proxy: FaultProxy, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    def swap(_number: int, _body: bytes) -> Fault:
        proxy.model = "somebody/else"
        return Fault("reset_before")

    proxy.faults = swap
    assert ask(file, proxy.url) == 1
    out, err = capsys.readouterr()
    assert out == "" and "error[R0403]" in err and "now serves somebody/else" in err and "Traceback" not in err
    assert len(proxy.asked) == 1, "nothing is computed on it"


async def test_a_server_that_is_gone_when_a_run_begins(proxy: FaultProxy) -> None:
    with FaultProxy("http://127.0.0.1:1") as nowhere, pytest.raises(EngineUnavailable) as error:
        await results(INPUTS, nowhere.url)
    assert error.value.hint
