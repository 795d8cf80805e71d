"""The executor on hand-built programs and the scripted stub engine: values, prompts, seeds, regions."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from executor_programs import Builder, lengths, plan, run, voices  # noqa: E402

from ttsc.backends.protocol import Sampling  # noqa: E402
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer  # noqa: E402
from ttsc.compiler.ir.nodes import (  # noqa: E402
    Block,
    FirstFinished,
    Generate,
    Greatest,
    If,
    Majority,
    Parameter,
    Quantified,
    Value,
)
from ttsc.compiler.ir.rewrite import walk  # noqa: E402
from ttsc.compiler.plan.nodes import Plan, Request  # noqa: E402
from ttsc.compiler.values.types import (  # noqa: E402
    BOOL,
    CANDIDATE,
    FLOAT,
    INT,
    POOL,
    STR,
    ListOf,
)
from ttsc.runtime.executor import run_plan  # noqa: E402
from ttsc.runtime.session import Session  # noqa: E402


def test_vote_counts_answers() -> None:
    b = Builder()
    program = b.program(b.vote(b.texts(b.generate(b.user("what?"), 3, max_tokens=9))))
    result = run(program, ScriptedEngine(voices("a", "b", "b")))
    assert (result.value, result.error, result.seed) == ("b", None, 0)
    assert result.usage.requests == 3
    assert result.usage.by_model["default"]["requests"] == 3


def test_vote_with_weights_and_otherwise() -> None:
    for answers, expected in ((("aaaa", "b", "b"), "aaaa"), (("", "", ""), "nobody")):
        b = Builder()
        pool = b.generate(b.user("what?"), 3, max_tokens=9)
        found = b.map(pool, lambda i, x: i.pure("find", i.pure("field", x, attr="text"), i.const("[a-z]+")))
        weights = b.map(pool, lambda i, x: i.pure("length", i.pure("field", x, attr="text"), kind=INT), kind=INT)
        winner = b.vote(found, weights=weights, otherwise=b.const("nobody"), rule=Majority(max_weight=4.0))
        assert run(b.program(winner), ScriptedEngine(voices(*answers))).value == expected


def test_parameters_defaults_and_templates() -> None:
    question, n = Value("%question", STR), Value("%n", INT)
    b = Builder()
    turn = b.user("Q: {{ question }} ({{ n }})", question=question, n=n)
    answer = b.text(b.one(b.generate(turn, 1, max_tokens=9)))
    parameters = [Parameter(question, "question"), Parameter(n, "n", 3, required=False)]
    program = b.program(answer, parameters)
    engine = ScriptedEngine({r"Q: 1\+1 \(3\)": ["2"]})
    assert run(program, engine, {"question": "1+1"}).value == "2"
    missing = run(program, engine, {})
    assert missing.error is not None and missing.error.kind == "input" and "question" in missing.error.message
    unknown = run(program, engine, {"question": "", "x": 1})
    assert unknown.error is not None and "`x`" in unknown.error.message


def test_prompts_extend_their_parents_ids() -> None:
    """A refinement's prompt starts with the prompt and the ids of the draft, end token included."""
    b = Builder()
    draft = b.one(b.generate(b.user("draft?"), 1, max_tokens=9))
    final = b.one(b.generate(b.user("again, after {{ d.text }}", draft, d=draft), 1, op="refine", max_tokens=9))
    events: list[Any] = []
    engine = ScriptedEngine({"again, after one": ["two"], "draft": ["one"]})
    assert run(b.program(b.text(final)), engine, events=events).value == "two"
    first, second = (record.request for record in engine.records)
    completion = engine.records[0].completion
    assert completion is not None
    begun = (*first.input_ids, *completion.output_ids)
    assert second.input_ids[: len(begun)] == begun
    started = [e for e in events if type(e).__name__ == "RequestStarted"]
    assert started[1].parent == started[0].request_id
    assert started[1].op == "refine"
    assert engine.records[1].completion is not None and engine.records[1].completion.cached_tokens >= len(begun)


def test_turns_join_one_conversation() -> None:
    b = Builder()
    system = b.add_turn("system", "be brief")
    engine = ScriptedEngine({"be brief.*what": ["yes"]})
    assert run(b.program(b.text(b.one(b.generate(b.user("what?", system), 1, max_tokens=5)))), engine).value == "yes"
    shown = engine.tokenizer.show(engine.records[0].request.input_ids)
    assert shown == "<|system|>be brief<|end|><|user|>what?<|end|><|assistant|>"


