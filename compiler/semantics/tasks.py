"""What a strategy's task is: the file that stands in for `std.task`, and whether its declarations fit.

A strategy of the library takes prompts and functions of its task by `use std.task (solve, answer)`. Another file may
stand in for it, for a whole program or for one `use … for lib.task`. What that file declares under a name of `std.task`
must be of the same kind, with the same parameters and types, as the strategies call it so; names that it leaves out are
the library's own.
"""

from __future__ import annotations

from ttsc.compiler.semantics.reporter import Reporter
from ttsc.grammar import ast
from ttsc.grammar.source import Source, Span

TASK = ("std", "task")
"""The path that a task stands in for."""

Declared = ast.Model | ast.Prompt | ast.Record | ast.Extern | ast.Function | ast.Program | ast.Store


def misfits(own: dict[str, Declared], default: dict[str, Declared], source: Source, reporter: Reporter) -> set[str]:
    """The names of `own`, which the file `source` declares, that do not fit what `default` has. Reports each (E0211),
    and a file that declares none of the names.
    """
    shared = [name for name in own if name in default]
    if not shared:
        message = f"the task '{source.path}' declares nothing of what strategies take from std.task"
        hint = f"declare what differs from it: {', '.join(sorted(default))}"
        reporter.error("E0211", message, Span(source, 0, 0), "no task", hint)
    found = {name for name in shared if not _fits(own[name], default[name])}
    for name in sorted(found):
        message = f"'{name}' of the task '{source.path}' is not what strategies take from std.task under this name"
        hint = "declare it so, or under another name: strategies then take std.task's own"
        reporter.error("E0211", message, own[name].name.span, f"expected {_head(default[name])}", hint)
    return found


def _fits(own: Declared, default: Declared) -> bool:
    """Whether every use of `default` is one of `own`, too: further parameters need defaults."""
    if type(own) is not type(default) or _result(own) != _result(default):
        return False
    if isinstance(own, ast.Extern) and isinstance(default, ast.Extern) and own.modifier != default.modifier:
        return False
    if isinstance(own, ast.Record) and isinstance(default, ast.Record):
        return [(f.name.id, f.type, f.allowed) for f in own.fields] == [
            (f.name.id, f.type, f.allowed) for f in default.fields
        ]
    taken, wanted = _parameters(own), _parameters(default)
    same = len(taken) >= len(wanted) and all(
        (a.name.id, a.type) == (b.name.id, b.type) and (b.default is None or a.default is not None)
        for a, b in zip(taken, wanted, strict=False)
    )
    return same and all(each.default is not None for each in taken[len(wanted) :])


def _parameters(d: Declared) -> tuple[ast.Parameter, ...]:
    return d.parameters if isinstance(d, ast.Prompt | ast.Extern | ast.Function | ast.Program) else ()


def _result(d: Declared) -> ast.TypeExpr | None:
    if isinstance(d, ast.Store):
        return d.item
    return d.returns if isinstance(d, ast.Extern | ast.Function | ast.Program) else None


def _head(d: Declared) -> str:
    """The declaration without its body, in one line."""
    kind = type(d).__name__.lower()
    if isinstance(d, ast.Extern) and d.modifier is not None:
        kind = f"{d.modifier} {kind}"
    if isinstance(d, ast.Record):
        return f"{kind} {d.name.id} {{ {', '.join(' '.join(f.span.text.split()) for f in d.fields)} }}"
    given = ""
    if isinstance(d, ast.Prompt | ast.Extern | ast.Function | ast.Program):
        given = f"({', '.join(' '.join(p.span.text.split()) for p in d.parameters)})"
    result = _result(d)
    arrow = "" if result is None else f"{':' if isinstance(d, ast.Store) else ' ->'} {result.span.text}"
    return f"{kind} {d.name.id}{given}{arrow}"
