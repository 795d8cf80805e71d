"""Engines for callers: attach to one by URL, launch one for a model, or let a run find its own.

A handle may be shared by any number of runs, threads and event loops. Connections belong to an event loop, so a
handle opens one engine client per loop that uses it; they all talk to the same server.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from ttsc.backends.protocol import Engine, EngineInfo
from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.runtime.outside import outside

if TYPE_CHECKING:
    from ttsc.backends.sglang.process import EngineProcess
    from ttsc.backends.sglang.state import EngineRecord

T = TypeVar("T")

BUILTIN_MODEL = "smollm2-135m"
"""The model of a role that neither the caller nor the program names: small, without need of a GPU or a model hub."""

Progress = Callable[[str], None]
Start = Callable[[Callable[["EngineProcess"], None]], "EngineProcess"]
"""Starts a server: told whom to tell of the process as soon as it runs; gives it back once it is ready."""

_DEATH_NOTICE_S = 2.0
"""How long a guard may take to say why its server died, in seconds."""


class EngineHandle:
    """An engine that programs can run on: `engine=` of every run. A context manager, sync and async.

    Made by `connect` or `launch`. Leaving the context closes connections, and stops a server that `launch` started.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        start: Start | None = None,
        record: EngineRecord | None = None,
        api_key: str | None = None,
        tokenizer_path: str | None = None,
    ) -> None:
        """One of: the `url` of an engine, a function to `start` one, the `record` of a kept one."""
        self._url = url if record is None else record.url
        self._start = start
        self._record = record
        self._api_key = api_key
        self._tokenizer_path = tokenizer_path
        self._process: EngineProcess | None = None
        self._clients: dict[asyncio.AbstractEventLoop, asyncio.Task[Engine]] = {}

    @property
    def url(self) -> str:
        """Where the engine listens. Raises `UsageError` before a launched one has started."""
        if self._url is None:
            raise UsageError(
                Problem("E0511", "the engine has not been started", "write `with ttsc.launch(…) as engine:`")
            )
        return self._url

    async def client(self) -> Engine:
        """The engine client of the running event loop, connected on first use. Raises `EngineUnavailable`."""
        loop = asyncio.get_running_loop()
        for ended in [known for known in self._clients if known.is_closed()]:
            del self._clients[ended]
        task = self._clients.get(loop)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._clients[loop] = loop.create_task(self._connect())
        return await asyncio.shield(task)

    async def info(self) -> EngineInfo:
        """What the engine says of itself: model, context in tokens, whether seeds are honoured."""
        return (await self.client()).info

    async def aclose(self) -> None:
        """Close what is open on this event loop, and stop the server if it was launched here."""
        task = self._clients.pop(asyncio.get_running_loop(), None)
        if task is not None:
            with contextlib.suppress(Exception):
                await (await task).close()
        if self._process is not None:
            process, self._process, self._url = self._process, None, None
            await in_thread(process.stop)

    async def _connect(self) -> Engine:
        from ttsc.backends.sglang.client import SGLangEngine
        from ttsc.backends.sglang.kept import why_ended

        process, record = self._process, self._record
        if process is not None:
            return await SGLangEngine.connect(
                self.url, tokenizer_path=process.model_path, explain=lambda: process.explain(_DEATH_NOTICE_S)
            )
        if record is not None:
            return await SGLangEngine.connect(
                self.url, tokenizer_path=record.model_path, explain=lambda: why_ended(record)
            )
        return await SGLangEngine.connect(self.url, tokenizer_path=self._tokenizer_path, api_key=self._api_key)

    async def __aenter__(self) -> Self:
        if self._url is None and self._start is not None:
            self._process = await start_process(self._start)
            self._url = self._process.url
        try:
            await self.client()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return run_blocking(self.__aenter__(), "`with`", "`async with`")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_blocking(self.aclose(), "`with`", "`async with`")


