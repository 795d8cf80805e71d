"""The arguments of the call around the cursor, and which one is being written."""

from __future__ import annotations

from typing import Any

from lsprotocol import types

from ttsc.compiler.semantics.functions import FUNCTIONS
from ttsc.compiler.semantics.operators import OPERATORS
from ttsc.grammar import ast
from ttsc.lsp import signatures
from ttsc.lsp.completion_place import Place, place_at
from ttsc.lsp.documents import Document


def signature_help(document: Document, offset: int) -> types.SignatureHelp | None:
    """What the innermost call around an offset takes, or None if there is none, or it takes nothing that is known."""
    place = place_at(document.source.text, offset)
    if not place.callee:
        return None
    module = document.analysis.index.module
    declared = module.scope[place.callee][0] if module is not None and place.callee in module.scope else None
    names, label, doc, parameters = _described(place.callee, declared)
    if not label:
        return None
    signature = types.SignatureInformation(label, _markdown(doc), parameters)
    return types.SignatureHelp([signature], active_signature=0, active_parameter=_active(place, names))


def _described(callee: str, declared: Any) -> tuple[list[str], str, str, list[types.ParameterInformation]]:
    """Names of the arguments, the line that shows them, what the call means, and each argument."""
    if callee in OPERATORS:
        spec = OPERATORS[callee]
        shown = [(p.name, signatures.argument(p), p.doc) for p in spec.parameters]
        label, doc = f"{callee}({', '.join(text for _, text, _ in shown)})", spec.doc
    elif callee in FUNCTIONS:
        return [], signatures.function(callee, FUNCTIONS[callee]), FUNCTIONS[callee].doc, []
    elif declared is not None and not isinstance(declared, ast.Model | ast.Store):
        parts = declared.fields if isinstance(declared, ast.Record) else declared.parameters
        shown = [(part.name.id, signatures.one_line(part.span), "") for part in parts]
        label, doc = f"{callee}({', '.join(text for _, text, _ in shown)})", signatures.doc(declared)
    else:
        return [], "", "", []
    parameters = [types.ParameterInformation(text, _markdown(about)) for _, text, about in shown]
    return [name for name, _, _ in shown], label, doc, parameters


def _active(place: Place, names: list[str]) -> int | None:
    """The named argument, or the place among those without names; what is piped in is the first of a declared one."""
    if place.name:
        return names.index(place.name) if place.name in names else None
    before = place.position
    if place.callee in OPERATORS:
        before -= 0 if place.piped else 1
    else:
        before += 1 if place.piped else 0
    return before if 0 <= before < len(names) else None


def _markdown(text: str) -> types.MarkupContent | None:
    return types.MarkupContent(types.MarkupKind.Markdown, text) if text else None
