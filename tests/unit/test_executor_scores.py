"""Scores of given text: the ids that are sent, what comes back, what is counted, and what happens to losers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from executor_programs import Builder, run

from ttsc.backends.protocol import RequestFailed, RewardRequest
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.ir.nodes import FirstFinished, Greatest, Quantified
from ttsc.compiler.values.types import BOOL, CANDIDATE, FLOAT
from ttsc.runtime.events import Event, RequestEnded, RequestStarted


def scored(engine: ScriptedEngine) -> list[str]:
    """The spans that were scored, as shown, in the order of the requests."""
    asked = [each.request for each in engine.records if each.kind == "score"]
    return [engine.tokenizer.show(request.input_ids[request.start :]) for request in asked]


def before(engine: ScriptedEngine) -> list[str]:
    asked = [each.request for each in engine.records if each.kind == "score"]
    return [engine.tokenizer.show(request.input_ids[: request.start]) for request in asked]


def test_logprob_of_a_text_after_a_context() -> None:
    b = Builder()
    found = b.score("logprob", b.user("2 + 2?"), "it is 4")
    engine = ScriptedEngine({}, scores=lambda said, span: [-1.0, -2.0, -3.0, -4.0, -5.0])
    result = run(b.program(found), engine)
    assert result.value == [-1.0, -2.0, -3.0, -4.0, -5.0]
    assert before(engine) == ["<|user|>2 + 2?<|end|><|assistant|>"]
    assert scored(engine) == ["it is 4"]
    assert result.usage.scored_tokens == 5
    assert result.usage.decoded_tokens == 0
    assert result.usage.prefill_tokens == len(engine.records[0].request.input_ids)


def test_logprob_of_what_a_candidate_generated_uses_its_own_ids() -> None:
    b = Builder()
    candidate = b.one(b.generate(b.user("q"), 1, max_tokens=9))
    engine = ScriptedEngine(lambda p, s, k: "yes sir", scores=lambda said, span: -0.5)
    result = run(b.program(b.score("logprob", candidate)), engine)
    assert scored(engine) == ["yes sir<|end|>"], "the end of the turn was generated, too"
    assert result.value == [-0.5] * 4


def test_a_text_after_a_finished_candidate_continues_its_turn() -> None:
    b = Builder()
    candidate = b.one(b.generate(b.user("q"), 1, max_tokens=9))
    engine = ScriptedEngine(lambda p, s, k: "yes", scores=lambda said, span: -0.5)
    run(b.program(b.score("logprob", candidate, " sir")), engine)
    assert before(engine) == ["<|user|>q<|end|><|assistant|>yes"]
    assert scored(engine) == [" sir"]


def test_nothing_is_asked_about_nothing() -> None:
    b = Builder()
    engine = ScriptedEngine({})
    result = run(b.program(b.score("logprob", b.user("q"))), engine)
    assert result.value == []
    assert engine.records == []


def test_choices_are_sums_in_their_order_and_share_the_prompt() -> None:
    b = Builder()
    found = b.score("choices", b.user("is the sky blue today or not?"), ("yes", "no it is not"))
    engine = ScriptedEngine({}, scores=lambda said, span: -1.0)
    result = run(b.program(found), engine)
    assert result.value == [-1.0, -7.0]
    assert result.usage.requests == 2
    assert result.usage.cached_tokens >= 15, "the second choice found the prompt of the first"


def test_another_models_tokenizer_encodes_the_text_again() -> None:
    b = Builder()
    candidate = b.one(b.generate(b.user("q"), 1, max_tokens=9))
    program = b.program(b.score("logprob", candidate, model="target"))
    draft = ScriptedEngine(lambda p, s, k: "draft text", scores=lambda said, span: -9.0)
    draft.tokenizer.encode("other words first")
    target = ScriptedEngine({}, scores=lambda said, span: -0.25)
    result = run(program, {"default": draft, "target": target})
    assert scored(target) == ["draft text"], "the text, without the other model's end of turn"
    assert before(target) == ["<|user|>q<|end|><|assistant|>"]
    assert result.value == [-0.25] * 3
    assert set(result.usage.by_model) == {"default", "target"}


def test_reward_of_the_whole_turn_and_of_each_step() -> None:
    b = Builder()
    candidate = b.one(b.generate(b.user("q"), 1, max_tokens=20))
    whole = b.score("reward", candidate, model="prm")
    steps = b.score("reward", candidate, "\n", model="prm")
    seen: list[str] = []

    def reward(text: str) -> float:
        seen.append(text.partition("<|assistant|>")[2])
        return float(len(seen[-1]))

    engine = ScriptedEngine(lambda p, s, k: "one\ntwo\nrest", reward=reward)
    both = b.pure("list", whole, steps)
    result = run(b.program(both), {"default": engine, "prm": engine})
    assert set(seen) == {"one\ntwo\nrest<|end|>", "one\n", "one\ntwo\n", "one\ntwo\nrest"}
    assert result.value == [[19.0], [4.0, 8.0, 12.0]], "in the order of the steps, whatever the order of requests"
    assert result.usage.rewards == 4
    assert result.usage.by_model["prm"]["requests"] == 4


def test_a_reward_model_with_two_labels_and_with_more() -> None:
    b = Builder()
    program = b.program(b.score("reward", b.user("q")))
    assert run(program, ScriptedEngine({}, reward=lambda text: [1.0, 3.5])).value == [2.5]
    failure = run(program, ScriptedEngine({}, reward=lambda text: [1.0, 2.0, 3.0])).error
    assert failure is not None
    assert failure.code == "R0506"


def test_a_text_is_embedded_once_in_a_session() -> None:
    b = Builder()
    first = b.map(b.const(("a", "b")), lambda inner, x: inner.score("embed", x))
    later = b.pure("list", b.pure("to_str", b.pure("count", first)), b.const("a"))
    second = b.map(later, lambda inner, x: inner.score("embed", x))
    engine = ScriptedEngine({}, embed=lambda text: (float(ord(text[0])), 0.5))
    result = run(b.program(second), engine)
    assert result.value == [[50.0, 0.5], [97.0, 0.5]]
    assert [engine.tokenizer.show(each.request.input_ids) for each in engine.records] == ["a", "b", "2"]
    assert result.usage.embeddings == 3


def test_the_events_say_what_kind_of_request_it_is() -> None:
    b = Builder()
    events: list[Event] = []
    run(b.program(b.score("choices", b.user("q"), ("a", "b"))), ScriptedEngine({}), events=events)
    assert {e.kind for e in events if isinstance(e, RequestStarted | RequestEnded)} == {"score"}
    assert {e.op for e in events if isinstance(e, RequestStarted)} == {"choices"}
    assert {e.finish for e in events if isinstance(e, RequestEnded)} == {"done"}


def test_a_failed_score_takes_one_candidate_only_and_is_retried_before() -> None:
    b = Builder()
    pool = b.generate(b.user("q"), 3, max_tokens=9)
    rewards = b.map(pool, lambda inner, x: inner.pure("item", inner.score("reward", x), inner.const(0), kind=FLOAT))
    best = b.select("best", pool, Greatest(), keys=rewards, kind=CANDIDATE)
    faults = 0

    def fault(count: int, request: Any) -> RequestFailed | None:
        nonlocal faults
        if isinstance(request, RewardRequest) and "best" in engine.tokenizer.show(request.input_ids):
            faults += 1
            return RequestFailed("the server had a bad day", retry_after_s=0.0)
        return None

    replies = iter(("good", "best", "better"))
    engine = ScriptedEngine(lambda p, s, k: next(replies), reward=lambda text: float(len(text)), fault=fault)
    result = run(b.program(b.text(best)), engine)
    assert result.value == "better"
    assert faults == 4, "every attempt"
    assert result.usage.retries == 3


def test_scores_of_losers_are_not_asked_for_or_aborted() -> None:
    """Nobody needs the rewards of candidates that did not finish first."""
    b = Builder()
    pool = b.generate(b.user("q"), 2, max_tokens=60, stream=True)
    first = b.select("stop_first", pool, FirstFinished(), count=b.const(1), early=True, kind=pool.type)
    found = b.map(first, lambda inner, x: inner.score("reward", x))
    said = iter(("short", "long " * 20))
    engine = ScriptedEngine(lambda p, s, k: next(said))
    result = run(b.program(found), engine)
    assert len(result.value) == 1
    assert sum(each.kind == "reward" for each in engine.records) == 1


def test_a_score_that_is_not_needed_any_more_is_aborted() -> None:
    b = Builder()
    contexts = b.pure("list", b.user("quick"), b.user("slow"), b.user("last"))

    def right(inner: Builder, x: Any) -> Any:
        value = inner.pure("item", inner.score("logprob", x, "yes"), inner.const(0), kind=FLOAT)
        return inner.pure("gt", value, inner.const(-2.0), kind=BOOL)

    verdicts = b.map(contexts, right, kind=BOOL)
    found = b.select("any", verdicts, Quantified("any"), early=True, kind=BOOL)
    engine = ScriptedEngine({}, scores=lambda said, span: -1.0, slots=1, settle=60)
    result = run(b.program(found), engine)
    assert result.value is True
    assert result.usage.aborted == 1
    assert result.usage.failed == 0


def test_an_engine_without_the_ability_is_not_asked() -> None:
    b = Builder()
    engine = ScriptedEngine({}, abilities=frozenset({"generate", "score"}))
    result = run(b.program(b.score("embed", b.const("text"))), engine)
    assert result.error is not None
    assert result.error.code == "R0406"
    assert engine.records == []


@pytest.mark.parametrize("given", [7, "", ("a", ""), "not a list"])
def test_wrong_choices_are_refused(given: Any) -> None:
    b = Builder()
    result = run(b.program(b.score("choices", b.user("q"), b.const(given))), ScriptedEngine({}))
    assert result.error is not None
    assert result.error.code == "R0505"


def test_candidates_know_their_log_probabilities() -> None:
    """Those of decoded tokens; forced ones are left out, and a cut takes its own away."""
    b = Builder()
    first = b.one(b.generate(b.user("q"), 1, max_tokens=1, logprobs=True))
    forced = b.force(first, " but")
    then = b.one(b.generate(forced, 1, max_tokens=9, logprobs=True))
    cut = b.cut(then, 2)
    parts = [b.pure("field", each, attr="logprobs", kind=FLOAT) for each in (first, forced, then, cut)]
    total = b.pure("field", then, attr="logprob", kind=FLOAT)
    said = iter(("yes", " no"))
    engine = ScriptedEngine(lambda p, s, k: next(said), scores=lambda seen, span: -1.0 if span[0] == "y" else -2.0)
    result = run(b.program(b.pure("list", *parts, b.pure("list", total))), engine)
    one, same, both, shorter, summed = result.value
    assert one == same == shorter == [-1.0]
    assert both == [-1.0, -2.0, -2.0, -2.0]
    assert math.isclose(summed[0], -7.0)