EngineLike = Engine | EngineHandle | str
"""An engine, a handle to one, the URL of one, or a model of the test bed (`testbed/policy`), whose engine is kept."""

Engines = EngineLike | Mapping[str, EngineLike] | None
"""What `engine=` takes: one for every model role, or one per role, or a group of models (`testbed`): for each role the
kept engine of the model of its name; or None: a kept engine if one runs, else one is launched.
"""


def connect(url: str, *, api_key: str | None = None, tokenizer_path: str | None = None) -> EngineHandle:
    """A running SGLang server (or a router before several). Use it as a context manager, or directly as `engine=`.

    `api_key`: what the server was started with. `tokenizer_path`: a folder with the model's tokenizer, where the
    server names a model that this machine can't reach. Raises `EngineUnavailable` when it is entered or first used
    and nothing answers there.
    """
    return EngineHandle(url, api_key=api_key, tokenizer_path=tokenizer_path)


def launch(
    model: str = BUILTIN_MODEL,
    *,
    deterministic: bool | None = None,
    port: int | None = None,
    timeout_s: float = 600.0,
    embedding: bool = False,
    on_progress: Progress | None = None,
) -> EngineHandle:
    """A server of our own for `model` (a folder, a hub's id or a built-in name); it stops when the context is left.

    `deterministic` makes it honour seeds (None: on for a CPU, off for a GPU). `embedding` serves the model's vectors
    instead of letting it generate. `on_progress` is told what is going on,
    from another thread. Entering it raises `EngineUnavailable` if it doesn't start within `timeout_s` seconds,
    `ModelNotFound` for a name that resolves to nothing.
    """

    def start(on_start: Callable[[EngineProcess], None]) -> EngineProcess:
        from ttsc.backends.sglang.launcher import launch as launch_server
        from ttsc.backends.sglang.launcher import silent
        from ttsc.backends.sglang.server_command import POOLING_FLAG

        return launch_server(
            model,
            deterministic=deterministic,
            port=port,
            on_progress=on_progress or silent,
            on_start=on_start,
            timeout_s=timeout_s,
            extra_args=(POOLING_FLAG,) if embedding else (),
        )

    return EngineHandle(start=start)


