"""Samples that are kept: every answer of an engine and every value of a host function, in a file of JSON lines.

What is asked a second time is not asked at all. An answer is known by all that decides it (the model, the prompt, the
sampling parameters with the seed), so it serves any program, and any number of inputs and samples, that ask the same.
A run that was stopped goes on where it was; a line that a crash cut off is dropped.
"""

from __future__ import annotations

import inspect
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from ttsc.backends.protocol import (
    Completion,
    Embedded,
    EmbedRequest,
    Engine,
    GenerateRequest,
    Progress,
    Rewarded,
    RewardRequest,
    Scored,
    ScoreRequest,
)
from ttsc.errors import Problem, UsageError
from ttsc.externs import HostFunction
from ttsc.runtime.records import NotRecordable, from_json, prompt_digest, to_json
from ttsc.runtime.values import plain
from ttsc.runtime.work import Decoding, Embedding, Rewarding, Scoring

FORMAT = "ttsc samples 1"

A = TypeVar("A", Completion, Scored, Rewarded, Embedded)


class Samples:
    """Answers by key: in a file, or in memory alone (`path` None). `asked`: answers that an engine had to give since it
    was opened; `taken`: those that were there. Raises `UsageError` (E0560) for a file that is something else.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._known: dict[str, Any] = {}
        self._file: IO[str] | None = None
        self._lock = threading.Lock()
        self.asked = 0
        self.taken = 0
        if path is not None:
            self._open(Path(path))

    def _open(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise _refused(path, str(error)) from error
        whole = text[: text.rfind("\n") + 1]
        lines = whole.split("\n")[:-1]
        if text and (not lines or lines[0] != json.dumps({"format": FORMAT})):
            raise _refused(path, "it does not begin as one")
        for number, line in enumerate(lines[1:], 2):
            try:
                row = json.loads(line)
                self._known[row["key"]] = row["value"]
            except (ValueError, KeyError, TypeError) as error:
                raise _refused(path, f"line {number} is none of its lines") from error
        try:
            if len(whole) < len(text):
                os.truncate(path, len(whole.encode()))
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise _refused(path, str(error)) from error
        if not text:
            self._line({"format": FORMAT})

    def known(self, key: str) -> Any:
        """The JSON data of a key, None if it is not there."""
        return self._known.get(key)

    def keep(self, key: str, value: Any) -> None:
        self._known[key] = value
        self._line({"key": key, "value": value})

    def _line(self, data: Mapping[str, Any]) -> None:
        with self._lock:  # host functions run in threads
            if self._file is not None:
                self._file.write(json.dumps(data, ensure_ascii=False) + "\n")
                self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SampledEngine:
    """An engine whose answers are kept. What was aborted or failed is not kept."""

    def __init__(self, engine: Engine, samples: Samples) -> None:
        self._engine = engine
        self._samples = samples

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def generate(
        self, request: GenerateRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Completion:
        work = Decoding(request.sampling, logprobs=request.logprobs, images=request.images)
        key = self._key(prompt_digest(request.input_ids, work))
        known = self._taken(key, Completion, request.request_id)
        if known is not None:
            return known
        answer = await self._engine.generate(request, on_progress)
        if answer.finish != "abort":
            self._asked(key, answer)
        return answer

    async def score(self, request: ScoreRequest) -> Scored:
        key = self._key(prompt_digest(request.input_ids, Scoring(request.start)))
        known = self._taken(key, Scored, request.request_id)
        return self._asked(key, await self._engine.score(request)) if known is None else known

    async def reward(self, request: RewardRequest) -> Rewarded:
        key = self._key(prompt_digest(request.input_ids, Rewarding()))
        known = self._taken(key, Rewarded, request.request_id)
        return self._asked(key, await self._engine.reward(request)) if known is None else known

    async def embed(self, request: EmbedRequest) -> Embedded:
        key = self._key(prompt_digest(request.input_ids, Embedding()))
        known = self._taken(key, Embedded, request.request_id)
        return self._asked(key, await self._engine.embed(request)) if known is None else known

    def _key(self, digest: str) -> str:
        return f"{self._engine.info.model} {digest}"

    def _taken(self, key: str, kind: type[A], request_id: str) -> A | None:
        data = self._samples.known(key)
        if data is None:
            return None
        self._samples.taken += 1
        names = {each.name for each in fields(kind)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items() if name in names
        }
        values["request_id"] = request_id
        return kind(**values)

    def _asked(self, key: str, answer: A) -> A:
        self._samples.asked += 1
        self._samples.keep(key, {name: value for name, value in asdict(answer).items() if name != "request_id"})
        return answer


def sampled_engines(engines: Mapping[str, Engine], samples: Samples) -> dict[str, Engine]:
    """By role; roles that share an engine still do."""
    made: dict[int, Engine] = {}
    for engine in engines.values():
        made.setdefault(id(engine), cast(Engine, SampledEngine(engine, samples)))
    return {role: made[id(engine)] for role, engine in engines.items()}


def sampled_function(name: str, function: HostFunction, samples: Samples) -> HostFunction:
    """A host function whose values are kept by its name and arguments. One whose arguments or value are no data is
    called each time.
    """

    def known(arguments: tuple[Any, ...]) -> tuple[str, Any]:
        """The key of a call, "" if it can't be kept, and what is kept of it."""
        try:
            data = json.dumps(to_json(plain(arguments)), sort_keys=True)
        except NotRecordable:
            return "", None
        key = f"extern {name} {blake2b(data.encode(), digest_size=16).hexdigest()}"
        kept = samples.known(key)
        if kept is not None:
            samples.taken += 1
        return key, kept

    def noted(key: str, value: Any) -> Any:
        samples.asked += 1
        with suppress(NotRecordable):
            if key:
                samples.keep(key, {"value": to_json(plain(value))})
        return value

    if inspect.iscoroutinefunction(inspect.unwrap(function)):

        async def awaited(*arguments: Any) -> Any:
            key, kept = known(arguments)
            return noted(key, await function(*arguments)) if kept is None else from_json(kept["value"])

        return awaited

    def called(*arguments: Any) -> Any:
        key, kept = known(arguments)
        return noted(key, function(*arguments)) if kept is None else from_json(kept["value"])

    return called


def _refused(path: Path, why: str) -> UsageError:
    return UsageError(
        Problem(
            "E0560", f"'{path}' can't keep samples: {why}", "name another file for --journal, or one that isn't there"
        )
    )
