"""The one way a program is written.

    format_source(text) -> str          or CompileError if it has syntax errors

Four columns to a level, lines of at most 100 characters where possible. What does not fit is broken at its outermost
brackets, an element on each line with a comma after the last, or before operators and the stages of a pipe. A pipe that
a statement ends with has a line for each stage from three on, and stays broken where it was. Declarations have an empty
line between them, unless both take one line and stand together; statements keep one where there are some. Tokens,
comments and their order stay: numbers and strings are as they were written, and the text means what it meant.
"""

from __future__ import annotations

from ttsc.grammar.diagnostics import InternalError
from ttsc.grammar.format_declarations import declaration, is_standing
from ttsc.grammar.format_layout import Concat, Doc, Text, render
from ttsc.grammar.format_tree import Leaf, Node, Part, concrete, first_leaf
from ttsc.grammar.parser import parse
from ttsc.grammar.source import Source

WIDTH = 100


def format_source(text: str, path: str = "<string>") -> str:
    """The text in the one style, ending in one newline. Raises CompileError for a text that is no program."""
    source = Source(path, text)
    module = parse(source)
    formatted = _format(source)
    if parse(Source(path, formatted)) != module:
        raise InternalError("formatting changed the meaning of the text")
    return formatted


def _format(source: Source) -> str:
    tree, end = concrete(source)
    doc, declarations = tree.parts if tree.action == "module_with_doc" else (None, tree.parts[0])
    assert isinstance(declarations, Node)
    pieces: list[tuple[str, bool, bool]] = []  # the text, an empty line before it, may it stand close to others
    if doc is not None:
        pieces.append((_render(_leaf(doc)), False, False))
    for part in _declarations(declarations):
        begin = first_leaf(part)
        assert begin is not None
        blank = begin.lead[0].blank if begin.lead else begin.blank
        shown = _render(declaration(part))
        pieces.append((shown, blank, is_standing(part) and "\n" not in shown))
    if end.lead:
        blank = end.lead[0].blank
        shown = "\n".join(("\n" if i and remark.blank else "") + remark.text for i, remark in enumerate(end.lead))
        pieces.append((shown, blank, True))
    out: list[str] = []
    for i, (shown, blank, close) in enumerate(pieces):
        if i:
            comments = i == len(pieces) - 1 and bool(end.lead)
            together = (close and pieces[i - 1][2]) or comments
            out.append("\n" if together and not blank else "\n\n")
        out.append(shown)
    return "".join(out) + "\n" if out else ""


def _declarations(declarations: Node) -> list[Part]:
    """The declarations of a file; `model` and its roles are two parts of the list, joined here."""
    parts: list[Part] = []
    model: Leaf | None = None
    for part in declarations.parts:
        if isinstance(part, Leaf):
            model = part
        elif model is not None:
            parts.append(Node("declaration", "models", [model, part]))
            model = None
        else:
            parts.append(part)
    return parts


def _leaf(part: Part) -> Doc:
    assert isinstance(part, Leaf)
    return Text(part.token.text.replace("\r\n", "\n"), tuple(part.lead), part.blank, part.trail)


def _render(doc: Doc) -> str:
    return render(doc if isinstance(doc, Concat) else Concat((doc,), False, False, False), WIDTH)
