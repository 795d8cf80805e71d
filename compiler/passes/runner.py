"""Runs the pipeline: skips by name, times, and verifies the program after each pass that changed it.

A pass that breaks an invariant or raises is a bug of ours; the `InternalError` names it. `-O0` runs nothing.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from ttsc.compiler.ir.nodes import Program
from ttsc.compiler.ir.verify import Sound, verify
from ttsc.compiler.passes.pass_ import Context, Pass
from ttsc.compiler.passes.pipeline import PIPELINE
from ttsc.grammar.diagnostics import InternalError

Level = Literal[0, 1, 2]
After = Callable[[str, Program], None]
"""Called with a pass's name and the program after it: how `dump --after PASS` works."""


class UnknownPass(Exception):
    """A pass was named that does not exist. `hint` says what could be meant."""

    def __init__(self, name: str) -> None:
        known = [each.name for each in PIPELINE]
        near = difflib.get_close_matches(name, known, 1)
        self.name = name
        self.message = f"there is no pass `{name}`"
        self.hint = f"did you mean `{near[0]}`?" if near else f"the passes are {', '.join(known)}"
        super().__init__(f"{self.message}; {self.hint}")


class Ran(NamedTuple):
    """The program after the passes, the names of those that ran, and the seconds each took."""

    program: Program
    names: tuple[str, ...]
    timings: tuple[tuple[str, float], ...]


def find_pass(name: str) -> Pass:
    """The pass of a name. Raises `UnknownPass`."""
    for each in PIPELINE:
        if each.name == name:
            return each
    raise UnknownPass(name)


def run_passes(
    program: Program,
    level: Level,
    disabled: Iterable[str] = (),
    after: After | None = None,
    context: Context | None = None,
    sound: Sound | None = None,
    enabled: Iterable[str] = (),
) -> Ran:
    """Run every pass of the level that is not disabled, and from level 1 on also those that are `enabled`. Raises
    `UnknownPass` or `InternalError`.

    `sound`: what is known of the program's nodes from verifying it (`verify`).
    """
    sound = {} if sound is None else sound
    skipped = {find_pass(name).name for name in disabled}
    wanted = {find_pass(name).name for name in enabled} if level > 0 else set()
    context = Context() if context is None else context
    timings: list[tuple[str, float]] = []
    for each in PIPELINE:
        by_level = each.level is not None and each.level <= level
        if each.name in skipped or not (by_level or each.name in wanted):
            continue
        before = program
        started = time.perf_counter()
        try:
            program = each.run(program, context)
        except InternalError:
            raise
        except Exception as failure:
            raise InternalError(f"pass `{each.name}` failed: {type(failure).__name__}: {failure}") from failure
        timings.append((each.name, time.perf_counter() - started))
        if program is not before:
            if (program.models, program.externs) != (before.models, before.externs):
                sound.clear()
            verify(program, f"pass `{each.name}`", sound)
        if after is not None:
            after(each.name, program)
    return Ran(program, tuple(name for name, _ in timings), tuple(timings))