@asynccontextmanager
async def engines_for(
    roles: Mapping[str, str | None],
    engine: Engines = None,
    models: Mapping[str, str] | None = None,
    on_progress: Progress | None = None,
    pooled: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[dict[str, Engine]]:
    """An engine for every model role. What is opened or launched here is closed and stopped at the end; what was
    given stays open. `pooled`: roles that are asked for vectors alone ("embed"), whose engines are launched for that,
    and those that rate ("reward"), for which there is no built-in model.

    Raises `UsageError` (E0510) for a role that doesn't exist, has no engine or no reward model; `EngineUnavailable`,
    `ModelNotFound`.
    """
    models = models or {}
    if isinstance(engine, str):
        engine = await _grouped(engine, roles, models)
    _known_roles(roles, {*models, *(engine if isinstance(engine, Mapping) else ())})
    needed = roles if engine is None else {}
    names = {role: models.get(role) or default or _builtin(role, pooled) for role, default in needed.items()}
    async with AsyncExitStack() as stack:
        found: dict[str, Engine] = {}
        opened: dict[tuple[str, bool], Engine] = {}
        for role in roles:
            chosen = engine.get(role) if isinstance(engine, Mapping) else engine
            if chosen is None and isinstance(engine, Mapping):
                raise UsageError(
                    Problem("E0510", f"no engine was given for the model role '{role}'", f"add '{role}' to engine=")
                )
            if chosen is None:
                name, embeds = names[role], pooled.get(role) == "embed"
                if (name, embeds) not in opened:
                    handle = await stack.enter_async_context(await _kept_or_launched(name, embeds, on_progress))
                    opened[name, embeds] = await handle.client()
                found[role] = opened[name, embeds]
            elif isinstance(chosen, str):
                if (chosen, False) not in opened:
                    opened[chosen, False] = await (await stack.enter_async_context(await _named(chosen))).client()
                found[role] = opened[chosen, False]
            else:
                found[role] = await chosen.client() if isinstance(chosen, EngineHandle) else chosen
        yield found


def _builtin(role: str, pooled: Mapping[str, str]) -> str:
    """The model of a role for which nobody named one. Raises `UsageError` (E0510) for one that rates."""
    if pooled.get(role) != "reward":
        return BUILTIN_MODEL
    message = f"the model role '{role}' rates texts, and no reward model was named for it"
    hint = f"--model {role}=FOLDER of one, or --engine {role}=URL of its engine; in Python models= and engine="
    raise UsageError(Problem("E0510", message, hint))


async def start_process(start: Start) -> EngineProcess:
    """Start a server in a thread. If the waiting task is cancelled, what was started is stopped."""
    started: list[EngineProcess] = []
    cancelled = threading.Event()

    def on_start(process: EngineProcess) -> None:
        started.append(process)
        if cancelled.is_set():
            process.stop()

    try:
        return await in_thread(lambda: start(on_start))
    except asyncio.CancelledError:
        cancelled.set()
        for process in started:
            process.stop()
        raise


async def in_thread(work: Callable[[], T]) -> T:
    """The result of blocking work. Unlike a pool's, its thread doesn't hold up the process's end when cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(T, result))

    def target() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=target, name="ttsc-work", daemon=True).start()
    with outside():
        return await future


def run_blocking(work: Coroutine[Any, Any, T], what: str, instead: str) -> T:
    """Run a coroutine from sync code, on one event loop that all of them share. Ctrl-C cancels it and waits for its
    end.

    Raises `UsageError` (E0511) inside a running event loop, where it would block that loop.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        future = asyncio.run_coroutine_threadsafe(work, _shared_loop())
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            with contextlib.suppress(BaseException):
                future.exception(timeout=10)
            raise
    work.close()
    raise UsageError(
        Problem("E0511", f"{what} was used inside a running event loop, which it would block", f"use {instead} there")
    )


async def _kept_or_launched(model: str, embeds: bool, on_progress: Progress | None) -> EngineHandle:
    def find() -> EngineRecord | None:
        from ttsc.backends.sglang.kept import find_running
        from ttsc.backends.sglang.launcher import resolve, silent
        from ttsc.backends.sglang.state import engine_name

        return find_running(engine_name(resolve(model, on_progress or silent), embeds=True) if embeds else model)

    record = await in_thread(find)
    if record is None:
        return launch(model, embedding=embeds, on_progress=on_progress)
    if on_progress is not None:
        on_progress(f"using the kept engine {record.name} at {record.url}")
    return EngineHandle(record=record)


async def _grouped(engine: str, roles: Mapping[str, str | None], models: Mapping[str, str]) -> Engines:
    """The engines of a group of models, by role; anything else as it is."""
    from ttsc.engine_groups import group_engines, is_group

    if not is_group(engine):
        return engine
    handles = await in_thread(lambda: group_engines(engine, roles, models))
    return dict(handles)


async def _named(engine: str) -> EngineHandle:
    """The engine at a URL, or the kept one of a model of the test bed."""
    from ttsc.engine_groups import is_kept_name, kept_engine

    return await in_thread(lambda: kept_engine(engine)) if is_kept_name(engine) else connect(engine)


def _known_roles(roles: Mapping[str, str | None], named: set[str]) -> None:
    problems = [
        Problem(
            "E0510",
            f"the program has no model role '{name}'",
            did_you_mean(name, roles, f"its roles: {', '.join(roles)}"),
        )
        for name in sorted(named)
        if name not in roles
    ]
    if problems:
        raise UsageError(*problems)


_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def _shared_loop() -> asyncio.AbstractEventLoop:
    """The event loop of all sync calls, in a thread of its own that ends with the process."""
    global _loop
    with _loop_lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="ttsc-loop", daemon=True).start()
        return _loop
