"""The arm of optillm 0.4.0: its proxy before the server, asked by plain HTTP.

`majority_voting` for self_consistency, its strong arm: one request for k completions (its `self_consistency` takes
five, one after the other, and compares whole texts). `bon` for best_of_n. What is not the same as in the other
arms, and can't be made so:

- Every question gets "User: " before it, and a system message, an empty one too.
- The vote takes the first text whose answer is the commonest by its own patterns ("answer:", "the answer is", …); a
  text without one is an answer by itself.
- `bon` samples at temperature 1, and rates by a prompt of its own at temperature 0.1, with at most 256 tokens, one
  text after the other; an answer that is more than a number counts 0.
- Neither passes `stop`, `ignore_eos` or seeds on. A workload that needs one of the first two is refused. On a
  server with deterministic inference the n completions of a request are one and the same.
- The proxy is Flask's development server with a thread per request; it makes a new OpenAI client each time. It
  reports one call; the server's counters tell how many there were.
"""

from __future__ import annotations

import asyncio
import ctypes
import http.client
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_file import Input, Task, last_match, task
from serve_arm import Outcome, arguments, serve

_APPROACHES = {"self_consistency": "majority_voting", "best_of_n": "bon"}
_START_TIMEOUT_S = 120.0


class Proxy:
    """A running optillm. Use as a context manager."""

    def __init__(self, task: Task) -> None:
        """Start it on a free port and wait until it answers. Raises `RuntimeError`."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [
            *(str(Path(sys.executable).with_name("optillm")), "--base-url", f"{task.url}/v1", "--model", task.model),
            *("--port", str(self.port), "--best-of-n", str(task.settings["n"]), "--log", "error"),
        ]
        # A key is wanted, and must begin so; other providers' keys would take precedence over the address.
        providers = ("CEREBRAS_API_KEY", "AZURE_OPENAI_API_KEY")
        environment = {name: value for name, value in os.environ.items() if name not in providers}
        environment = {name: value for name, value in environment.items() if not name.startswith("OPTILLM_")}
        self._process = subprocess.Popen(
            command,
            env={**environment, "OPENAI_API_KEY": "sk-none"},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            preexec_fn=_die_with_parent,
        )
        until = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.close()
                raise RuntimeError(f"optillm did not start; its exit status is {self._process.returncode}")
            time.sleep(0.1)

    def complete(self, body: dict[str, Any]) -> str:
        """The text of a chat completion. Raises `RuntimeError` for a refusal."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        try:
            headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-none"}
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise RuntimeError(f"optillm: {response.status} {answer[:500].decode(errors='replace')}")
            return json.loads(answer)["choices"][0]["message"]["content"] or ""
        finally:
            connection.close()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def close(self) -> None:
        """Stop it."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _die_with_parent() -> None:
    """Have the system end the proxy should the arm be killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Optillm:
    """A workload through the proxy."""

    def __init__(self, task: Task, proxy: Proxy) -> None:
        self._task = task
        self._proxy = proxy

    def warm_up(self) -> None:
        """Do what only a process's first request costs, with a prompt that no input shares."""
        self._proxy.complete(self._body([{"role": "user", "content": "Hello"}], n=1, max_tokens=1))

    async def run(self, seed: int, indices: list[int], concurrency: int) -> Outcome:
        """The workload on some inputs, so many at once. There are no seeds."""
        settings = self._task.settings
        if unknown := [name for name in ("stop", "ignore_eos") if settings.get(name)]:
            raise NotImplementedError(f"optillm passes {' and '.join(unknown)} on to no server")
        return await asyncio.to_thread(self._run, [self._task.inputs[index] for index in indices], concurrency)

    def _run(self, inputs: list[Input], concurrency: int) -> Outcome:
        with ThreadPoolExecutor(concurrency) as threads:
            texts = list(threads.map(self._one, inputs))
        pattern = self._task.settings.get("answer")
        answers = texts if pattern is None else [last_match(pattern, text) for text in texts]
        return Outcome(answers, len(inputs))

    def _one(self, item: Input) -> str:
        settings = self._task.settings
        return self._proxy.complete(self._body(item["messages"], settings["n"], settings["max_tokens"]))

    def _body(self, messages: list[dict[str, str]], n: int, max_tokens: int) -> dict[str, Any]:
        approach = _APPROACHES[self._task.workload]
        return {
            # The approach is what the name begins with, up to the first part between dashes that is none.
            "model": f"{approach}-{self._task.model}",
            "messages": messages,
            "k": n,
            "temperature": self._task.settings["temperature"],
            "max_tokens": max_tokens,
        }


async def main() -> None:
    options = arguments(__doc__).parse_args()
    wanted = task(options)
    if wanted.workload not in _APPROACHES:
        sys.exit(f"optillm has no {wanted.workload}")
    with Proxy(wanted) as proxy:
        peer = Optillm(wanted, proxy)
        peer.warm_up()
        await serve("optillm", importlib.metadata.version("optillm"), peer.run)


if __name__ == "__main__":
    asyncio.run(main())
