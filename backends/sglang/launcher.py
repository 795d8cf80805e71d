"""Starting a server for a model: resolve, start behind a guard, wait until it decodes, explain when it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ttsc.backends.protocol import EngineError, EngineUnavailable, ModelNotFound
from ttsc.backends.sglang import state
from ttsc.backends.sglang.health import wait_ready
from ttsc.backends.sglang.process import EngineProcess
from ttsc.backends.sglang.server_command import ServerCommand, free_port, require_sglang, server_command

START_TIMEOUT_S = 600.0
_PORT_ATTEMPTS = 3


def silent(_message: str) -> None:
    """Report progress to nobody."""


def launch(
    model: str,
    *,
    deterministic: bool | None = None,
    port: int | None = None,
    log_path: Path | None = None,
    on_progress: Callable[[str], None] = silent,
    on_start: Callable[[EngineProcess], None] | None = None,
    timeout_s: float = START_TIMEOUT_S,
    extra_args: Sequence[str] = (),
) -> EngineProcess:
    """Start SGLang for `model` on 127.0.0.1 and wait until it decodes. It ends with this process.

    `deterministic=None` means the device's default: on for a CPU, off for a GPU. Without `port` a free one is chosen
    (and chosen again should another process take it meanwhile). `on_start` is told of the process as soon as it runs,
    long before it is ready. `extra_args` go to SGLang as they are.

    Raises `EngineUnavailable` when SGLang is missing, dies or does not answer within `timeout_s` seconds, and
    `ModelNotFound` when the name resolves to nothing. Nothing is left running then.
    """
    require_sglang()
    model_path = resolve(model, on_progress)
    log_path = log_path or state.new_log_path(state.engine_name(model))
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        chosen = port or free_port()
        command = server_command(model_path, chosen, deterministic=deterministic, extra_args=extra_args)
        process = start(command, chosen, model=model, model_path=model_path, log_path=log_path)
        try:
            if on_start is not None:
                on_start(process)
            wait_ready(process, timeout_s, on_progress)
        except BaseException:
            end = process.explain()
            process.stop()
            if port is None and end is not None and end.cause == "port-taken" and attempt < _PORT_ATTEMPTS:
                on_progress(f"port {chosen} was taken meanwhile, trying another")
                log_path = state.new_log_path(state.engine_name(model))
                continue
            raise
        return process
    raise EngineUnavailable("no free port was found", "name one with --port")


def start(command: ServerCommand, port: int, *, model: str, model_path: str, log_path: Path) -> EngineProcess:
    """Start a server's command behind its guard, without waiting for it."""
    url = f"http://127.0.0.1:{port}"
    return EngineProcess(command, url=url, model=model, model_path=model_path, log_path=log_path)


def resolve(model: str, on_progress: Callable[[str], None]) -> str:
    """The folder or hub name that a model's name stands for. Raises `ModelNotFound`, `EngineError`."""
    from ttsc.backends.sglang import models

    try:
        return models.resolve_model(model, progress=on_progress).path
    except models.ModelNotFound as error:
        raise ModelNotFound(error.message, error.hint) from error
    except models.ModelError as error:
        raise EngineError(error.message, error.hint) from error
