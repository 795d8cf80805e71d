"""What the compiler knows of a program before it runs: its effects, and the bounds of what it may cost."""

from __future__ import annotations

import logging

from ttsc.compiler.bounds import worst_case
from ttsc.compiler.ir.build import build
from ttsc.compiler.semantics.check import Checked
from ttsc.compiler.semantics.typed import Effect
from ttsc.grammar import ast
from ttsc.grammar.diagnostics import CompileError
from ttsc.lsp.analysis import Analysis

log = logging.getLogger(__name__)

_EFFECTS: dict[Effect, str] = {
    "environment": "changes its environment",
    "extern": "calls externs",
    "model": "calls models",
    "oracle": "knows the answer: for evaluation only",
    "random": "draws random numbers, seeded",
    "store": "reads or extends a store",
}


def program_facts(analysis: Analysis, program: ast.Program) -> str:
    """Markdown, or "" while the file has errors or for a program of another file."""
    if analysis.checked is None or program.span.source is not analysis.source:
        return ""
    typed = next((p for p in analysis.checked.programs if p.name == program.name.id), None)
    if typed is None:
        return ""
    models = ", ".join(f"`{model.name}`" for model in typed.models)
    effects = [_EFFECTS[effect] for effect in sorted(typed.effects - {"model"})]
    lines = [f"Models: {models}." if models else "Calls no model."]
    if effects:
        lines.append(f"It {', '.join(effects)}.")
    bounds = _bounds(analysis.checked, typed.name)
    if bounds:
        lines.append(f"At most:\n```text\n{bounds}\n```")
    return "\n\n".join(lines)


def _bounds(checked: Checked, name: str) -> str:
    """The worst case of a program in its parameters; "" if it has none, which is an error of its own."""
    try:
        return worst_case(build(checked, name)).text()
    except CompileError as error:
        return error.diagnostics[0].message
    except Exception:
        log.exception("bounds of %s", name)
        return ""
