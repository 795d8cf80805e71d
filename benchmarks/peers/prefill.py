"""Prefill with long shared prompts: what the server computed of prompts, over what it had to.

    python benchmarks/peers/prefill.py --model smollm2-135m --shared 2000

Every prompt of a workload begins with the same text of about --shared tokens. What must be computed are the distinct
tokens of the prefix tree of all prompts, without those that the server itself decoded; its counter says what it did
compute. One input alone, from an empty cache, with ttsc's default options. The last token of a prompt is always
computed again, so n samples of one prompt cost n - 1 tokens more than the tree has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import ttsc  # noqa: E402
from benchmarks.peers.server import Server, serving  # noqa: E402
from benchmarks.peers.workloads import NAMES, PROGRAMS, Sizes, workload  # noqa: E402
from ttsc.backends.protocol import Completion, GenerateRequest, Progress  # noqa: E402
from ttsc.backends.sglang.client import SGLangEngine  # noqa: E402

Sequence = tuple[tuple[int, ...], tuple[int, ...]]
"""A request's prompt and what was decoded after it."""


class Recorded(SGLangEngine):
    """The engine, and what it was asked and answered."""

    sequences: list[Sequence]

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        completion = await super().generate(request, on_progress)
        self.sequences.append((request.input_ids, completion.output_ids))
        return completion


def tree_tokens(sequences: Iterable[Sequence]) -> int:
    """Distinct tokens of the prefix tree of the prompts, without those that a request decoded."""
    root: dict[int, Any] = {}
    marks: dict[int, set[str]] = {}
    kept = list(sequences)
    for prompt, output in kept:
        at = root
        for token in prompt:
            at = at.setdefault(token, {})
            marks.setdefault(id(at), set()).add("prompt")
        for token in output:
            at = at.setdefault(token, {})
            marks.setdefault(id(at), set()).add("decoded")
    return sum(1 for each in marks.values() if each == {"prompt"})


async def measured(server: Server, name: str, sizes: Sizes) -> dict[str, Any]:
    """One workload: counts, and the ratio of computed tokens to those of the tree."""
    made = workload(name, "chat", sizes, server.reward_url)
    engine = await Recorded.connect(server.url)
    assert isinstance(engine, Recorded)
    engine.sequences = []
    engines: dict[str, Any] = {"policy": engine}
    if name == "particle_filter":
        engines["prm"] = server.reward_url
    try:
        server.empty()
        before = server.counts()
        program = ttsc.compile(PROGRAMS / f"{name}.tts")
        externs = [ttsc.extern(_check)] if name == "verify_refine" else None
        result = await program.arun(made.values(0), engine=engines, externs=externs)
        server.idle()
        spent = server.counts().since(before)
    finally:
        await engine.close()
    tree = tree_tokens(engine.sequences)
    return {
        "workload": name,
        "requests": spent.requests,
        "prompt": spent.prompt,
        "computed": spent.computed,
        "tree": tree,
        "distinct_by_ttsc": result.usage.distinct_tokens,
        "ratio": round(spent.computed / tree, 4),
    }


def _check(answer: str, expected: str) -> bool:
    return answer == expected


_check.__name__ = "check"


def main() -> int:
    """Entry point. 0: every ratio is at most 1.02."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", metavar="URL", help="a running server that nobody else uses; its cache is emptied")
    parser.add_argument("--reward", metavar="URL", help="a reward model's server, for particle_filter")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--shared", type=int, default=2000, help="tokens that all prompts begin with (%(default)s)")
    parser.add_argument("--workloads", default=",".join(NAMES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "prefill.json")
    options = parser.parse_args()
    sizes = replace(Sizes.small(), samples=8, particles=8, shared_tokens=options.shared)
    rows = []
    with serving(options.model, options.engine, options.reward) as server:
        for name in options.workloads.split(","):
            if name == "particle_filter" and not server.reward_url:
                print("particle_filter: left out, it needs --reward URL", file=sys.stderr)
                continue
            rows.append(asyncio.run(measured(server, name, sizes)))
            print(rows[-1], file=sys.stderr, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = {"model": options.model, "shared": options.shared, "rows": rows}
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(any(row["ratio"] > 1.02 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
