"""The server that is measured: started or attached to, emptied before each run, read before and after it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from ttsc.backends.sglang.launcher import launch
from ttsc.backends.sglang.metrics import Sample, parse_metrics

TESTBED = Path(__file__).parents[1] / "testbed" / "models"
_SETTLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """The server's own counters, or the difference of two readings.

    prompt: tokens of prompts; cached: those it had; computed: those it computed; decoded: tokens it decoded, whoever
    wanted them; requests; aborted: requests that were given up.
    """

    prompt: int = 0
    cached: int = 0
    computed: int = 0
    decoded: int = 0
    requests: int = 0
    aborted: int = 0

    def since(self, before: Counts) -> Counts:
        """What was added after `before`."""
        return Counts(**{name: value - getattr(before, name) for name, value in asdict(self).items()})


# A request's first token comes out of its prefill, so that `decode` does not count it: the rest is per step.
_COUNTERS: dict[str, tuple[str, dict[str, str]]] = {
    "prompt": ("sglang:prompt_tokens_total", {}),
    "cached": ("sglang:cached_tokens_total", {}),
    "computed": ("sglang:realtime_tokens_total", {"mode": "prefill_compute"}),
    "decoded": ("sglang:generation_tokens_total", {}),
    "requests": ("sglang:num_requests_total", {}),
    "aborted": ("sglang:num_aborted_requests_total", {}),
}


def counts(samples: Sequence[Sample]) -> Counts:
    """The counters of one reading of /metrics. One that the server has not written yet is 0."""
    found: dict[str, int] = {}
    for name, (metric, labels) in _COUNTERS.items():
        wanted = labels.items()
        found[name] = round(
            sum(s.value for s in samples if s.name == metric and wanted <= dict(s.labels).items()),
        )
    return Counts(**found)


class Server:
    """One SGLang server, which nobody else uses meanwhile. `reward_url`: that of a reward model beside it."""

    def __init__(self, url: str, reward_url: str = "") -> None:
        self.url = url.rstrip("/")
        self.reward_url = reward_url
        self._http = httpx.Client(timeout=60.0)

    def info(self) -> dict[str, Any]:
        """What it says of itself."""
        answer: dict[str, Any] = self._http.get(f"{self.url}/server_info").json()
        return answer

    def empty(self) -> None:
        """Wait until nothing runs, and empty the prefix caches: SGLang refuses to while a request is under way.

        Raises `TimeoutError`.
        """
        for url in filter(None, (self.url, self.reward_url)):
            until = time.monotonic() + _SETTLE_S
            while self._http.post(f"{url}/flush_cache").status_code != 200:
                if time.monotonic() > until:
                    raise TimeoutError(f"{url} is not idle after {_SETTLE_S:.0f} s")
                time.sleep(0.02)

    def idle(self) -> None:
        """Wait until nothing runs: what an arm left behind is the arm's. Raises `TimeoutError`."""
        until = time.monotonic() + _SETTLE_S
        while True:
            loads = self._http.get(f"{self.url}/v1/loads").json()["loads"]
            if not any(each["num_running_reqs"] + each["num_waiting_reqs"] for each in loads):
                return
            if time.monotonic() > until:
                raise TimeoutError(f"{self.url} is not idle after {_SETTLE_S:.0f} s")
            time.sleep(0.02)

    def counts(self) -> Counts:
        """Its counters, once they have stopped moving. Raises `TimeoutError`, `httpx.HTTPError`."""
        until = time.monotonic() + _SETTLE_S
        last: Counts | None = None
        while True:
            answer = self._http.get(f"{self.url}/metrics")
            answer.raise_for_status()
            now = counts(parse_metrics(answer.text))
            if now == last:
                return now
            if time.monotonic() > until:
                raise TimeoutError(f"the counters of {self.url} go on moving")
            last = now
            time.sleep(0.05)

    def prompt_tokens(self, body: dict[str, Any], path: str = "/v1/chat/completions") -> int:
        """How many tokens the server makes of a chat, or of a text (`/v1/completions`)."""
        answer = self._http.post(f"{self.url}{path}", json={"max_tokens": 1, "temperature": 0.0, **body})
        answer.raise_for_status()
        return int(answer.json()["usage"]["prompt_tokens"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@contextmanager
def serving(model: str, url: str | None, reward_url: str | None) -> Iterator[Server]:
    """The server at `url`, or one that is started for `model` (with a reward model's where the model has one).

    `testbed` is the model of `benchmarks/testbed`. Servers are started in deterministic mode, so that they honour
    seeds, on a GPU, too.
    """
    with ExitStack() as stack:
        if url is None and model == "testbed":
            url = stack.enter_context(started(TESTBED / "policy"))
            if reward_url is None and (TESTBED / "prm").is_dir():
                reward_url = stack.enter_context(started(TESTBED / "prm"))
        elif url is None:
            process = launch(model, deterministic=True, on_progress=_tell)
            url = stack.enter_context(process).url
        server = Server(url, reward_url or "")
        stack.callback(server.close)
        yield server


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """The address of a server of one of the test bed's models, with room for all that 64 inputs have in flight."""
    if not folder.is_dir():
        raise SystemExit(f"there is no {folder}: train the test bed's models first (`make testbed`)")
    room = ["--max-total-tokens", "131072"]
    with launch(str(folder), deterministic=True, on_progress=_tell, extra_args=room) as process:
        yield process.url


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
