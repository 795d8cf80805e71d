"""The Python interface: compile a program once, run it on any number of inputs.

program = ttsc.compile("programs/self_consistency.tts")
with ttsc.connect("http://127.0.0.1:30000") as engine:
    result = program.run(question="How much is 17 + 25?", n=8, engine=engine)
print(result.value, result.usage.decoded_tokens)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ttsc.compiler.plan.nodes import Level
from ttsc.driver import compile_file, compile_source
from ttsc.grammar.source import Source
from ttsc.library import PREFIX, FileLibrary, is_text, read_task
from ttsc.program import CompiledProgram
from ttsc.run_errors import RunError

__all__ = ["CompiledProgram", "RunError", "compile"]


def compile(
    path_or_source: str | Path | Source,
    program: str | None = None,
    level: Level = 2,
    *,
    disabled: Iterable[str] = (),
    enabled: Iterable[str] = (),
    task: str | Path | None = None,
) -> CompiledProgram:
    """Compile one program of a file, of `std:NAME`, or of a text (a string with a line break or a brace in it).

    `program` names it where there is a choice. `level` 0 runs it as written, 2 with all passes but the `disabled`
    ones, and with those that run only where they are `enabled`; the value is the same. `task`: a file, `std:NAME` or a
    text that stands in for `std.task`, which the library's strategies work on (docs/language.md). Raises `CompileError`
    with every diagnostic, `UsageError` for a file, program or pass that isn't there.
    """
    passes = (tuple(disabled), tuple(enabled))
    if isinstance(path_or_source, Source):
        library = FileLibrary(None, read_task(task))
        return CompiledProgram(compile_source(path_or_source, program, level, *passes, library=library))
    if isinstance(path_or_source, str) and not path_or_source.startswith(PREFIX) and is_text(path_or_source):
        return compile(
            Source("<string>", path_or_source), program, level, disabled=disabled, enabled=enabled, task=task
        )
    return CompiledProgram(compile_file(path_or_source, program, level, *passes, task=task))
