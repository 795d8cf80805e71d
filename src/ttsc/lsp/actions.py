"""Quick fixes: what a message's hint says to do, done."""

from __future__ import annotations

import re

from lsprotocol import types

from ttsc.grammar import ast
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.lsp.diagnostics import text_of
from ttsc.lsp.documents import Document

_REPLACEMENT = re.compile(r"did you mean '([^']+)'\?|write '([^']+)'")
_WRITTEN = re.compile(r"'[^']+' is written '([^']+)'")
_USE = re.compile(r"use \w+(?:\.\w+)* \(\w+\)")
_NAME = re.compile(r"[\w.]+|\W{1,3}")


def actions(document: Document, start: int, end: int) -> list[types.CodeAction]:
    """The fixes for messages between two offsets."""
    result: list[types.CodeAction] = []
    for d in document.analysis.messages:
        here = d.span.source.path == document.source.path and d.span.start <= end and d.span.end >= start
        edit = _edit(d, document) if here else None
        if edit is not None:
            result.append(_action(*edit, d, document))
    return result


def _edit(d: Diagnostic, document: Document) -> tuple[str, types.TextEdit] | None:
    """What the fix is called, and what it does."""
    found = _REPLACEMENT.fullmatch(d.hint) or _WRITTEN.fullmatch(d.message)
    if found is not None and _NAME.fullmatch(d.span.text):
        new = next(group for group in found.groups() if group)
        return f"Change to '{new}'", types.TextEdit(document.lines.of(d.span), new)
    if _USE.fullmatch(d.hint):
        tree = document.analysis.tree
        uses = [use.span.end for use in tree.declarations if isinstance(use, ast.Use)] if tree else []
        first = next((token for token in document.analysis.tokens if token.kind != "MODULE_DOC"), None)
        if uses:
            place, text = max(uses), f"\n{d.hint}"
        else:
            place, text = (first.start if first else 0), f"{d.hint}\n\n"
        return f"Add '{d.hint}'", types.TextEdit(document.lines.range(place, place), text)
    return None


def _action(title: str, edit: types.TextEdit, d: Diagnostic, document: Document) -> types.CodeAction:
    shown = types.Diagnostic(range=document.lines.of(d.span), message=text_of(d), code=d.code, source="ttsc")
    return types.CodeAction(
        title=title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[shown],
        is_preferred=True,
        edit=types.WorkspaceEdit(changes={document.uri: [edit]}),
    )
