"""The compiler's messages as an editor shows them.

A message about a file that is only used is shown at the `use` that brings it, with a link to its own place.
"""

from __future__ import annotations

from lsprotocol import types

from ttsc.grammar import ast
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.lsp.documents import Document, Documents
from ttsc.lsp.positions import Lines

_SEVERITY = {"error": types.DiagnosticSeverity.Error, "warning": types.DiagnosticSeverity.Warning}
_UNUSED = frozenset({"W0201"})
"""Shown faded: what could be removed."""


def diagnostics(document: Document, documents: Documents) -> list[types.Diagnostic]:
    """What is published for a document."""
    result: list[types.Diagnostic] = []
    elsewhere: dict[str, list[Diagnostic]] = {}
    for d in document.analysis.messages:
        if d.span.source.path == document.source.path:
            result.append(_shown(d, document))
        else:
            elsewhere.setdefault(d.span.source.path, []).append(d)
    for path, found in elsewhere.items():
        result.append(_at_use(path, found, document, documents))
    return result


def text_of(d: Diagnostic) -> str:
    """Message, label, notes and hint, as one text."""
    first = f"{d.message}: {d.label}" if d.label and d.label not in d.message else d.message
    return "\n".join([first, *d.notes, *([f"hint: {d.hint}"] if d.hint else [])])


def _shown(d: Diagnostic, document: Document) -> types.Diagnostic:
    return types.Diagnostic(
        range=document.lines.of(d.span),
        message=text_of(d),
        severity=_SEVERITY[d.severity],
        code=d.code,
        source="ttsc",
        tags=[types.DiagnosticTag.Unnecessary] if d.code in _UNUSED else None,
    )


def _at_use(path: str, found: list[Diagnostic], document: Document, documents: Documents) -> types.Diagnostic:
    place = document.lines.range(0, 0)
    for use in document.analysis.tree.declarations if document.analysis.tree else ():
        if isinstance(use, ast.Use):
            source = document.library.find(use.path, document.source)
            if source is not None and source.path == path:
                place = document.lines.of(use.span)
    errors = [d for d in found if d.severity == "error"]
    word = "an error" if len(errors) == 1 else f"{len(errors)} errors" if errors else "warnings"
    return types.Diagnostic(
        range=place,
        message=f"{path} has {word}: {found[0].message}",
        severity=_SEVERITY["error" if errors else "warning"],
        code=found[0].code,
        source="ttsc",
        related_information=[
            types.DiagnosticRelatedInformation(
                location=types.Location(
                    documents.uri(d.span.source), Lines(d.span.source.text, documents.encoding).of(d.span)
                ),
                message=text_of(d),
            )
            for d in found
        ],
    )
