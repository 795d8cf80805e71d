"""Messages about programs. A diagnostic holds data; only `render` formats it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttsc.grammar.source import Span

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message. `code` is stage-numbered: E01xx syntax, E02xx names, E03xx types, E04xx bounds and use of values.

    `message`: what is wrong, lower case, no full stop. `label`: what the underline says. `hint`: what to do.
    """

    code: str
    message: str
    span: Span
    label: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()
    severity: Severity = "error"


class CompileError(Exception):
    """The user's fault: every diagnostic of the stage that found them, never empty."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        assert diagnostics, "a CompileError without a diagnostic explains nothing"
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics


class InternalError(Exception):
    """Our fault. Names the stage or pass that broke an invariant."""
