"""Offline values: computed once, kept, taken, repaired; seeds of their own."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from executor_programs import Builder, plan, run

from ttsc.backends.protocol import Image, RequestRefused
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import Limit, Parameter, Program, Value
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import IMAGE, STR, ListOf
from ttsc.runtime.artifacts import Artifacts
from ttsc.runtime.events import Event, OfflineTaken
from ttsc.runtime.executor import run_plan
from ttsc.runtime.session import Session


def notes(question: bool = True, count: int = 1) -> Program:
    """`offline let notes = …` of a subject, then an answer with the notes in its prompt."""
    subject, asked = Value("%subject", STR), Value("%question", STR)
    b = Builder()
    kept = b.offline(
        lambda inner: inner.texts(inner.generate(inner.user("notes on {{ s }}", s=subject), count, max_tokens=9))
    )
    answer = b.one(b.generate(b.user("{{ q }}: {{ n|join }}", q=asked, n=kept), 1, max_tokens=30))
    result = b.text(answer) if question else kept
    return b.program(result, [Parameter(subject, "subject"), Parameter(asked, "question")])


def reply(prompt: str, seed: int, sampling: Any) -> str:
    return f"note{seed % 1000}" if "notes on" in prompt else "answer"


def sources(events: list[Event]) -> list[str]:
    return [event.source for event in events if isinstance(event, OfflineTaken)]


def once(program: Program, folder: Path, engine: ScriptedEngine | None = None, **more: Any) -> tuple[Any, list[str]]:
    events: list[Event] = []
    refresh = more.pop("refresh", False)
    arguments = {"subject": "sums", "question": "2 + 2?", **more.pop("given", {})}
    options = {"artifacts": Artifacts(folder, refresh=refresh)}
    engine = engine or ScriptedEngine(reply)
    result = run(program, engine, arguments, session_options=options, events=events, **more)
    return result, sources(events)


def test_computed_once_and_kept_whatever_the_seed(tmp_path: Path) -> None:
    first, how = once(notes(False), tmp_path, seed=1)
    assert how == ["computed"]
    engine = ScriptedEngine(reply)
    second, how = once(notes(False), tmp_path, engine, seed=2)
    assert how == ["kept"]
    assert second.value == first.value
    assert [e for e in engine.records if "notes" in engine.tokenizer.show(e.request.input_ids)] == []
    other_seed, _ = once(notes(False), tmp_path / "fresh", seed=99)
    assert other_seed.value == first.value, "seeds inside derive from the key alone"
    as_written, _ = once(notes(False), tmp_path / "written", level=0)
    assert as_written.value == first.value


def test_other_inputs_and_other_models_are_other_values(tmp_path: Path) -> None:
    once(notes(), tmp_path)
    assert once(notes(), tmp_path, given={"question": "3 + 3?"})[1] == ["kept"], "the notes don't read the question"
    assert once(notes(), tmp_path, given={"subject": "products"})[1] == ["computed"]
    assert once(notes(), tmp_path, ScriptedEngine(reply, model="larger"))[1] == ["computed"]
    assert once(notes(count=2), tmp_path)[1] == ["computed"], "another body"
    assert len(list(tmp_path.glob("*.json"))) == 4
    assert once(notes(), tmp_path)[1] == ["kept"]


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"format": 1}', "swap"])
def test_a_damaged_file_is_computed_again_with_a_note(tmp_path: Path, damage: str) -> None:
    first, _ = once(notes(False), tmp_path)
    (path,) = tmp_path.glob("*.json")
    text = path.read_text()
    path.write_text(text.replace("note", "lies") if damage == "swap" else damage)
    again, how = once(notes(False), tmp_path)
    assert how == ["repaired"]
    assert again.value == first.value
    assert path.read_text() == text
    assert once(notes(False), tmp_path)[1] == ["kept"]


def test_refresh_computes_again_once(tmp_path: Path) -> None:
    once(notes(), tmp_path)
    changed = ScriptedEngine(lambda p, s, k: "newer")
    assert once(notes(False), tmp_path, changed, refresh=True)[1] == ["computed"]
    assert once(notes(False), tmp_path)[0].value == ["newer"]


def test_runs_that_want_the_same_value_at_once_compute_it_once(tmp_path: Path) -> None:
    engine = ScriptedEngine(reply)
    events: list[Event] = []
    program = plan(notes())

    async def main() -> None:
        session = Session({"default": engine}, artifacts=Artifacts(tmp_path))
        given = {"subject": "sums", "question": "?"}
        await asyncio.gather(*(run_plan(program, given, session, input_index=i, emit=events.append) for i in range(4)))
        await session.close()
        await engine.close()

    asyncio.run(main())
    assert sorted(sources(events)) == ["computed", "shared", "shared", "shared"]
    asked = [e for e in engine.records if "notes" in engine.tokenizer.show(e.request.input_ids)]
    assert len(asked) == 1


def test_across_threads_too(tmp_path: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait(10)
        found.extend(once(notes(), tmp_path, ScriptedEngine(reply, step_s=0.01))[1])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found.count("computed") == 1
    assert len(found) == 2


def test_one_that_waits_takes_over_when_the_first_is_cancelled(tmp_path: Path) -> None:
    engine = ScriptedEngine(reply, step_s=0.002)
    events: list[Event] = []
    program = plan(notes())

    async def main() -> None:
        session = Session({"default": engine}, artifacts=Artifacts(tmp_path))
        given = {"subject": "sums", "question": "?"}
        first = asyncio.create_task(run_plan(program, given, session))
        while not engine.records:
            await asyncio.sleep(0)
        second = asyncio.create_task(run_plan(program, given, session, emit=events.append))
        for _ in range(5):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (await second).error is None
        await session.close()
        await engine.close()

    asyncio.run(main())
    assert sources(events) == ["computed"]


def test_without_a_folder_a_session_keeps_them() -> None:
    events: list[Event] = []
    engine = ScriptedEngine(reply)
    given = {"subject": "sums", "question": "?"}
    result = run(notes(), engine, given, events=events)
    assert result.error is None
    assert sources(events) == ["computed"]


def test_what_a_budget_cut_is_used_and_not_kept(tmp_path: Path) -> None:
    budget = [Limit("calls", 2)]
    result, how = once(notes(False, count=4), tmp_path, budget=budget)
    assert how == ["computed"]
    assert len(result.value) == 2
    assert result.cut
    assert list(tmp_path.glob("*.json")) == []


def test_what_lost_a_part_is_used_and_not_kept(tmp_path: Path) -> None:
    engine = ScriptedEngine(reply, fault=lambda n, request: RequestRefused("no") if n == 1 else None)
    result, how = once(notes(False, count=3), tmp_path, engine)
    assert how == ["computed"]
    assert len(result.value) == 2
    assert list(tmp_path.glob("*.json")) == []


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    events: list[Event] = []
    options = {"artifacts": Artifacts(place)}
    given = {"subject": "sums", "question": "?"}
    result = run(notes(), ScriptedEngine(reply), given, session_options=options, events=events)
    assert result.error is None
    (taken,) = [event for event in events if isinstance(event, OfflineTaken)]
    assert str(place) in taken.note


def test_candidates_are_no_data(tmp_path: Path) -> None:
    b = Builder()
    kept = b.offline(lambda inner: inner.generate(inner.user("q"), 1, max_tokens=9))
    result = run(b.program(b.texts(kept)), ScriptedEngine(reply), session_options={"artifacts": Artifacts(tmp_path)})
    assert result.error is not None
    assert result.error.code == "R0508"
    assert list(tmp_path.glob("*.json")) == []


def test_every_kind_of_data_comes_back_as_it_was(tmp_path: Path) -> None:
    values = (None, True, 3, 0.5, "ü", ("a", ()), {"x": (1, None)}, ABSTAINED)

    async def compute() -> Any:
        return values, True

    async def main() -> None:
        await Artifacts(tmp_path).get("key", len(values), compute, _unused)
        found = await Artifacts(tmp_path).get("key", len(values), _unused, _unused)
        assert found.values == values
        assert found.source == "kept"

    asyncio.run(main())
    assert json.loads((tmp_path / "key.json").read_text())["values"][:4] == [None, True, 3, 0.5]


async def _unused(*_: Any) -> Any:
    raise AssertionError("nothing is to be computed")


def test_a_picture_is_part_of_the_key(tmp_path: Path) -> None:
    picture = Value("%picture", IMAGE)
    b = Builder()
    kept = b.offline(
        lambda inner: inner.texts(inner.generate(inner.user("{{ p }} what is it?", p=picture), 1, max_tokens=9))
    )
    program = b.program(kept, [Parameter(picture, "picture")])
    assert kept.type == ListOf(STR)
    how = []
    for data in (b"one", b"two", b"one"):
        events: list[Event] = []
        options = {"artifacts": Artifacts(tmp_path)}
        given = {"picture": Image(data, "image/png")}
        run(program, ScriptedEngine(reply), given, session_options=options, events=events)
        how += sources(events)
    assert how == ["computed", "computed", "kept"]
