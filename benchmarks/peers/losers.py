"""Tokens that losers decode after the decision: what an abort comes too late for.

    python benchmarks/peers/losers.py --model testbed --inputs 16

Runs the workloads that can be decided early, with ttsc's default options, on an engine whose requests all stream: so it
is known how many tokens of each had come when its abort was sent; the server's own count says how many it decoded.
Streaming makes the client slower, so that times are measured elsewhere (`run.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import ttsc  # noqa: E402
from benchmarks.peers.server import Server, serving  # noqa: E402
from benchmarks.peers.workloads import DECIDABLE, PROGRAMS, Sizes, workload  # noqa: E402
from ttsc.backends.protocol import Completion, GenerateRequest, Progress  # noqa: E402
from ttsc.backends.sglang.client import SGLangEngine  # noqa: E402


class Watched(SGLangEngine):
    """The engine; every request streams, and `late` has what each decoded after its abort was sent."""

    seen: dict[str, int]
    at_abort: dict[str, int]
    late: list[int]

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        self.seen[request.request_id] = 0

        def progress(report: Progress) -> None:
            self.seen[request.request_id] = report.tokens
            if request.stream and on_progress is not None:
                on_progress(report)

        completion = await super().generate(replace(request, stream=True), progress)
        if completion.finish == "abort" and request.request_id in self.at_abort:
            self.late.append(max(0, completion.completion_tokens - self.at_abort[request.request_id]))
        return completion

    async def abort(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            self.at_abort.setdefault(request_id, self.seen.get(request_id, 0))
        await super().abort(request_ids)


async def late_tokens(server: Server, name: str, sizes: Sizes, kind: Any, inputs: int) -> list[int]:
    """Of each request that was given up while it decoded, the tokens it decoded after that."""
    made = workload(name, kind, sizes)
    engine = await Watched.connect(server.url)
    assert isinstance(engine, Watched)
    engine.seen, engine.at_abort, engine.late = {}, {}, []
    try:
        server.empty()
        program = ttsc.compile(PROGRAMS / f"{name}.tts")
        given = [made.values(i) for i in range(inputs)]
        async for result in program.amap(given, engine=engine, concurrency=inputs):
            if result.error is not None:
                raise SystemExit(f"{name}: {result.error.message}")
    finally:
        await engine.close()
    return engine.late


def main() -> int:
    """Entry point. 0: no loser decoded more than 2 tokens after the decision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", metavar="URL", help="a running server that nobody else uses; its cache is emptied")
    parser.add_argument("--model", default="testbed", help="what to start (%(default)s)")
    parser.add_argument("--inputs", type=int, default=16, help="how many at once (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "losers.json")
    options = parser.parse_args()
    kind = "testbed" if options.model == "testbed" else "chat"
    rows = []
    with serving(options.model, options.engine, "") as server:
        for name in sorted(DECIDABLE):
            late = asyncio.run(late_tokens(server, name, Sizes.of(kind), kind, options.inputs))
            rows.append({"workload": name, "late": late})
            print(
                f"{name}: {len(late)} losers, at most {max(late, default=0)} tokens late", file=sys.stderr, flush=True
            )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"model": options.model, "inputs": options.inputs, "rows": rows}
    options.out.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return int(any(tokens > 2 for row in rows for tokens in row["late"]))


if __name__ == "__main__":
    sys.exit(main())