def test_branching_walks_along_a_scripted_answer() -> None:
    b = Builder()
    beams = b.pure("list", b.user("what?"), kind=POOL)

    def body(inner: Builder, params: Any) -> tuple[list[Value], Value]:
        grown = inner.generate(params[0], 2, op="branch", until="\n", max_tokens=20, finished="freeze")
        done = inner.map(grown, lambda i, x: i.pure("field", x, attr="finished", kind=BOOL), kind=BOOL)
        return [grown], inner.select("all", done, Quantified("all"), BOOL)

    (final,) = b.repeat(b.const(10, INT), [beams], body)
    engine = ScriptedEngine({"what": ["step one\nstep two\nthe end"]})
    result = run(b.program(b.texts(final)), engine)
    assert result.value == ["step one\nstep two\nthe end"] * 8
    assert result.usage.requests == 2 + 4 + 8, "finished beams are frozen, not continued"


@pytest.mark.parametrize(
    ("finished", "texts", "requests"),
    [("freeze", ["done"], 1), ("drop", [], 1), ("continue", ["done more"], 2)],
)
def test_finished_sources(finished: str, texts: list[str], requests: int) -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 1, max_tokens=20)
    grown = b.generate(pool, 1, op="branch", max_tokens=20, finished=finished)

    def reply(prompt: str, seed: int, sampling: Sampling) -> str:
        return " more" if prompt.endswith("done") else "done"

    result = run(b.program(b.texts(grown)), ScriptedEngine(reply))
    assert (result.value, result.usage.requests) == (texts, requests)


@pytest.mark.parametrize(("delimiter", "text"), [("keep", "think</t>"), ("drop", "think")])
def test_delimiters(delimiter: str, text: str) -> None:
    b = Builder()
    thought = b.one(b.generate(b.user("what?"), 1, until="</t>", max_tokens=20, delimiter=delimiter))
    fields = b.pure("list", *[b.pure("field", thought, attr=name) for name in ("text", "finish", "tokens")])
    result = run(b.program(fields), ScriptedEngine({"what": ["think</t>answer"]}))
    assert result.value == [text, "stop", 5]


def test_a_dropped_delimiter_leaves_whole_tokens_and_encodes_the_rest() -> None:
    b = Builder()
    thought = b.one(b.generate(b.user("what?"), 1, until="\n\n", max_tokens=20, delimiter="drop"))
    then = b.one(b.generate(thought, 1, op="branch", max_tokens=20))
    engine = ScriptedEngine({"what": ["one two \n\n\n three"]})
    run(b.program(b.text(then)), engine)
    first, second = (record.request.input_ids for record in engine.records)
    assert second[: len(first)] == first
    assert engine.tokenizer.decode(second[len(first) :]) == "one two "


def test_force_goes_on_within_the_turn() -> None:
    b = Builder()
    thought = b.one(b.generate(b.user("what?"), 1, max_tokens=20))
    forced = b.force(thought, " Wait,")
    more = b.one(b.generate(forced, 1, op="branch", max_tokens=20))
    fields = [b.pure("field", forced, attr=name) for name in ("finished", "finish", "text")]
    engine = ScriptedEngine(lambda prompt, seed, sampling: " yes" if prompt.endswith("Wait,") else "hm")
    result = run(b.program(b.pure("list", *fields, b.text(more))), engine)
    assert result.value == [False, "", "hm Wait,", "hm Wait, yes"]
    assert engine.tokenizer.eos_ids.isdisjoint(engine.records[1].request.input_ids[-5:])


def test_force_on_a_context_and_on_a_list() -> None:
    b = Builder()
    started = b.force(b.user("what?"), "I say ")
    assert_text = b.text(b.one(b.generate(started, 1, op="branch", max_tokens=20)))
    engine = ScriptedEngine(lambda prompt, seed, sampling: "yes" if prompt.endswith("I say ") else "?")
    assert run(b.program(assert_text), engine).value == "I say yes"
    b = Builder()
    pool = b.generate(b.user("what?"), 3, max_tokens=20)
    forced = b.map(b.force(pool, "!"), lambda i, x: i.pure("field", x, attr="text"))
    assert run(b.program(forced), ScriptedEngine(voices("a", "b", "c"))).value == ["a!", "b!", "c!"]


