"""The scripted stub engine keeps the promises of the engine protocol."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.protocol import (
    AbilityMissing,
    Completion,
    ContextTooLong,
    EmbedRequest,
    Engine,
    EngineError,
    EngineUnavailable,
    GenerateRequest,
    Image,
    Progress,
    RequestFailed,
    RequestRefused,
    RewardRequest,
    Sampling,
    Scored,
    ScoreRequest,
    Turn,
)
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer, by_pattern, table

texts = st.text(alphabet="ab1 \n.<|>", max_size=30)
turns = st.lists(st.builds(Turn, st.sampled_from(["system", "user"]), texts), min_size=1, max_size=3)


def ask(engine: ScriptedEngine, text: str, name: str = "r1", stream: bool = False, **options: Any) -> GenerateRequest:
    sampling = Sampling(**{"max_tokens": 50, "seed": 0, **options})
    ids = tuple(engine.tokenizer.chat_ids([Turn("user", text)]))
    return GenerateRequest(name, ids, sampling, stream)


def generate(engine: ScriptedEngine, *requests: GenerateRequest, progress: Any = None) -> list[Completion]:
    async def main() -> list[Completion]:
        found = await asyncio.gather(*(engine.generate(request, progress) for request in requests))
        await engine.close()
        return found

    return asyncio.run(main())


@given(texts)
@settings(deadline=None)
def test_decoding_undoes_encoding(text: str) -> None:
    tokenizer = ScriptedTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(turns, texts, turns, st.booleans())
@settings(deadline=None)
def test_extensions_append_to_what_was_there(first: list[Turn], reply: str, after: list[Turn], ended: bool) -> None:
    tokenizer = ScriptedTokenizer()
    begun = [*tokenizer.chat_ids(first), *tokenizer.encode(reply)]
    begun += sorted(tokenizer.eos_ids) if ended else []
    whole = tokenizer.chat_ids([*first, Turn("assistant", reply), *after])
    assert [*begun, *tokenizer.extension_ids(ended, after)] == whole


def test_a_last_assistant_turn_is_left_open() -> None:
    tokenizer = ScriptedTokenizer()
    ids = tokenizer.chat_ids([Turn("user", "hi"), Turn("assistant", "well")])
    assert tokenizer.show(ids) == "<|user|>hi<|end|><|assistant|>well"


def test_it_is_an_engine() -> None:
    engine: Engine = ScriptedEngine({})
    assert "stub" in engine.info.name


def test_replies_and_ends() -> None:
    engine = ScriptedEngine({"color": ["red"], "count": ["1, 2, 3"]})
    eos, stop, length = generate(
        engine,
        ask(engine, "color?", "a"),
        ask(engine, "count", "b", stop=(", 2",)),
        ask(engine, "count", "c", max_tokens=2),
    )
    assert (eos.finish, eos.matched, engine.tokenizer.decode(eos.output_ids)) == ("eos", 0, "red")
    assert eos.output_ids[-1] in engine.tokenizer.eos_ids
    assert (stop.finish, stop.matched, engine.tokenizer.decode(stop.output_ids)) == ("stop", ", 2", "1, 2")
    assert (length.finish, length.completion_tokens, engine.tokenizer.decode(length.output_ids)) == ("length", 2, "1,")


def test_the_seed_chooses_and_continuations_stay_on_their_answer() -> None:
    reply = table({"q": ["ab cd", "ab ef"]})
    sampling = Sampling(1)
    assert {reply("<|user|>q<|end|><|assistant|>", seed, sampling) for seed in range(4)} == {"ab cd", "ab ef"}
    assert {reply("<|user|>q<|end|><|assistant|>ab ", seed, sampling) for seed in range(4)} == {"cd", "ef"}
    assert {reply("<|user|>q<|end|><|assistant|>ab e", seed, sampling) for seed in range(4)} == {"f"}
    assert reply("<|user|>q<|end|><|assistant|>zz", 0, sampling) == ""


def test_progress_counts_up() -> None:
    engine = ScriptedEngine({"q": ["a b"]})
    seen: list[Progress] = []
    (completion,) = generate(engine, ask(engine, "q", stream=True), progress=seen.append)
    assert [p.tokens for p in seen] == [1, 2, 3, 4]
    assert tuple(i for p in seen for i in p.new_ids) == completion.output_ids


def test_the_prefix_cache_fills_after_prefill() -> None:
    engine = ScriptedEngine({"q": ["a b"]})
    request = ask(engine, "q one two three", "a")
    length = len(request.input_ids)
    one, two = generate(engine, request, ask(engine, "q one two three", "b"))
    assert (one.cached_tokens, two.cached_tokens) == (0, 0), "at the same time: neither finds the other's"
    (again,) = generate(engine, ask(engine, "q one two three", "c"))
    assert again.cached_tokens == length - 1


def test_an_abort_takes_one_more_step() -> None:
    engine = ScriptedEngine({"q": ["a " * 100]})

    async def main() -> Completion:
        task = asyncio.ensure_future(engine.generate(ask(engine, "q", max_tokens=300)))
        while engine.step < 5:
            await asyncio.sleep(0)
        await engine.abort(["r1", "unknown"])
        completion = await task
        await engine.abort(["r1"])
        await engine.close()
        return completion

    completion = asyncio.run(main())
    assert (completion.finish, completion.completion_tokens) == ("abort", 6)


def test_a_waiting_request_is_aborted_without_a_token() -> None:
    engine = ScriptedEngine({"q": ["a " * 20]}, slots=1)

    async def main() -> list[Completion]:
        tasks = [asyncio.ensure_future(engine.generate(ask(engine, "q", name))) for name in ("a", "b")]
        await asyncio.sleep(0)
        await engine.abort(["b"])
        found = await asyncio.gather(*tasks)
        await engine.close()
        return list(found)

    first, second = asyncio.run(main())
    assert (first.finish, second.finish, second.completion_tokens) == ("eos", "abort", 0)


def test_jitter_changes_the_order_not_the_tokens() -> None:
    def order(seed: int) -> tuple[list[str], dict[str, tuple[int, ...]]]:
        engine = ScriptedEngine({"q": ["a b c", "d e f"]}, jitter=0.5, jitter_seed=seed)
        generate(engine, *(ask(engine, "q", f"r{i}", seed=i) for i in range(5)))
        ended = sorted(engine.records, key=lambda r: r.last_step or 0)
        outputs = {r.request.request_id: r.completion.output_ids for r in engine.records if r.completion is not None}
        return [r.request.request_id for r in ended], outputs

    runs = [order(seed) for seed in range(6)]
    assert len({tuple(names) for names, _ in runs}) > 1
    assert all(outputs == runs[0][1] for _, outputs in runs)


def test_faults_on_demand() -> None:
    engine = ScriptedEngine({}, fault=lambda number, request: RequestFailed("second") if number == 1 else None)
    generate(engine, ask(engine, "q", "a"))
    with pytest.raises(RequestFailed, match="second"):
        generate(engine, ask(engine, "q", "b"))
    generate(engine, ask(engine, "q", "c"))
    engine.die("gone")
    with pytest.raises(EngineUnavailable, match="gone"):
        generate(engine, ask(engine, "q", "d"))
    engine.revive()
    generate(engine, ask(engine, "q", "e"))
    assert [record.request.request_id for record in engine.records] == ["a", "b", "c", "d", "e"]


def scripted_ids(engine: ScriptedEngine, text: str = "two plus two") -> tuple[int, ...]:
    return tuple(engine.tokenizer.chat_ids([Turn("user", text)]))


async def test_scripted_scores_are_those_of_generated_tokens() -> None:
    engine = ScriptedEngine({"two": ["it is four"]})
    ids = scripted_ids(engine)
    said = await engine.generate(GenerateRequest("a", ids, Sampling(max_tokens=9, seed=0), logprobs=True))
    assert said.logprobs is not None
    assert len(said.logprobs) == len(said.output_ids)
    assert all(-4 < each < 0 for each in said.logprobs)
    scored = await engine.score(ScoreRequest("b", (*ids, *said.output_ids), len(ids)))
    assert scored.logprobs == said.logprobs
    assert scored.cached_tokens == len(ids) - 1, "what is before the span may come from the cache, less one"
    other = ScriptedEngine({})
    other.tokenizer.encode("other words were seen first here")
    ids = scripted_ids(other)
    span = tuple(other.tokenizer.encode("it is four"))
    again = await other.score(ScoreRequest("b", (*ids, *span), len(ids)))
    assert again.logprobs == said.logprobs[:-1], "by the text, not by ids that depend on what was seen first"
    await engine.close()
    await other.close()


async def test_scripted_figures_are_what_the_test_says() -> None:
    engine = ScriptedEngine(
        {},
        scores=lambda before, span: -1.5 if span == "no" else [-0.25] * 3,
        reward=by_pattern({"four": 2.5, "five": -1.0}, default=0.5),
        embed=lambda text: (float(len(text)), 1.0),
    )
    ids = scripted_ids(engine)

    async def score(span: str) -> tuple[float, ...]:
        added = tuple(engine.tokenizer.encode(span))
        return (await engine.score(ScoreRequest(f"s{span}", (*ids, *added), len(ids)))).logprobs

    assert await score("no") == (-1.5,)
    assert await score("two words") == (-0.25, -0.25, -0.25)
    with pytest.raises(ValueError, match="3 numbers for the 5 tokens"):
        await score("one two three")
    for number, (text, expected) in enumerate([("it is four", 2.5), ("five", -1.0), ("six", 0.5)]):
        rated = await engine.reward(RewardRequest(f"r{number}", scripted_ids(engine, text)))
        assert rated.values == (expected,)
    vector = await engine.embed(EmbedRequest("e", tuple(engine.tokenizer.encode("abc"))))
    assert vector.vector == (3.0, 1.0)
    assert [record.kind for record in engine.records] == ["score"] * 3 + ["reward"] * 3 + ["embed"]
    await engine.close()


async def test_scripted_embeddings_are_bags_of_words() -> None:
    engine = ScriptedEngine({})

    async def embed(name: str, text: str) -> tuple[float, ...]:
        return (await engine.embed(EmbedRequest(name, tuple(engine.tokenizer.encode(text))))).vector

    one, same, other = await embed("a", "red hen"), await embed("b", "Hen, red!"), await embed("c", "sum of two")
    assert len(one) == 64
    assert one == same != other
    assert all(abs(sum(x * x for x in each) - 1) < 1e-9 for each in (one, other, await embed("d", "?!")))
    await engine.close()


async def test_scripted_faults_and_aborts_hold_for_every_kind() -> None:
    engine = ScriptedEngine({}, slots=0, fault=lambda number, request: RequestFailed("no") if number == 0 else None)
    ids = scripted_ids(engine)
    with pytest.raises(RequestFailed):
        await engine.reward(RewardRequest("a", ids))
    waiting = [
        asyncio.ensure_future(each)
        for each in (
            engine.score(ScoreRequest("b", ids, 1)),
            engine.reward(RewardRequest("c", ids)),
            engine.embed(EmbedRequest("d", ids)),
        )
    ]
    await asyncio.sleep(0)
    await engine.abort(["b", "c", "d"])
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, EngineError) and "aborted" in error.message
    assert [record.aborted for record in engine.records] == [False, True, True, True]
    engine.die()
    with pytest.raises(EngineError, match="gone"):
        await engine.score(ScoreRequest("e", ids, 1))
    await engine.close()


async def test_scripted_abilities_and_lengths_are_checked() -> None:
    engine = ScriptedEngine({}, abilities=frozenset({"generate"}), context_tokens=30)
    for refused in (
        engine.score(ScoreRequest("a", (1, 2, 3), 1)),
        engine.reward(RewardRequest("b", (1, 2, 3))),
        engine.generate(ask(engine, "two", schema="{}")),
        engine.generate(replace(ask(engine, "two"), images=(Image(b"", "image/png"),))),
    ):
        with pytest.raises(AbilityMissing):
            await refused
    whole = ScriptedEngine({}, context_tokens=30)
    with pytest.raises(ContextTooLong):
        await whole.score(ScoreRequest("a", (3,) * 30, 1))
    with pytest.raises(RequestRefused):
        await whole.score(ScoreRequest("b", (3,) * 3, 0))
    assert await whole.score(ScoreRequest("c", (3,) * 3, 3)) == Scored("c", (), 0, 0)
