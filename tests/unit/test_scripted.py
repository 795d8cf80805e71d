"""The scripted stub engine keeps the promises of the engine protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ttsc.backends.protocol import (
    Completion,
    Engine,
    EngineUnavailable,
    GenerateRequest,
    Progress,
    RequestFailed,
    Sampling,
    Turn,
)
from ttsc.backends.scripted import ScriptedEngine, ScriptedTokenizer, table

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
