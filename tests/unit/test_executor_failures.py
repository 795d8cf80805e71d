"""What fails is contained: retried, left out, or reported with its first cause; only a dead engine ends the run."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, plan, run, voices  # noqa: E402

from ttsc.backends.protocol import EngineError, GenerateRequest, RequestFailed, RequestRefused  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine  # noqa: E402
from ttsc.compiler.ir.nodes import (  # noqa: E402
    Extern,
    ExternSignature,
    FirstFinished,
    Greatest,
    Program,
    Quantified,
    Value,
)
from ttsc.compiler.values.types import (  # noqa: E402
    BOOL,
    CANDIDATE,
    FLOAT,
    INT,
    POOL,
    STR,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
)
from ttsc.runtime.events import Event, ExternCalled, RequestRetried  # noqa: E402
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.retries import RetryPolicy  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402

QUICK = {"retry": RetryPolicy(first_delay_s=0.001)}


def vote_program(n: int, early: bool = True) -> Program:
    b = Builder()
    return b.program(b.vote(b.texts(b.generate(b.user("what?"), n, max_tokens=200)), early))


def failing(*numbers: int, error: EngineError | None = None) -> Any:
    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        return (error or RequestFailed("boom")) if number in numbers else None

    return fault


def test_a_failed_request_is_retried_with_an_id_of_its_own() -> None:
    events: list[Event] = []
    engine = ScriptedEngine(voices("a"), fault=failing(0, 1))
    result = run(vote_program(1), engine, events=events, session_options=QUICK)
    assert (result.value, result.usage.requests, result.usage.retries, result.usage.failed) == ("a", 3, 2, 2)
    ids = [record.request.request_id for record in engine.records]
    assert len(set(ids)) == 3 and len({len(i) for i in ids}) == 1
    assert len({record.request.sampling.seed for record in engine.records}) == 1
    assert [e.attempt for e in events if isinstance(e, RequestRetried)] == [1, 2]


def test_retry_after_is_honoured() -> None:
    engine = ScriptedEngine(voices("a"), fault=failing(0, error=RequestFailed("busy", retry_after_s=0.2)))
    started = time.monotonic()
    assert run(vote_program(1), engine, session_options=QUICK).value == "a"
    assert time.monotonic() - started >= 0.2


def test_a_candidate_that_keeps_failing_is_left_out() -> None:
    def fault(number: int, request: GenerateRequest) -> EngineError | None:
        return RequestFailed("boom") if request.request_id[14:22] == "00000002" else None

    engine = ScriptedEngine(voices("a"), fault=fault)
    result = run(vote_program(3, early=False), engine, session_options=QUICK)
    assert (result.value, result.error) == ("a", None)
    assert result.usage.retries == 3 and result.usage.failed == 4


def test_a_refused_request_is_not_retried() -> None:
    engine = ScriptedEngine(voices("a"), fault=failing(1, error=RequestRefused("no")))
    result = run(vote_program(3), engine, session_options=QUICK)
    assert (result.value, result.usage.retries, result.usage.failed) == ("a", 0, 1)


def everything_refused() -> ScriptedEngine:
    return ScriptedEngine({}, fault=lambda n, r: RequestRefused("not today", "come back tomorrow"))


@pytest.mark.parametrize("op", ["vote", "one", "best", "keep", "stop_first", "all", "any"])
def test_nothing_left_because_everything_failed_names_the_first_cause(op: Any) -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 2, max_tokens=9)
    zero = b.map(pool, lambda i, x: i.pure("field", x, attr="score", kind=FLOAT), kind=FLOAT)
    if op == "vote":
        result = b.vote(b.texts(pool))
    elif op == "one":
        result = b.text(b.one(b.map(pool, lambda i, x: x, kind=CANDIDATE)))
    elif op == "best":
        result = b.text(b.select("best", pool, Greatest(), CANDIDATE, keys=zero))
    elif op == "keep":
        result = b.one(b.select("keep", pool, Greatest(), POOL, keys=zero, count=b.const(1, INT)))
    elif op == "stop_first":
        result = b.one(b.select("stop_first", pool, FirstFinished(), POOL, count=b.const(1, INT), early=True))
    else:
        done = b.map(pool, lambda i, x: i.pure("field", x, attr="finished", kind=BOOL), kind=BOOL)
        result = b.select(op, done, Quantified(op), BOOL)
    outcome = run(b.program(result), everything_refused())
    assert outcome.value is None and outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("R0403", "not today")
    assert (outcome.error.hint, outcome.error.kind) == ("come back tomorrow", "engine")


def test_nothing_finished_says_so() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 2, max_tokens=2)
    first = b.one(b.select("stop_first", pool, FirstFinished(), POOL, count=b.const(1, INT)))
    outcome = run(b.program(b.text(first)), ScriptedEngine(voices("a b c d e")))
    assert outcome.error is not None and "all 2 were cut by max_tokens" in outcome.error.message


def test_no_vote_at_all_says_so() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 2, max_tokens=9)
    found = b.map(pool, lambda i, x: i.pure("last_boxed", i.pure("field", x, attr="text")))
    outcome = run(b.program(b.vote(found)), ScriptedEngine(voices("x")))
    assert outcome.error is not None and outcome.error.code == "R0502"


def test_a_failure_is_not_blamed_for_what_the_others_said() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 3, max_tokens=9)
    found = b.map(pool, lambda i, x: i.pure("last_boxed", i.pure("field", x, attr="text")))
    engine = ScriptedEngine(voices("x"), fault=failing(1, error=RequestRefused("no")))
    outcome = run(b.program(b.vote(found)), engine)
    assert outcome.error is not None and outcome.error.code == "R0502"


def test_a_chat_template_that_refuses_a_role_fails_the_run_with_its_reason() -> None:
    engine = ScriptedEngine({})

    def refuse(turns: object) -> list[int]:
        raise RequestRefused("the chat template has no system role")

    engine.tokenizer.chat_ids = refuse  # type: ignore[assignment,method-assign]
    b = Builder()
    outcome = run(b.program(b.one(b.generate(b.user("what?"), 2, max_tokens=9))), engine)
    assert outcome.error is not None and outcome.error.message == "the chat template has no system role"


def test_too_long_a_context_fails_that_element_only() -> None:
    b = Builder()
    texts = b.pure("list", b.const("short"), b.const("long " * 40), kind=ListOf(STR))
    answers = b.map(texts, lambda i, x: i.text(i.one(i.generate(i.user("{{ x }}", x=x), 1, max_tokens=10))))
    engine = ScriptedEngine(voices("a"), context_tokens=60)
    assert run(b.program(answers), engine).value == ["a"]
    assert len(engine.records) == 1, "checked before it is sent"
    b = Builder()
    program = b.program(b.one(b.generate(b.user("what?"), 1, max_tokens=100)))
    outcome = run(program, engine)
    assert outcome.error is not None and outcome.error.code == "R0404" and "100" in outcome.error.message


def test_a_dead_engine_ends_the_run() -> None:
    engine = ScriptedEngine(lengths("never " * 400))

    async def main() -> None:
        session = Session({"default": engine}, retry=RetryPolicy(first_delay_s=0.001), engine_wait_s=0.05)
        task = asyncio.ensure_future(run_plan(plan(vote_program(3)), {}, session))
        while engine.step < 5:
            await asyncio.sleep(0)
        engine.die("the server ended with status 137")
        result = await asyncio.wait_for(task, 5)
        assert result.error is not None
        assert (result.error.code, result.error.kind) == ("R0401", "engine")
        assert "137" in result.error.message
        await session.close()
        await engine.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_an_engine_that_comes_back_at_once_is_forgiven() -> None:
    from ttsc.backends.protocol import EngineUnavailable

    engine = ScriptedEngine(voices("a"), fault=failing(0, error=EngineUnavailable("connection refused")))
    assert run(vote_program(1), engine, session_options=QUICK).value == "a"


def test_a_bug_of_a_backend_is_raised_not_hidden() -> None:
    def broken(prompt: str, seed: int, sampling: Any) -> str:
        raise ZeroDivisionError("bug")

    with pytest.raises(ZeroDivisionError):
        run(vote_program(2), ScriptedEngine(broken))


def test_limits() -> None:
    result = run_limited(vote_program(5), max_requests=3)
    assert result.error is not None and result.error.code == "R0501" and "3 requests" in result.error.message
    b = Builder()

    def body(inner: Builder, params: Any) -> tuple[list[Value], Value]:
        return [params[0]], inner.const(False, BOOL)

    (final,) = b.repeat(b.const(10**9, INT), [b.const(1, INT)], body)
    import ttsc.runtime.regions as regions

    before, regions.MAX_ROUNDS = regions.MAX_ROUNDS, 50
    try:
        outcome = run(b.program(final), ScriptedEngine({}))
    finally:
        regions.MAX_ROUNDS = before
    assert outcome.error is not None and "50 rounds" in outcome.error.message


def run_limited(program: Program, max_requests: int) -> Any:
    engine = ScriptedEngine(voices("a"))

    async def main() -> Any:
        session = Session({"default": engine})
        result = await run_plan(plan(program), {}, session, max_requests=max_requests)
        await engine.close()
        return result

    return asyncio.run(main())


def test_templates_and_operations_that_fail() -> None:
    b = Builder()
    bad = b.pure("div", b.const(1, INT), b.const(0, INT), kind=FLOAT)
    outcome = run(b.program(bad), ScriptedEngine({}))
    assert outcome.error is not None and (outcome.error.code, outcome.error.message) == ("R0504", "division by zero")
    b = Builder()
    turn = b.user("{{ x.nothing }}", x=b.const("a"))
    outcome = run(b.program(b.one(b.generate(turn, 1, max_tokens=5))), ScriptedEngine({}))
    assert outcome.error is not None and outcome.error.code == "R0503"


def test_an_unbound_role_is_named() -> None:
    b = Builder()
    outcome = run(b.program(b.one(b.generate(b.user("?"), 1, model="judge", max_tokens=5))), ScriptedEngine({}))
    assert outcome.error is not None and "`judge`" in outcome.error.message and "default" in outcome.error.message


@pytest.mark.parametrize("options", [{"max_tokens": 0}, {"max_tokens": 5, "until": ""}, {"temperature": "hot"}])
def test_wrong_sampling_parameters(options: dict[str, Any]) -> None:
    b = Builder()
    outcome = run(b.program(b.one(b.generate(b.user("?"), 1, **options))), ScriptedEngine({}))
    assert outcome.error is not None and outcome.error.code == "R0505"


# --- externs --------------------------------------------------------------------------------------------------------

REPORT = RecordType("Report", (("passed", BOOL), ("score", FLOAT), ("notes", ListOf(STR)), ("line", OptionalOf(INT))))


def extern_program(returns: Type = STR, over_pool: bool = False) -> Program:
    b = Builder()
    signature = ExternSignature("check", (("text", STR),), returns)
    if over_pool:
        pool = b.generate(b.user("what?"), 3, max_tokens=9)

        def body(inner: Builder, x: Value) -> Value:
            text = inner.pure("field", x, attr="text")
            return inner.add(Extern(inner.value("ext", returns), "check", (text,)))

        result = b.map(pool, body)
    else:
        result = b.add(Extern(b.value("ext", returns), "check", (b.const("hello"),)))
    return b.program(result, externs=(signature,))


def call(function: Any, returns: Type = STR, **options: Any) -> Any:
    events: list[Event] = []
    result = run(
        extern_program(returns),
        ScriptedEngine({}),
        externs={"check": function},
        events=events,
        session_options=options,
    )
    assert sum(isinstance(e, ExternCalled) for e in events) == result.usage.extern_calls
    return result


def test_externs_sync_and_async() -> None:
    async def later(text: str) -> str:
        await asyncio.sleep(0)
        return text.upper()

    assert call(str.upper).value == "HELLO"
    assert call(later).value == "HELLO"


def test_sync_externs_run_at_the_same_time() -> None:
    def slow(text: str) -> str:
        time.sleep(0.4)
        return text

    started = time.monotonic()
    result = run(extern_program(over_pool=True), ScriptedEngine(voices("a", "b", "c")), externs={"check": slow})
    assert result.value == ["a", "b", "c"] and time.monotonic() - started < 1.0


def test_records_are_checked_and_shaped() -> None:
    given = {"passed": True, "score": 1, "notes": ("a", "b"), "extra": object}
    result = call(lambda text: given, REPORT)
    assert result.value == {"passed": True, "score": 1.0, "notes": ["a", "b"], "line": None}


@pytest.mark.parametrize(
    ("value", "returns", "said"),
    [
        (3, STR, "should return str, but it returned int 3"),
        (True, INT, "should return int, but it returned bool True"),
        (["a", 1], ListOf(STR), "str at[1] was expected returned int 1"),
        ({"passed": True}, REPORT, "has no field `score`"),
        ({"passed": 1, "score": 1, "notes": []}, REPORT, ".passed"),
        (None, STR, "NoneType"),
    ],
)
def test_wrong_values_of_externs(value: object, returns: Type, said: str) -> None:
    error = call(lambda text: value, returns).error
    assert error is not None and error.code == "R0513" and error.kind == "extern"
    assert "`check`" in error.message and said in error.message


def test_externs_that_raise_or_hang_or_are_missing() -> None:
    def bad(text: str) -> str:
        raise ValueError("no such thing")

    error = call(bad).error
    assert error is not None and error.message == "the extern `check` raised ValueError: no such thing"

    def timed_out(text: str) -> str:
        raise TimeoutError("mine")

    assert "mine" in call(timed_out).error.message
    error = call(lambda text: time.sleep(2), extern_timeout_s=0.05).error
    assert error is not None and error.code == "R0512"
    missing = run(extern_program(), ScriptedEngine({})).error
    assert missing is not None and missing.code == "R0510"


def test_an_extern_that_fails_for_one_element_spares_the_others() -> None:
    def picky(text: str) -> str:
        if text == "b":
            raise ValueError("not b")
        return text

    result = run(extern_program(over_pool=True), ScriptedEngine(voices("a", "b", "c")), externs={"check": picky})
    assert result.value == ["a", "c"]
