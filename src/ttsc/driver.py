"""The whole compiler on one page: text -> AST -> typed program -> IR -> passes -> plan.

Every stage's result is kept, so that `ttsc dump` and the tests can look at each. Nothing here talks to an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.plan.nodes import Level, Plan
from ttsc.compiler.semantics.check import Checked, check
from ttsc.compiler.semantics.modules import Library
from ttsc.errors import Problem, UsageError, did_you_mean
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.source import Source
from ttsc.library import FileLibrary, open_source

if TYPE_CHECKING:
    from ttsc.compiler.ir.verify import Sound

AfterPass = Callable[[str, ir.Program], None]
"""Told of each pass that ran, and of the program after it."""


@dataclass(frozen=True)
class Compiled:
    """A program at every stage. `built` is the IR as the source says it; `plan.program` the IR after the passes.

    `library`: where its `use` looked, and what stood in for `std.task`. `disabled`, `enabled`: passes that were left
    out, and those asked for by name.
    """

    source: Source
    checked: Checked
    name: str
    built: ir.Program
    plan: Plan
    library: Library
    disabled: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()

    @cached_property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What costs money but is no error, in all programs of the file."""
        from ttsc.compiler.bounds.check import check_bounds, check_money

        return (*self.checked.warnings, *check_money(self.checked, check_bounds(self.checked)))

    @cached_property
    def roles(self) -> dict[str, str | None]:
        """Model roles that the plan uses, and the model that the program names for each."""
        return {role.name: role.default for role in self.plan.program.models}


def compile_file(
    file: str | Path,
    program: str | None = None,
    level: Level = 2,
    disabled: tuple[str, ...] = (),
    enabled: tuple[str, ...] = (),
    *,
    task: str | Path | None = None,
) -> Compiled:
    """Compile one program of a file or of `std:name`, with a `task` (as `ttsc.library.read_task` takes it) in place of
    `std.task`. Raises as `compile_source`, and `UsageError` (E0509) without a file.
    """
    source, library = open_source(file, task)
    return compile_source(source, program, level, disabled, enabled, library=library)


def compile_source(
    source: Source,
    program: str | None = None,
    level: Level = 2,
    disabled: tuple[str, ...] = (),
    enabled: tuple[str, ...] = (),
    *,
    library: Library | None = None,
    after: AfterPass | None = None,
) -> Compiled:
    """Compile one program of a text; `program` may be left out where there is no doubt which one is meant.

    `level` 0 runs the program as written; 2 runs every pass but the `disabled` ones and those that run only where they
    are `enabled`. Raises `CompileError` with every diagnostic of the first stage that failed, `UsageError` (E0508,
    E0510) for a program or pass that doesn't exist.
    """
    from ttsc.compiler.bounds.check import check_bounds
    from ttsc.compiler.ir.verify import verify

    _known_passes((*disabled, *enabled))
    library = library or FileLibrary()
    checked = check(source, library)
    name = choose(checked, program)
    built = next(each for each in check_bounds(checked) if each.name == name)
    sound: Sound = {}
    verify(built, "the builder", sound)
    plan = _plan(built, {}, level, disabled, enabled, after, sound)
    return Compiled(source, checked, name, built, plan, library, disabled, enabled)


def specialize(compiled: Compiled, values: Mapping[str, ir.Constant], after: AfterPass | None = None) -> Compiled:
    """The program for these values of its parameters, which become part of it (partial evaluation). They must fit the
    parameters; what was compiled in before stays.
    """
    parameters = tuple(
        replace(each, default=values[each.name], required=False, known=True) if each.name in values else each
        for each in compiled.built.parameters
    )
    built = replace(compiled.built, parameters=parameters)
    known = {each.name: each.default for each in parameters if each.known}
    plan = _plan(built, known, compiled.plan.level, compiled.disabled, compiled.enabled, after, {})
    return replace(compiled, built=built, plan=plan)


def without_pass(compiled: Compiled, name: str) -> Compiled:
    """The same program, planned with this pass left out, too."""
    disabled = (*compiled.disabled, name)
    known = {each.name: each.default for each in compiled.built.parameters if each.known}
    plan = _plan(compiled.built, known, compiled.plan.level, disabled, compiled.enabled, None, {})
    return replace(compiled, plan=plan, disabled=disabled)


def _plan(
    built: ir.Program,
    known: Mapping[str, ir.Constant],
    level: Level,
    disabled: tuple[str, ...],
    enabled: tuple[str, ...],
    after: AfterPass | None,
    sound: Sound,
) -> Plan:
    from ttsc.compiler.passes.pass_ import Context
    from ttsc.compiler.passes.runner import run_passes
    from ttsc.compiler.plan.lower import lower

    ran = run_passes(built, level, disabled, after, Context(known), sound, enabled)
    return lower(ran.program, level, ran.names)


def choose(checked: Checked, program: str | None) -> str:
    """The program that is meant: the one named, the only one, or the one called like its file. Raises `UsageError`
    (E0508).
    """
    names = [info.name for info in checked.programs]
    where = checked.source.path
    if program is not None:
        if program in names:
            return program
        hint = did_you_mean(program, names, f"it has: {', '.join(names)}" if names else "")
        raise UsageError(Problem("E0508", f"'{where}' has no program '{program}'", hint))
    if not names:
        hint = "add `program name(…) -> str { … }`, or name another file"
        raise UsageError(Problem("E0508", f"'{where}' declares no program", hint))
    stem = Path(where.rpartition(":")[2]).stem
    if len(names) == 1 or stem in names:
        return names[0] if len(names) == 1 else stem
    raise UsageError(
        Problem("E0508", f"'{where}' has {len(names)} programs: {', '.join(names)}", "choose one with `-p NAME`")
    )


def pass_names() -> tuple[str, ...]:
    """Names of the passes, in the order they run."""
    from ttsc.compiler.passes.pipeline import PIPELINE

    return tuple(item.name for item in PIPELINE)


def _known_passes(names: tuple[str, ...]) -> None:
    known = pass_names() if names else ()
    problems = [
        Problem("E0510", f"there is no pass '{name}'", did_you_mean(name, known, f"the passes: {', '.join(known)}"))
        for name in names
        if name not in known
    ]
    if problems:
        raise UsageError(*problems)
