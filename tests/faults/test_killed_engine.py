"""A real server is killed in the middle of two runs. The one that waits for it goes on when it is back, and has the
values of an unbroken run; the one that does not wait ends, and says why.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

from asked import PROGRAM, SEED, questions, results, values
from servers import Server

import ttsc

INPUTS = questions(48, n=4, limit=100)
AT_ONCE = 6


async def impatient(folder: Path, url: str) -> asyncio.subprocess.Process:
    """`ttsc run` with the same inputs, which waits for its engine for a second."""
    (folder / "drafts.tts").write_text(PROGRAM, encoding="utf-8")
    (folder / "inputs.jsonl").write_text("".join(json.dumps(each) + "\n" for each in INPUTS), encoding="utf-8")
    arguments = ["run", str(folder / "drafts.tts"), "-p", "drafts", "--inputs", str(folder / "inputs.jsonl")]
    arguments += ["--engine", url, "--engine-wait", "1", "--concurrency", "2", "--seed", str(SEED)]
    arguments += ["--out", str(folder / "out.jsonl"), "--json"]
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "ttsc", *arguments, stdout=pipe, stderr=pipe)


async def some_lines(file: Path, process: asyncio.subprocess.Process) -> None:
    while not (file.exists() and file.read_bytes().count(b"\n") >= 2):
        assert process.returncode is None, "it was to be in the middle of its inputs"
        await asyncio.sleep(0.02)


async def test_an_engine_that_is_killed_and_comes_back(victim: Server, engine_url: str, tmp_path: Path) -> None:
    expected = json.loads(values(await results(INPUTS, engine_url)))
    process = await impatient(tmp_path, victim.url)
    await some_lines(tmp_path / "out.jsonl", process)

    async def kill_and_start() -> tuple[bytes, bytes]:
        await asyncio.to_thread(victim.kill)
        assert process.returncode is None, "both were to be in the middle of their inputs"
        said = await asyncio.wait_for(process.communicate(), 120)
        await asyncio.to_thread(victim.start)
        return said

    program = ttsc.compile(PROGRAM, "drafts")
    found: dict[int, Any] = {}
    killing: asyncio.Task[tuple[bytes, bytes]] | None = None
    run = program.amap(INPUTS, engine=victim.url, seed=SEED, ordered=False, concurrency=AT_ONCE, engine_wait=600)
    async with aclosing(run) as ended:  # type: ignore[type-var]
        async for result in ended:
            found[result.input] = result
            if len(found) == 3:
                killing = asyncio.create_task(kill_and_start())
    assert killing is not None
    out, err = await killing
    assert values([found[number] for number in range(len(INPUTS))]) == json.dumps(expected)
    usages = [each.usage for each in found.values()]
    assert sum(each.retries for each in usages) == sum(each.failed for each in usages) >= 1
    gave_up(process.returncode, out.decode(), err.decode(), expected)


def gave_up(code: int | None, out: str, err: str, expected: list[Any]) -> None:
    """What a user sees of a run whose engine does not come back in time: what was there, and one clear error."""
    assert code == 5, err
    assert "R0401" in err + out and "Traceback" not in err
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == len(INPUTS)
    ended = [row for row in rows if row["error"] is None]
    assert len(ended) >= 2 and all(row["value"] == expected[row["input"]] for row in ended)
    failed = [row["error"] for row in rows if row["error"] is not None]
    assert failed and {each["code"] for each in failed} == {"R0401"}
    assert all("waited 1 s for it to come back" in each["message"] for each in failed)
