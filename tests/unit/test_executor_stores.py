"""Stores, environments, abstentions, records and pairs: what a run takes in and gives back."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from executor_programs import Builder, plan, run

from ttsc.backends.protocol import IMAGE, Image, RequestRefused
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import ExternSignature, Limit, Parameter, Program, StoreSlot, Value
from ttsc.compiler.values import types
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import (
    ABSTAIN,
    BOOL,
    INT,
    STR,
    Interval,
    ListOf,
    OptionalOf,
    PairOf,
    RecordType,
)
from ttsc.runtime.executor import run_plan
from ttsc.runtime.session import Session

LESSON = RecordType("Lesson", (("text", STR), ("uses", INT)))


def said(text: str = "ok") -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, seed, sampling: text)


def learning() -> Program:
    """Reads its lessons, generates, and appends what it generated."""
    slot = StoreSlot("lessons", Value("%lessons", ListOf(LESSON)))
    b = Builder()
    context = b.user("{% for n in notes %}{{ n.text }};{% endfor %}", notes=slot.value)
    text = b.text(b.one(b.generate(context, 1, max_tokens=9)))
    item = b.pure("record", text, b.const(1), attr="text,uses", kind=LESSON)
    end = b.pure("add", slot.value, b.pure("list", item, kind=slot.value.type), kind=slot.value.type)
    return b.program(text, stores=[(slot, end)])


def test_a_store_is_read_and_what_is_new_is_given_back() -> None:
    engine = ScriptedEngine(lambda prompt, seed, sampling: "after " + prompt.partition("<|user|>")[2][:3])
    held = [{"text": "old", "uses": 2}]
    result = run(learning(), engine, stores={"lessons": held})
    assert result.value == "after old"
    assert result.appended == {"lessons": ({"text": "after old", "uses": 1},)}
    assert held == [{"text": "old", "uses": 2}]


def test_without_a_store_it_is_empty() -> None:
    assert run(learning(), said("first")).appended == {"lessons": ({"text": "first", "uses": 1},)}


def test_a_run_that_only_reads_appends_nothing() -> None:
    slot = StoreSlot("lessons", Value("%lessons", ListOf(STR)))
    b = Builder()
    result = run(b.program(b.pure("count", slot.value), stores=[(slot, slot.value)]), said(), stores={"lessons": "abc"})
    assert result.value == 3
    assert result.appended == {}


def test_a_failed_run_appends_nothing() -> None:
    """Whether the value failed or what was to be appended."""
    slot = StoreSlot("lessons", Value("%lessons", ListOf(STR)))
    for failing in ("value", "store"):
        b = Builder()
        bad = b.text(b.one(b.generate(b.user("q"), 1, max_tokens=9)))
        good = b.const("fine")
        item = bad if failing == "store" else good
        end = b.pure("add", slot.value, b.pure("list", item, kind=slot.value.type), kind=slot.value.type)
        program = b.program(bad if failing == "value" else good, stores=[(slot, end)])
        engine = ScriptedEngine({}, fault=lambda count, request: RequestRefused("no"))
        result = run(program, engine)
        assert result.error is not None, failing
        assert result.value is None
        assert result.appended == {}


def test_the_run_waits_for_what_it_appends() -> None:
    """The value is there at once; the store needs a generation."""
    slot = StoreSlot("lessons", Value("%lessons", ListOf(STR)))
    b = Builder()
    late = b.text(b.one(b.generate(b.user("q"), 1, max_tokens=9)))
    end = b.pure("add", slot.value, b.pure("list", late, kind=slot.value.type), kind=slot.value.type)
    result = run(b.program(b.const("now"), stores=[(slot, end)]), said("late"))
    assert result.value == "now"
    assert result.appended == {"lessons": ("late",)}


ACT = ExternSignature("act", (("x", STR),), STR, "environment")


def acting(count: int = 3) -> Program:
    """Calls an environment so many times, in order; its value is the last answer."""
    b = Builder()
    token: Value | None = None
    answer = b.const("")
    for number in range(count):
        answer = b.extern("act", b.const(f"step {number}"), after=token)
        token = b.pure("done", answer, kind=BOOL)
    assert token is not None
    return b.program(answer, externs=(ACT,), yields=[token])


def test_environment_calls_happen_in_order() -> None:
    calls: list[str] = []

    async def act(x: str) -> str:
        calls.append(f"begin {x}")
        await asyncio.sleep(0.002 if x == "step 0" else 0)
        calls.append(f"end {x}")
        return x

    assert run(acting(), said(), externs={"act": act}).value == "step 2"
    assert calls == [f"{what} step {i}" for i in range(3) for what in ("begin", "end")]


def test_a_run_waits_for_calls_whose_answer_nobody_reads() -> None:
    b = Builder()
    token = b.pure("done", b.extern("act", b.const("a")), kind=BOOL)
    done: list[str] = []

    def act(x: str) -> str:
        time.sleep(0.01)
        done.append(x)
        return x

    assert run(b.program(b.const("value"), externs=(ACT,), yields=[token]), said(), externs={"act": act}).value
    assert done == ["a"]


def test_after_a_failed_call_there_is_no_other_and_none_is_repeated() -> None:
    calls: list[str] = []

    def act(x: str) -> str:
        calls.append(x)
        raise OSError("the door is locked")

    result = run(acting(), said(), externs={"act": act})
    assert result.error is not None
    assert result.error.code == "R0511"
    assert calls == ["step 0"]


def test_a_call_that_began_is_waited_for_although_the_run_is_cancelled() -> None:
    begun, ended = threading.Event(), threading.Event()

    def act(x: str) -> str:
        begun.set()
        time.sleep(0.05)
        ended.set()
        return x

    async def main() -> None:
        session = Session({"default": said()})
        task = asyncio.create_task(run_plan(plan(acting()), {}, session, {"act": act}))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert ended.is_set()

    asyncio.run(main())


def test_a_deadline_does_not_cut_a_call_of_an_environment() -> None:
    calls: list[str] = []

    def act(x: str) -> str:
        time.sleep(0.6)
        calls.append(x)
        return x

    result = run(acting(), said(), externs={"act": act}, budget=[Limit("latency", 0.3)])
    assert calls == ["step 0"]
    assert result.error is not None
    assert result.error.code == "R0521"


def test_a_deadline_ends_a_plain_call() -> None:
    plain_call = ExternSignature("act", (("x", STR),), STR)
    b = Builder()

    async def act(x: str) -> str:
        await asyncio.sleep(30)
        return x

    program = b.program(b.extern("act", b.const("x")), externs=(plain_call,))
    result = run(program, said(), externs={"act": act}, budget=[Limit("latency", 0.02)])
    assert result.error is not None
    assert result.error.code == "R0521"
    assert result.reason == "latency <= 0.02s"


def test_an_abstention_is_said() -> None:
    b = Builder()
    otherwise = b.const(ABSTAINED, ABSTAIN)
    winner = b.vote(b.const((None, None)), otherwise=otherwise, kind=OptionalOf(STR))
    result = run(b.program(winner), said())
    assert result.error is None
    assert result.value is None
    assert result.abstained
    b = Builder()
    assert not run(b.program(b.vote(b.const((None,)), otherwise=b.const(None))), said()).abstained


def test_an_abstention_among_values_reads_as_none() -> None:
    b = Builder()
    result = run(b.program(b.pure("list", b.const(ABSTAINED, ABSTAIN), b.const("a"))), said())
    assert result.value == [None, "a"]
    assert not result.abstained


def test_candidates_in_results_and_templates_are_plain() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 2, max_tokens=9)
    digest = b.user("{% for d in pool %}{{ d.text }}/{{ d.tokens }};{% endfor %}", pool=pool)
    final = b.generate(digest, 1, max_tokens=9)
    engine = ScriptedEngine(lambda p, s, k: "ok" if "a/2;a/2;" in p else "a")
    result = run(b.program(final), engine)
    assert result.value == [
        {
            "text": "ok",
            "step": "ok",
            "tokens": 2,
            "finish": "eos",
            "finished": True,
            "truncated": False,
            "stopped": False,
            "score": 0.0,
            "scores": [],
            "answer": None,
            "logprob": 0.0,
            "logprobs": [],
            "confidences": [],
            "temperature": 1.0,
            "index": 0,
            "model": "default",
        }
    ]


def test_a_pair_is_a_list_of_two() -> None:
    b = Builder()
    pairs = b.pure("zip", b.const((1, 2)), b.const(("a", "b")), kind=ListOf(PairOf(INT, STR)))
    assert run(b.program(pairs), said()).value == [[1, "a"], [2, "b"]]


GRADED = RecordType("Step", (("grade", INT), ("kind", OptionalOf(STR))), (("grade", Interval(0, 10)), ("kind", ("a",))))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([{"grade": 3}], ""),
        ([{"grade": 3, "kind": "a"}], ""),
        ([{"grade": 11}], "[0].grade is 11, outside of 0..10"),
        ([{"grade": True}], "bool"),
        ([{"grade": 1, "kind": "b"}], """[0].kind is 'b', outside of ["a"]"""),
        ([{"grade": 1}] * 3, "3 items, more than the 2"),
    ],
)
def test_what_an_extern_returns_keeps_to_limits_and_ranges(value: Any, problem: str) -> None:
    b = Builder()
    signature = ExternSignature("look", (), ListOf(GRADED, 2))
    program = b.program(b.pure("count", b.extern("look", kind=signature.returns)), externs=(signature,))
    result = run(program, said(), externs={"look": lambda: value})
    if problem:
        assert result.error is not None
        assert result.error.code == "R0513"
        assert problem in result.error.message
    else:
        assert result.value == 1


def test_pictures_stand_where_the_prompt_names_them() -> None:
    shown = Value("%picture", types.IMAGE)
    more = Value("%more", ListOf(types.IMAGE))
    b = Builder()
    first = b.user(
        "{{ p }} and {% for m in more %}{{ m }},{% endfor %} an \N{OBJECT REPLACEMENT CHARACTER}?", p=shown, more=more
    )
    answer = b.one(b.generate(first, 1, max_tokens=9))
    last = b.text(b.one(b.generate(b.user("again: {{ p }}", answer, p=shown), 1, max_tokens=9)))
    pictures = [Image(name.encode(), "image/png") for name in ("one", "two", "three")]
    parameters = [Parameter(shown, "picture"), Parameter(more, "more")]
    engine = said("a cat")
    given = {"picture": pictures[0], "more": pictures[1:]}
    assert run(b.program(last, parameters), engine, given).value == "a cat"
    one, two = (each.request for each in engine.records)
    assert list(one.images) == pictures
    assert list(two.images) == [*pictures, pictures[0]]
    assert engine.tokenizer.show(one.input_ids).count(IMAGE) == 3, "the text's own character is no picture"


def test_a_picture_no_engine_takes_is_refused_before_any_request() -> None:
    shown = Value("%picture", types.IMAGE)
    b = Builder()
    before = b.text(b.one(b.generate(b.user("hello"), 1, max_tokens=9)))
    answer = b.text(b.one(b.generate(b.user("{{ t }}{{ p }}", t=before, p=shown), 1, max_tokens=9)))
    engine = ScriptedEngine({}, abilities=frozenset({"generate"}))
    program = b.program(answer, [Parameter(shown, "picture")])
    result = run(program, engine, {"picture": Image(b"x", "image/png")})
    assert result.error is not None
    assert result.error.code == "R0406"
    assert engine.records == []
