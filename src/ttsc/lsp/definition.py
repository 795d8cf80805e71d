"""Where a name is defined, and everywhere it is used in the file."""

from __future__ import annotations

from ttsc.grammar.source import Span
from ttsc.lsp.analysis import Analysis
from ttsc.lsp.names import Builtin, Definition, File


def definition(analysis: Analysis, offset: int) -> Span | None:
    """The place that defines the name at an offset; of a file, its beginning. None for the language's own names."""
    occurrence = analysis.names.at(offset)
    match occurrence.target if occurrence else None:
        case Definition() as found:
            return found.span
        case File(source):
            return Span(source, 0, 0)
    return None


def references(analysis: Analysis, offset: int, declaration: bool = True) -> list[Span]:
    """Every place in this file that means what the name at an offset means; with `declaration`, its definition too."""
    occurrence = analysis.names.at(offset)
    if occurrence is None:
        return []
    target = occurrence.target
    if isinstance(target, Builtin):
        same = [o for o in analysis.names.occurrences if isinstance(o.target, Builtin) and o.target == target]
    else:
        same = analysis.names.of(target)
    found = [o.span for o in same if declaration or not o.defines]
    if declaration and isinstance(target, Definition) and target.span.source is not analysis.source:
        found.append(target.span)
    return found
