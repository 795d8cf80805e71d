"""The arm of SGLang's frontend language, 0.5.23: its programs (`frontend_programs`) through its `run_batch`.

As it comes, or with `--warm`: every shared prefix is computed before it is needed, which the frontend means to do
and for the most part does not. Facts that a comparison needs:

- Every request opens a connection of its own (urllib), in a thread of its own; `run_batch` bounds the programs that
  run at once, not their forks.
- It cannot cancel, and it has no seeds: on a server with deterministic inference the forks of one prompt would give
  the same text. A seed of its own is added to each request.
- With more than one input it sends what the program begins with ahead, if that is longer than 64 characters.
- A continuation is sent as text and tokenised again: where a model's tokens are not those that its text is encoded
  to, the cache is missed from there on.
- The template named "default" is asked for: others append their stop strings to each request.
- `calls` counts requests for no token as well; `warm_ups` says how many they were.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import sys
import threading
from typing import Any

from data_file import Task, first_seeds, task
from serve_arm import Outcome, arguments, serve

from ttsc.backends.sglang.cpu import standins

# The one thing of ttsc here: SGLang does not load where packages are missing that only a GPU needs.
standins.install()

import sglang  # noqa: E402
from frontend_programs import Programs  # noqa: E402
from sglang.lang.backend.runtime_endpoint import RuntimeEndpoint  # noqa: E402
from sglang.lang.ir import SglSamplingParams  # noqa: E402


class CountingEndpoint(RuntimeEndpoint):  # type: ignore[misc]
    """The server, how many requests went there, and a seed for each."""

    def __init__(self, url: str) -> None:
        super().__init__(url, chat_template_name="default")
        self._lock = threading.Lock()
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Count from zero, for a command with this seed."""
        self.calls = self.warm_ups = 0
        self._seeds = first_seeds(seed)

    def _count(self, warm_up: bool) -> None:
        with self._lock:
            self.calls += 1
            self.warm_ups += warm_up

    def generate(self, s: Any, sampling_params: SglSamplingParams) -> Any:
        self._count(warm_up=False)
        fields = {**sampling_params.to_srt_kwargs(), "sampling_seed": next(self._seeds)}
        # The parameters are this request's own copy.
        sampling_params.to_srt_kwargs = lambda: fields
        return super().generate(s, sampling_params)

    def commit_lazy_operations(self, s: Any) -> None:
        self._count(warm_up=True)
        super().commit_lazy_operations(s)

    def cache_prefix(self, prefix_str: str) -> None:
        self._count(warm_up=True)
        super().cache_prefix(prefix_str)


class Frontend:
    """A workload's program on a server."""

    def __init__(self, task: Task, warm: bool) -> None:
        self._task = task
        self._endpoint = CountingEndpoint(task.url)
        # Programs that are called by programs find it there.
        sglang.set_default_backend(self._endpoint)
        self._programs = Programs(task, warm)

    def warm_up(self) -> None:
        """Do what only a process's first request costs, with a prompt that no input shares."""
        self._endpoint.cache_prefix("Hello")

    async def run(self, seed: int, indices: list[int], concurrency: int) -> Outcome:
        """The workload on some inputs, so many at once."""
        return await asyncio.to_thread(self._run, seed, indices, concurrency)

    def _run(self, seed: int, indices: list[int], concurrency: int) -> Outcome:
        workload = self._task.workload
        program, answer = self._programs.of(workload)
        self._endpoint.reset(seed)
        constant = self._programs.constant(workload)
        if constant:
            self._endpoint.cache_prefix(constant)
        batch = [self._programs.arguments(self._task.inputs[index]) for index in indices]
        states = program.run_batch(batch, temperature=0, backend=self._endpoint, num_threads=concurrency)
        for state in states:
            # A failure inside of a state is only noted there.
            if state.error() is not None:
                raise state.error()
        answers = [answer(state) for state in states]
        return Outcome(answers, self._endpoint.calls, {"warm_ups": self._endpoint.warm_ups})


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--warm", action="store_true", help="compute every shared prefix before it is needed")
    options = parser.parse_args()
    frontend = Frontend(task(options), options.warm)
    frontend.warm_up()
    await serve("frontend_warm" if options.warm else "frontend", importlib.metadata.version("sglang"), frontend.run)
    # A program that failed leaves threads that wait for ever, and Python would wait for them.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
