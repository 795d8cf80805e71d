"""The process that runs untrusted code: started as a script by `sandbox.py`, which see.

Order: read the job from standard input, confine, run the code, run the tests, say so. The verdict is a random token
that the parent put into a pipe. It is read only after the last test passed and sent back through another pipe, so
nothing the code prints and no way of ending early looks like it. What the harness needs after the code has run it
holds in locals since before, so that replaced builtins don't reach it.
"""

from __future__ import annotations

import importlib.util
import json
import linecache
import os
import sys
import traceback
import types
from typing import Any

UNCONFINED = "unconfined"
MAX_FRAMES = 12


def main() -> None:
    job = json.load(sys.stdin)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    answer: int = job["answer"]
    confinement = _sibling("confinement")
    try:
        if job["confined"]:
            confinement.confine(job["stdlib"], os.getcwd(), job["cpu_s"], job["memory_bytes"], job["file_bytes"])
        else:
            confinement.set_limits(job["cpu_s"], job["memory_bytes"], job["file_bytes"])
    except confinement.NotConfined as error:
        os.write(answer, f"{UNCONFINED}:{error}".encode())
        os._exit(3)
    run(job["code"], job["tests"], job["secret"], answer)


def run(code: str, tests: list[str], secret: int, answer: int) -> None:
    """Run the code, then the tests in its namespace. Ends the process."""
    execute, translate, base_exception = exec, compile, BaseException
    read, write, leave, flush = os.read, os.write, os._exit, (sys.stdout.flush, sys.stderr.flush)
    report = _report
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    stage = "the code"
    try:
        prepared = []
        for i, test in enumerate(tests, 1):
            prepared.append((f"test {i}", translate(test, _source(f"<test {i}>", test), "exec")))
        execute(translate(code, _source("<solution>", code), "exec"), module.__dict__)
        for stage, check in prepared:  # noqa: B007
            execute(check, module.__dict__)
        for each in flush:
            each()
    except base_exception as error:
        report(stage, error)
        leave(1)
    write(answer, read(secret, 64))
    leave(0)


def _source(name: str, text: str) -> str:
    """Make the text known to tracebacks."""
    linecache.cache[name] = (len(text), None, [line + "\n" for line in text.split("\n")], name)
    return name


def _report(stage: str, error: BaseException) -> None:
    """Say where it failed, without the harness's own frames."""
    try:
        sys.stdout.flush()
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        lines = traceback.format_exception(type(error), error, trace, limit=-MAX_FRAMES)
        print(f"{stage} failed:\n{''.join(lines)}", file=sys.__stderr__, end="", flush=True)
    except BaseException:
        os._exit(2)


def _sibling(name: str) -> Any:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
