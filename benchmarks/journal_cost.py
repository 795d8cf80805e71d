"""What a journal and a trace cost: CPU time of the client for each request, with, without, and the size of the files.

    python benchmarks/journal_cost.py [--inputs 300]

The engine answers at once with 64 tokens, so that all the time is the client's own. Each arm runs `--repeats` times, in
turn; the medians are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ttsc
from ttsc.backends.protocol import Completion, EngineInfo, GenerateRequest, Load
from ttsc.backends.scripted import ScriptedTokenizer

CANDIDATES = 16
TOKENS = 64
PROGRAM = f"""
prompt solve(question: str) {{
    user "{{{{ question }}}}"
}}
program many(question: str) -> int {{
    let pool = solve(question) |> sample({CANDIDATES}, max_tokens={TOKENS})
    return pool |> length
}}
"""


class Instant:
    """An engine that has every answer at once."""

    def __init__(self) -> None:
        self.info = EngineInfo("instant", "instant", 8192, True, max_running=64)
        self.tokenizer = ScriptedTokenizer()
        self._words = tuple(self.tokenizer.encode(" ".join(f"word{number}" for number in range(TOKENS // 2))))

    async def generate(self, request: GenerateRequest, on_progress: Any = None) -> Completion:
        await asyncio.sleep(0)
        return Completion(request.request_id, self._words, "length", None, len(request.input_ids), 0, len(self._words))

    async def abort(self, request_ids: Sequence[str]) -> None:
        return None

    async def load(self) -> Load | None:
        return None

    async def close(self) -> None:
        return None


async def measure(inputs: int, **more: Any) -> float:
    """CPU milliseconds for each request."""
    program, engine = ttsc.compile(PROGRAM), Instant()
    given = ({"question": f"question {number}, " + "with some more words " * 10} for number in range(inputs))
    began = time.process_time()
    async for result in program.amap(given, engine=engine, ordered=False, **more):  # type: ignore[arg-type]
        assert result.error is None, result.error
    return 1000 * (time.process_time() - began) / (inputs * CANDIDATES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    costs: dict[str, list[float]] = {"neither": [], "journal": [], "trace": []}
    sizes: dict[str, float] = {}
    asyncio.run(measure(10))
    for _ in range(asked.repeats):
        for arm, found in costs.items():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / arm
                found.append(asyncio.run(measure(asked.inputs, **({} if arm == "neither" else {arm: path}))))
                size = sum(file.stat().st_size for file in Path(folder).iterdir())
                sizes[arm] = size / (asked.inputs * CANDIDATES)
    for arm, found in costs.items():
        spread = f"{min(found):.3f} to {max(found):.3f}"
        print(
            f"{arm:8} {statistics.median(found):.3f} ms of CPU a request ({spread}), {sizes[arm]:.0f} bytes a request"
        )


if __name__ == "__main__":
    main()
