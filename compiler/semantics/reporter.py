"""Where a stage collects its diagnostics, so that it can report all of them at once."""

from __future__ import annotations

from ttsc.compiler.semantics.index import Index
from ttsc.grammar.diagnostics import CompileError, Diagnostic, Severity
from ttsc.grammar.source import Span


class Reporter:
    """Collects diagnostics; the same message at the same place is kept once. `index`: told what else is found out."""

    def __init__(self, index: Index | None = None) -> None:
        self.index = index
        self._found: dict[tuple[str, str, int, int], Diagnostic] = {}

    def error(
        self, code: str, message: str, span: Span, label: str = "", hint: str = "", notes: tuple[str, ...] = ()
    ) -> None:
        self._add(Diagnostic(code, message, span, label, hint, notes))

    def warning(self, code: str, message: str, span: Span, label: str = "", hint: str = "") -> None:
        self._add(Diagnostic(code, message, span, label, hint, severity="warning"))

    def extend(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        for diagnostic in diagnostics:
            self._add(diagnostic)

    def _add(self, d: Diagnostic) -> None:
        self._found.setdefault((d.code, d.message, d.span.start, d.span.end), d)

    def of(self, severity: Severity) -> tuple[Diagnostic, ...]:
        """Diagnostics of a severity, in source order."""
        found = [d for d in self._found.values() if d.severity == severity]
        return tuple(sorted(found, key=lambda d: (d.span.source.path, d.span.start)))

    def raise_errors(self) -> None:
        """Raise CompileError if there are errors."""
        errors = self.of("error")
        if errors:
            raise CompileError(errors)
