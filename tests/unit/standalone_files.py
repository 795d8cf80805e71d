"""Runs standalone files in this process: their servers are stood in for by an engine of ours."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ttsc.backends import protocol
from ttsc.backends.protocol import Engine
from ttsc.compiler.plan.nodes import Plan
from ttsc.runtime.bars import Bar, stopped
from ttsc.standalone.file import standalone


def module_of(text: str, engine: Callable[[], Engine]) -> ModuleType:
    """The file as a module, whose servers are the engines that `engine` makes: one for each address."""
    module = ModuleType(f"standalone_{abs(hash(text))}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(text, f"<{module.__name__}>", "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    vars(module)["Server"] = lambda url, tokenizer, concurrency: StandIn(engine(), module)
    return module


def run_file(plan: Plan, values: Mapping[str, Any], engine: Callable[[], Engine], **settings: Any) -> Any:
    """The value of the plan's standalone file, or the code with which it failed."""
    module = module_of(standalone(plan, "test.tts", "0" * 64), engine)
    try:
        return asyncio.run(asyncio.wait_for(module.run(**values, url="here", **settings), 20))
    except module.RunFailed as error:
        return error.failure.code


class StandIn:
    """The file's `Server`, over an engine of ours."""

    def __init__(self, engine: Engine, module: ModuleType) -> None:
        self._engine = engine
        self._module = module
        self._requests = 0
        self.tokenizer = engine.tokenizer
        self.model = engine.info.model
        self.context_tokens = engine.info.context_tokens

    async def connect(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        await self._engine.close()

    def room_for(self, prompt_tokens: int, max_tokens: int) -> None:
        if prompt_tokens + max_tokens > self.context_tokens:
            raise self._module.RunFailed(self._module.RunFailure("R0404", "too long", "", "engine"))

    async def generate(
        self, make: Callable[[str], Any], warm_first: bool, on_tokens: Callable[[int], None], bar: Any = None
    ) -> Any:
        asked = make(self._id())
        sampling = {name: getattr(asked.sampling, name) for name in protocol.Sampling.__dataclass_fields__}
        request = protocol.GenerateRequest(
            asked.request_id,
            asked.input_ids,
            protocol.Sampling(**sampling),
            asked.stream,
            asked.logprobs,
            asked.confidences,
            asked.images,
        )
        progress = (lambda report: on_tokens(report.tokens)) if asked.stream else None
        answer = await self._told(asked.request_id, self._engine.generate(request, progress))
        return stopped(None if bar is None else Bar(bar.below, bar.window), answer)[0]

    async def ask(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any]) -> Any:
        rid, ids = self._id(), tuple(body["input_ids"])
        meta: dict[str, Any] = {"prompt_tokens": len(ids), "cached_tokens": 0, "finish_reason": {"type": "length"}}
        if path == "/generate":
            start = body["logprob_start_len"] + 1
            scored = await self._told(rid, self._engine.score(protocol.ScoreRequest(rid, ids, start)))
            entries = [[value, token, ""] for value, token in zip(scored.logprobs, ids[start:], strict=True)]
            return read({"meta_info": {**meta, "input_token_logprobs": [[None, ids[start - 1], ""], *entries]}})
        if path == "/classify":
            found = await self._told(rid, self._engine.reward(protocol.RewardRequest(rid, ids)))
            return read({"embedding": list(found.values), "meta_info": meta})
        vector = await self._told(rid, self._engine.embed(protocol.EmbedRequest(rid, ids)))
        return read({"embedding": list(vector.vector), "meta_info": meta})

    def _id(self) -> str:
        self._requests += 1
        return f"file-{self._requests:08x}"

    async def _told(self, rid: str, work: Any) -> Any:
        try:
            return await work
        except asyncio.CancelledError:
            await self._engine.abort([rid])
            raise
        except protocol.EngineError as error:
            raise self._module.RunFailed(self._module.RunFailure(error.code, error.message, "", "engine")) from error