def test_truncation_is_told_apart() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 2, max_tokens=4, stream=True)
    firsts = b.select("stop_first", pool, FirstFinished(), POOL, count=b.const(2, INT), early=True)
    cut = b.map(pool, lambda i, x: i.pure("field", x, attr="truncated", kind=BOOL), kind=BOOL)
    result = run(b.program(b.pure("list", b.texts(firsts), cut)), ScriptedEngine(voices("a", "a b c d e f g")))
    assert result.value == [["a"], [False, True]]


def test_scores_best_and_keep() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 4, max_tokens=9)
    scored = b.map(
        pool,
        lambda i, x: i.pure(
            "with_score", x, i.pure("length", i.pure("field", x, attr="text"), kind=INT), kind=CANDIDATE
        ),
        kind=CANDIDATE,
    )
    keys = b.map(scored, lambda i, x: i.pure("field", x, attr="score", kind=FLOAT), kind=FLOAT)
    best = b.select("best", scored, Greatest(), CANDIDATE, keys=keys)
    kept = b.select("keep", scored, Greatest(ties="last"), POOL, keys=keys, count=b.const(3, INT))
    result = run(b.program(b.pure("list", b.text(best), b.texts(kept))), ScriptedEngine(voices("a", "bbb", "cc", "dd")))
    assert result.value == ["bbb", ["bbb", "dd", "cc"]]


def test_if_runs_one_branch() -> None:
    for flag, expected in ((True, "then"), (False, "else")):
        b = Builder()
        then, other = Builder("t."), Builder("e.")
        answers = [x.text(x.one(x.generate(x.user(n), 1, max_tokens=9))) for x, n in ((then, "then"), (other, "else"))]
        result = Value("%if", STR)
        b.nodes.append(
            If(
                (result,),
                "%if0",
                b.const(flag, BOOL),
                Block((), tuple(then.nodes), (answers[0],)),
                Block((), tuple(other.nodes), (answers[1],)),
            )
        )
        outcome = run(b.program(result), ScriptedEngine({"then": ["then"], "else": ["else"]}))
        assert (outcome.value, outcome.usage.requests) == (expected, 1)


def test_repeat_stops_and_may_run_no_round() -> None:
    for limit, expected in ((0, 0), (3, 3), (50, 5)):
        b = Builder()

        def body(inner: Builder, params: Any) -> tuple[list[Value], Value]:
            following = inner.pure("add", params[0], inner.const(1, INT), kind=INT)
            return [following], inner.pure("ge", following, inner.const(5, INT), kind=BOOL)

        (count,) = b.repeat(b.const(limit, INT), [b.const(0, INT)], body)
        assert run(b.program(count), ScriptedEngine({})).value == expected


def test_a_long_loop_of_lists_is_no_problem() -> None:
    b = Builder()

    def body(inner: Builder, params: Any) -> tuple[list[Value], Value]:
        grown = inner.map(params[0], lambda i, x: i.pure("add", x, i.const(1, INT), kind=INT))
        return [grown], inner.const(False, BOOL)

    start = b.pure("list", b.const(0, INT), kind=ListOf(INT))
    (final,) = b.repeat(b.const(1500, INT), [start], body)
    assert run(b.program(final), ScriptedEngine({})).value == [1500]


def test_nested_maps_capture_values() -> None:
    b = Builder()
    words = b.pure("list", b.const("a"), b.const("b"), kind=ListOf(STR))
    tail = b.const("!")

    def outer(inner: Builder, x: Value) -> Value:
        return inner.map(words, lambda i, y: i.pure("add", i.pure("add", x, y), tail), kind=STR)

    assert run(b.program(b.map(words, outer)), ScriptedEngine({})).value == [["aa!", "ab!"], ["ba!", "bb!"]]


def test_filter_keeps_elements() -> None:
    b = Builder()
    pool = b.generate(b.user("what?"), 4, max_tokens=9)
    kept = b.map(
        pool, lambda i, x: i.pure("ne", i.pure("field", x, attr="text"), i.const("no"), kind=BOOL), mode="filter"
    )
    result = run(b.program(b.texts(kept)), ScriptedEngine(voices("a", "no", "b", "no")))
    assert result.value == ["a", "b"]


