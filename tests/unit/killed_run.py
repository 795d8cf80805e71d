"""A process that is going to be killed: many inputs on a scripted engine, with a journal.

    python killed_run.py JOURNAL OUT REQUESTS COUNT

Writes each result to OUT and each request that the engine answered to REQUESTS, as they come, and ends well if nobody
kills it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ttsc
from ttsc.backends.protocol import Sampling, Turn
from ttsc.backends.scripted import ScriptedEngine

PROGRAM = """
prompt solve(question: str) {
    user "{{ question }}"
}

prompt judge(question: str, answer: str) {
    user "{{ question }}: is {{ answer }} right?"
}

program voted(question: str) -> list[str] {
    let answer = solve(question) |> sample(2, max_tokens=4) |> vote(by=text)
    let verdict = judge(question, answer) |> sample(1, max_tokens=4) |> one |> text
    return [answer, verdict]
}
"""
_MARKS = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")


class ByteTokenizer:
    """One token per byte, the same ids in every process."""

    eos_ids = frozenset({0})

    def encode(self, text: str) -> list[int]:
        return [each + len(_MARKS) for each in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(each - len(_MARKS) for each in ids if each >= len(_MARKS)).decode(errors="replace")

    def show(self, ids: Sequence[int]) -> str:
        return "".join(_MARKS[each] if each < len(_MARKS) else chr(each - len(_MARKS)) for each in ids)

    def chat_ids(self, turns: Sequence[Turn]) -> list[int]:
        ids: list[int] = []
        for turn in turns:
            ids += [_MARKS.index(f"<|{turn.role}|>"), *self.encode(turn.text), 0]
        return [*ids, _MARKS.index("<|assistant|>")]

    def extension_ids(self, ended: bool, turns: Sequence[Turn]) -> list[int]:
        return [*([] if ended else [0]), *self.chat_ids(turns)]


def said(prompt: str, seed: int, sampling: Sampling) -> str:
    return ("yes", "no", "so")[seed % 3]


class Counted(ScriptedEngine):
    """Notes each request that it has answered whole, when the caller gets the answer."""

    def __init__(self, requests: Any, **more: Any) -> None:
        super().__init__(said, **more)
        self._requests = requests

    async def generate(self, request: Any, on_progress: Any = None) -> Any:
        answer = await super().generate(request, on_progress)
        if answer.finish != "abort":
            self._requests.write(f"{self.tokenizer.show(request.input_ids)} {request.sampling.seed}\n")
            self._requests.flush()
        return answer


async def main(journal: str | None, out: str, requests: str, count: int) -> None:
    tokenizer: Any = ByteTokenizer()
    program = ttsc.compile(PROGRAM)
    inputs = [{"question": f"question {number}?"} for number in range(count)]
    with Path(out).open("a") as results, Path(requests).open("a") as asked:
        engine = Counted(asked, tokenizer=tokenizer, step_s=0.0005, settle=3)
        async for result in program.amap(inputs, engine=engine, journal=journal, ordered=False, concurrency=16):
            results.write(json.dumps([result.input, result.value, result.error is None]) + "\n")
            results.flush()
            os.sched_yield()


if __name__ == "__main__":
    path, out_file, requests_file, number = sys.argv[1:]
    asyncio.run(main(path or None, out_file, requests_file, int(number)))
