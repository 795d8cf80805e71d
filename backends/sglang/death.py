"""Why a server ended: its exit status and the end of its log, turned into a sentence and a way out."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ttsc.backends.sglang.server_command import install_command

_TAIL_BYTES = 256 * 1024
_SHOWN_LINES = 6

# An exception's own line ("ValueError: …", "torch.cuda.OutOfMemoryError: …"), as a traceback ends with it.
_EXCEPTION = re.compile(r"(?:^|\s)([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b: .+)")
_ERROR_WORD = re.compile(r"\b(error|failed|cannot|exception|fatal|killed|no such)\b", re.IGNORECASE)
_NOISE = re.compile(
    r"Ignore import error|^\s*(File \"|\^+|~+|Traceback |During handling|raise |return |self\.|\|)|Warning:|WARNING",
    re.IGNORECASE,
)
_READY = "The server is fired up and ready to roll!"
_CHILD_FAILED = re.compile(r"sigquit from a child|means one child failed|Scheduler hit an exception", re.IGNORECASE)
_CHILD_KILLED = re.compile(r"(?:exit ?code[:= ]+|with code |terminated with )-9\b")


@dataclass(frozen=True, slots=True)
class Cause:
    """A known way for a server to die. `pattern` is looked for in the end of the log."""

    name: str
    pattern: re.Pattern[str]
    summary: str
    way_out: str


def _cause(name: str, pattern: str, summary: str, way_out: str) -> Cause:
    return Cause(name, re.compile(pattern, re.IGNORECASE), summary, way_out)


# In order: the first that matches is reported, so the specific ones come before those that often follow from them.
CAUSES: tuple[Cause, ...] = (
    _cause(
        "sglang-missing",
        r"No module named '?sglang\b",
        "SGLang is not installed",
        f"run `{install_command()}`",
    ),
    _cause(
        "module-missing",
        r"ModuleNotFoundError: No module named",
        "a package that SGLang needs is not installed",
        f"install the engine again: `{install_command()}`",
    ),
    _cause(
        "context-too-long",
        r"context[_ ]length.{0,80}(greater than|larger than|exceeds).{0,60}(derived|max|model)",
        "the context length asked for is more than the model has",
        "leave --context-length out, or lower it to the model's own",
    ),
    _cause(
        "out-of-memory",
        r"out of memory|OutOfMemoryError|Not enough memory|can't allocate memory|Cannot allocate memory|MemoryError"
        r"|bad_alloc",
        "memory ran out",
        "lower --max-total-tokens or --mem-fraction-static, choose a smaller model, or end what else uses the memory",
    ),
    _cause(
        "port-taken",
        r"address already in use|Errno 98\b|port \d+ is (?:already )?(?:in use|not available|occupied)",
        "its port is taken by another process",
        "leave the port out, and a free one is chosen",
    ),
    _cause(
        "model-missing",
        r"not a valid model identifier|Repository Not Found|RepositoryNotFoundError|config\.json|No safetensors"
        r"|Cannot find any model weights|Can't load the configuration|HFValidationError|Unrecognized model in",
        "the model could not be found or read",
        "check the model's path or name; without network access give a folder that holds config.json and the weights",
    ),
    _cause(
        "disk-full",
        r"No space left on device",
        "the disk is full",
        "free some space (shared memory under /dev/shm counts too)",
    ),
    _cause(
        "gpu-driver",
        r"no kernel image is available|CUDA driver version is insufficient|libcuda\.so|CUDA error",
        "the GPU or its driver refused",
        "compare `nvidia-smi` with the CUDA version of the installed torch",
    ),
    _cause(
        "bad-argument",
        r"error: (?:unrecognized arguments|argument |ambiguous option|the following arguments)",
        "SGLang refused its command line",
        "check the extra engine arguments against `python -m sglang.launch_server --help`",
    ),
)

_KERNEL_KILL = Cause(
    "killed",
    re.compile(r"(?!)"),
    "it was killed from outside, on most machines because memory ran out",
    "check `dmesg` for the out-of-memory killer; lower --max-total-tokens or choose a smaller model",
)


@dataclass(frozen=True, slots=True)
class Death:
    """An explained end. `cause` is a name of `CAUSES`, "killed", or "" when nothing is known."""

    summary: str
    way_out: str
    cause: str
    lines: tuple[str, ...]
    log_path: str

    def message(self) -> str:
        """The sentence and the log's last meaningful lines, for an error."""
        shown = "".join(f"\n  | {line}" for line in self.lines)
        return f"{self.summary}{shown}\n  (log: {self.log_path})"


def read_tail(path: Path, limit_bytes: int = _TAIL_BYTES) -> str:
    """The end of a log file as text; empty when there is no such file."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - limit_bytes))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


def meaningful_lines(tail: str, count: int = _SHOWN_LINES) -> tuple[str, ...]:
    """The lines of a log's end that say something about an error; else simply its last lines."""
    lines = [line.rstrip()[:300] for line in tail.splitlines() if line.strip()]
    chosen = [line for line in lines if _tells(line)] or lines
    unique = list(dict.fromkeys(chosen[-4 * count :]))
    return tuple(unique[-count:])


def _tells(line: str) -> bool:
    return not _NOISE.search(line) and bool(_EXCEPTION.search(line) or _ERROR_WORD.search(line))


def known_cause(tail: str) -> Cause | None:
    """The first known cause of death that the end of a log shows."""
    return next((cause for cause in CAUSES if cause.pattern.search(tail)), None)


def _how(exit_code: int | None, signal_number: int | None) -> str:
    if signal_number is not None:
        try:
            return f"was ended by signal {signal.Signals(signal_number).name}"
        except ValueError:
            return f"was ended by signal {signal_number}"
    return "ended" if exit_code is None else f"exited with code {exit_code}"


def explain(exit_code: int | None, signal_number: int | None, log_path: Path) -> Death:
    """Say why a server ended, from its exit status and its log."""
    # What went wrong and was survived on the way up is not what it died of later.
    tail = read_tail(log_path).rpartition(_READY)[2]
    lines = meaningful_lines(tail)
    cause = known_cause(_error_part(tail.splitlines()))
    child_failed = _CHILD_FAILED.search(tail) is not None
    # SGLang's main process kills itself when one of its processes fails: then the signal says nothing, and a failure
    # without an exception is a kill.
    silent = signal_number == signal.SIGKILL and not any(_EXCEPTION.search(line) for line in tail.splitlines())
    if cause is None and (silent or _CHILD_KILLED.search(tail)):
        cause = _KERNEL_KILL
    how = "ended because one of its processes failed" if child_failed else _how(exit_code, signal_number)
    if cause is None:
        return Death(
            f"the engine {how}", "read the log; `ttsc doctor` checks the installation", "", lines, str(log_path)
        )
    return Death(f"the engine {how}: {cause.summary}", cause.way_out, cause.name, lines, str(log_path))


def _error_part(lines: Sequence[str]) -> str:
    """From the first error or traceback on; log lines before it describe a healthy start and must match no cause."""
    for index, line in enumerate(lines):
        if line.lstrip().startswith("Traceback ") or _EXCEPTION.search(line) or " error: " in line or "] ERROR" in line:
            return "\n".join(lines[index:])
    return "\n".join(lines[-20:])