def test_seeds_depend_on_place_and_run_only() -> None:
    def seeds(seed: int, jitter_seed: int = 0) -> list[int | None]:
        b = Builder()

        def body(inner: Builder, params: Any) -> tuple[list[Value], Value]:
            return [inner.generate(params[0], 2, op="branch", max_tokens=5)], inner.const(False, BOOL)

        (final,) = b.repeat(b.const(2, INT), [b.generate(b.user("what?"), 2, max_tokens=5)], body)
        mapped = b.map(final, lambda i, x: i.text(i.one(i.generate(i.user("{{ x.text }}", x=x), 1, max_tokens=5))))
        engine = ScriptedEngine({}, jitter=0.5 if jitter_seed else 0.0, jitter_seed=jitter_seed)
        run(b.program(mapped), engine, seed=seed)
        return sorted(record.request.sampling.seed or 0 for record in engine.records)

    first = seeds(1)
    assert len(set(first)) == len(first) == 2 + 4 + 8 + 8
    assert all(seed is not None and 0 <= seed < 2**31 for seed in first)
    assert first == seeds(1, jitter_seed=4) != seeds(2)


def test_sampling_parameters_come_from_the_plan() -> None:
    temperature = Value("%t", FLOAT)
    b = Builder()
    pool = b.generate(b.user("what?"), 1, max_tokens=9, temperature=temperature, top_k=5)
    program = b.program(b.texts(pool), [Parameter(temperature, "t")])
    node = next(node for node in walk(program.body) if isinstance(node, Generate))
    request = Request(
        node.result.id,
        "sample",
        "default",
        (("max_tokens", 7), ("top_p", 0.9), ("top_k", 5)),
        (("temperature", temperature.id),),
        None,
        False,
        False,
        True,
    )
    engine = ScriptedEngine({})

    async def main() -> None:
        session = Session({"default": engine})
        await run_plan(Plan(program, 2, (), (request,), ()), {"t": 0.25}, session)
        await engine.close()

    asyncio.run(main())
    sampling = engine.records[0].request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p, sampling.top_k) == (7, 0.25, 0.9, 5)


def test_another_models_tokenizer_gets_the_text() -> None:
    small = ScriptedEngine({"what": ["one "]}, tokenizer=ScriptedTokenizer(), model="small")
    tokenizer = ScriptedTokenizer()
    tokenizer.encode("shift every id")
    large = ScriptedEngine(lambda p, s, k: "two" if p.endswith("one ") else "?", tokenizer=tokenizer, model="large")
    b = Builder()
    draft = b.one(b.generate(b.user("what?"), 1, max_tokens=9, model="draft"))
    final = b.one(b.generate(draft, 1, op="branch", max_tokens=9, model="target"))
    program = b.program(b.pure("list", b.text(final), b.pure("field", final, attr="model")))

    async def main() -> object:
        session = Session({"draft": small, "target": large})
        result = await run_plan(plan(program), {}, session)
        await asyncio.gather(small.close(), large.close())
        assert set(result.usage.by_model) == {"draft", "target"}
        return result.value

    assert asyncio.run(main()) == ["one two", "target"]


def test_many_inputs_share_a_session() -> None:
    question = Value("%q", STR)
    b = Builder()
    pool = b.generate(b.user("{{ q }}", q=question), 3, max_tokens=9)
    program = plan(b.program(b.vote(b.texts(pool)), [Parameter(question, "q")]))
    engine = ScriptedEngine(lambda prompt, seed, sampling: prompt.split("|>")[1].split("<")[0], jitter=0.3)

    async def main() -> None:
        session = Session({"default": engine}, concurrency=4)
        results = await asyncio.gather(*(run_plan(program, {"q": f"q{i}"}, session, input_index=i) for i in range(10)))
        assert [r.value for r in results] == [f"q{i}" for i in range(10)]
        assert [r.input for r in results] == list(range(10))
        assert engine.most_at_once <= 4
        assert len({r.request.request_id for r in engine.records}) == len(engine.records)
        assert len({len(r.request.request_id) for r in engine.records}) == 1
        assert len({r.request.sampling.seed for r in engine.records}) == len(engine.records)
        await engine.close()

    asyncio.run(main())


def test_requests_are_served_in_order_of_submission() -> None:
    b = Builder()
    program = b.program(b.texts(b.generate(b.user("what?"), 6, max_tokens=9)))
    engine = ScriptedEngine(lengths("a"))
    run(program, engine, session_options={"concurrency": 2})
    numbers = [record.request.request_id for record in engine.records]
    assert numbers == sorted(numbers)
    assert engine.most_at_once <= 2


def test_optional_answers_and_empty_lists() -> None:
    b = Builder()
    nothing = b.generate(b.user("what?"), 0, max_tokens=9)
    fallback = b.pure("one", b.texts(nothing), b.const("none left"))
    assert run(b.program(fallback), ScriptedEngine({})).value == "none left"
