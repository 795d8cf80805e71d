"""What the compiler knows of a program before it runs: its effects, and the bounds of what it may cost."""

from __future__ import annotations

import logging

from ttsc.compiler.semantics.typed import Effect
from ttsc.grammar import ast
from ttsc.lsp.analysis import Analysis

log = logging.getLogger(__name__)


def program_facts(analysis: Analysis, program: ast.Program) -> str:
    """Markdown, or "" while the file has errors or for a program of another file."""
    if analysis.checked is None or program.span.source is not analysis.source:
        return ""
    typed = next((p for p in analysis.checked.programs if p.name == program.name.id), None)
    if typed is None:
        return ""
    models = ", ".join(f"`{model.name}`" for model in typed.models)
    effects = [_EFFECTS[effect] for effect in sorted(typed.effects - {"model"})]
    first = f"Models: {models}." if models else "Calls no model."
    return first + (f" {'; '.join(effects)}." if effects else "")


_EFFECTS: dict[Effect, str] = {
    "extern": "calls externs",
    "environment": "changes its environment",
    "store": "reads or extends a store",
    "oracle": "knows the answer: for evaluation only",
    "random": "draws random numbers, seeded",
    "model": "calls models",
}
