"""The outline of a file: its declarations, and in each its parameters, fields and variables."""

from __future__ import annotations

from lsprotocol import types

from ttsc.grammar import ast
from ttsc.lsp import signatures
from ttsc.lsp.analysis import Analysis
from ttsc.lsp.names import Definition, DefinitionKind
from ttsc.lsp.positions import Lines

_KINDS: dict[DefinitionKind, types.SymbolKind] = {
    "program": types.SymbolKind.Function,
    "prompt": types.SymbolKind.String,
    "extern": types.SymbolKind.Interface,
    "function": types.SymbolKind.Method,
    "record": types.SymbolKind.Struct,
    "model": types.SymbolKind.Object,
    "store": types.SymbolKind.Array,
    "field": types.SymbolKind.Field,
    "parameter": types.SymbolKind.TypeParameter,
    "let": types.SymbolKind.Constant,
    "var": types.SymbolKind.Variable,
    "element": types.SymbolKind.Variable,
}


def symbols(analysis: Analysis, lines: Lines) -> list[types.DocumentSymbol]:
    """Declarations in the order of the text, nested."""
    result: list[types.DocumentSymbol] = []
    around: dict[int, types.DocumentSymbol] = {}
    for d in analysis.tree.declarations if analysis.tree else ():
        if isinstance(d, ast.Test):
            place = lines.of(d.span)
            around[id(d)] = types.DocumentSymbol(d.title or "test", types.SymbolKind.Event, place, place, children=[])
            result.append(around[id(d)])
    for definition in analysis.names.definitions:
        symbol = _symbol(definition, analysis, lines)
        owner = around.get(id(definition.owner))
        if definition.owner is None:
            around[id(definition.node)] = symbol
            result.append(symbol)
        elif owner is not None and owner.children is not None and definition.kind != "element":
            assert isinstance(owner.children, list)
            owner.children.append(symbol)
    return sorted(result, key=lambda s: (s.range.start.line, s.range.start.character))


def _symbol(d: Definition, analysis: Analysis, lines: Lines) -> types.DocumentSymbol:
    known = analysis.index.symbol(d.span) if d.local else None
    detail = str(known.type) if known else signatures.declaration(d.node) if d.owner is None else ""
    return types.DocumentSymbol(
        name=d.name,
        kind=_KINDS[d.kind],
        range=lines.of(d.node.span),
        selection_range=lines.of(d.span),
        detail=detail,
        children=[],
    )
