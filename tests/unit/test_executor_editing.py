"""Cut and Force, and the options of generations: grids, schemas, an engine's own."""

from __future__ import annotations

from typing import Any

import pytest
from executor_programs import Builder, run

from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.values.types import INT, ListOf, RecordType


def one(b: Builder, **options: Any) -> Any:
    return b.one(b.generate(b.user("q"), 1, max_tokens=20, **options))


def fields(b: Builder, candidate: Any, *names: str) -> Any:
    return b.pure("list", *(b.pure("field", candidate, attr=name) for name in names))


def said(text: str) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, seed, sampling: text)


def test_cut_at_a_number_of_tokens_opens_the_candidate() -> None:
    b = Builder()
    cut = b.cut(one(b), 3)
    result = run(b.program(fields(b, cut, "text", "tokens", "finish")), said("one two three"))
    assert result.value == ["one two", 3, ""]


def test_what_is_left_of_the_last_step_after_a_cut() -> None:
    b = Builder()
    longer = b.one(b.generate(b.cut(one(b), 3), 1, max_tokens=9))
    steps = [b.pure("field", each, attr="step") for each in (longer, b.cut(longer, 4), b.cut(longer, 2))]
    engine = ScriptedEngine(lambda p, s, k: " and two" if p.endswith("two") else "one two three")
    assert run(b.program(b.pure("list", *steps)), engine).value == [" and two", " ", ""]


def test_cut_beyond_the_end_only_opens() -> None:
    b = Builder()
    longer = b.one(b.generate(b.cut(one(b), 99), 1, max_tokens=9))
    engine = ScriptedEngine(lambda prompt, seed, sampling: " more" if prompt.endswith("text") else "text")
    result = run(b.program(b.text(longer)), engine)
    assert result.value == "text more", "the token that had ended the turn is gone"


@pytest.mark.parametrize(
    ("at", "kept"),
    [(" but", "one two,"), ("wo, b", "one t"), ("never", "one two, but no"), ("one", "")],
)
def test_cut_at_a_text_keeps_everything_before_it(at: str, kept: str) -> None:
    """Also where the text begins inside a token, and where it is several: "wo, b" begins in "two"."""
    b = Builder()
    result = run(b.program(b.text(b.cut(one(b), at))), said("one two, but no"))
    assert result.value == kept


def test_cut_of_a_pool_is_per_candidate_and_goes_on_from_there() -> None:
    b = Builder()
    pool = b.cut(b.generate(b.user("q"), 3, max_tokens=20), "Wait")
    grown = b.generate(b.force(pool, "Answer:"), 1, max_tokens=9)
    replies = iter(("a Wait b", "c Wait d", "e"))
    engine = ScriptedEngine(
        lambda p, s, k: " " + p.rpartition("<|assistant|>")[2][0] if "Answer" in p else next(replies)
    )
    result = run(b.program(b.texts(grown)), engine)
    assert result.value == ["a Answer: a", "c Answer: c", "eAnswer: e"]


@pytest.mark.parametrize("at", [-1, "", True, 1.5])
def test_a_wrong_cut_is_refused(at: Any) -> None:
    b = Builder()
    result = run(b.program(b.text(b.cut(one(b), at))), said("text"))
    assert result.error is not None
    assert result.error.code == "R0505"


def test_force_takes_token_ids() -> None:
    b = Builder()
    engine = said("yes")
    ids = tuple(engine.tokenizer.encode(" indeed sir"))
    forced = b.force(one(b), ids)
    result = run(b.program(fields(b, forced, "text", "tokens", "finish")), engine)
    assert result.value == ["yes indeed sir", 6, ""]


def test_force_refuses_what_are_no_ids() -> None:
    b = Builder()
    result = run(b.program(b.text(b.force(one(b), ("a", "b")))), said("yes"))
    assert result.error is not None
    assert result.error.code == "R0505"


def test_a_list_of_options_is_a_grid_over_the_continuations_of_each_source() -> None:
    b = Builder()
    sources = b.pure("list", b.user("a"), b.user("b"))
    pool = b.generate(sources, 3, max_tokens=(5, 6), temperature=(0.1, 0.5, 0.9), top_p=(0.5, None))
    engine = said("yes")
    result = run(b.program(b.map(pool, lambda inner, x: inner.pure("field", x, attr="temperature"))), engine)
    assert result.value == [0.1, 0.5, 0.9, 0.1, 0.5, 0.9]
    asked = [each.request.sampling for each in engine.records]
    assert [each.max_tokens for each in asked] == [5, 6, 5, 5, 6, 5]
    assert [each.top_p for each in asked] == [0.5, 1.0, 0.5, 0.5, 1.0, 0.5], "none is the default"


def test_an_empty_grid_is_refused() -> None:
    b = Builder()
    result = run(b.program(b.text(b.one(b.generate(b.user("q"), 2, temperature=())))), said("yes"))
    assert result.error is not None
    assert result.error.code == "R0505"


def test_until_may_be_a_grid_and_its_delimiters_are_cut_off() -> None:
    b = Builder()
    pool = b.generate(b.user("q"), 2, max_tokens=9, until=((";",), ("!",)), delimiter="drop")
    result = run(b.program(b.texts(pool)), said("a!b;c"))
    assert result.value == ["a!b", "a"]


def test_engine_options_and_schema_reach_the_engine() -> None:
    b = Builder()
    kind = RecordType("Options", (("experts", INT), ("block", INT)))
    options = b.pure("list", *(_record(b, experts, kind) for experts in (4, 8)), kind=ListOf(kind))
    pool = b.generate(b.user("q"), 2, max_tokens=9, engine=options, schema='{"type": "integer"}')
    engine = said("1")
    run(b.program(b.texts(pool)), engine)
    asked = [each.request.sampling for each in engine.records]
    assert [dict(each.extra) for each in asked] == [{"experts": 4}, {"experts": 8}], "none is not handed on"
    assert {each.schema for each in asked} == {'{"type": "integer"}'}


def _record(b: Builder, experts: int, kind: Any) -> Any:
    return b.pure("record", b.const(experts), b.const(None), attr="experts,block", kind=kind)


def test_an_engine_without_schemas_is_not_asked() -> None:
    b = Builder()
    engine = ScriptedEngine({}, abilities=frozenset({"generate"}))
    result = run(b.program(b.text(one(b, schema='{"type": "integer"}'))), engine)
    assert result.error is not None
    assert result.error.code == "R0406"
    assert engine.records == []
