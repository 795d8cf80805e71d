"""Documents of declarations and statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttsc.grammar.format_expressions import (
    bracketed,
    closing,
    commas,
    elements,
    expression,
    leaf,
    name_parts,
    spaced,
    type_doc,
    value_doc,
)
from ttsc.grammar.format_layout import (
    BLANK,
    HARD,
    LINE,
    NOTHING,
    SPACE,
    Broken,
    Concat,
    Doc,
    Indent,
    concat,
    group,
)
from ttsc.grammar.format_tree import Leaf, Node, Part, first_leaf, in_one_line


def is_standing(part: Part) -> bool:
    """May it stand without an empty line beside another of one line? Not if it has a docstring."""
    return isinstance(part, Node) and not _has_doc(part)


def _has_doc(part: Node) -> bool:
    first = part.parts[0]
    return isinstance(first, Node) and first.origin == "doc" and bool(first.parts)


def declaration(part: Part) -> Doc:
    assert isinstance(part, Node)
    if _has_doc(part):
        doc = part.parts[0]
        assert isinstance(doc, Node)
        return concat([leaf(doc.parts[0]), HARD, _declaration(part)])
    return _declaration(part)


def _declaration(part: Node) -> Doc:
    p = part.parts
    match part.action:
        case "use" | "use_for":
            what = [leaf(p[0]), SPACE, _path(p[1]), SPACE, bracketed(p[2], name_parts(p[3]), p[4], leaf)]
            return concat([*what, SPACE, leaf(p[5]), SPACE, _path(p[6])] if part.action == "use_for" else what)
        case "models":
            return concat([leaf(p[0]), SPACE, commas(_parts(p[1], "roles"), _role)])
        case "prompt":
            head = concat([leaf(p[1]), SPACE, leaf(p[2]), _parameters(p[3])])
            turns = _parts(p[5], "turns")
            return concat([head, SPACE, _entries(p[4], turns, p[6], _turn, single=len(turns) == 1)])
        case "record":
            head = concat([leaf(p[1]), SPACE, leaf(p[2]), SPACE])
            return concat([head, _entries(p[3], _parts(p[4], "fields"), p[5], _field, single=True)])
        case "extern":
            modifier = p[1].parts[0] if isinstance(p[1], Node) and p[1].parts else p[1]
            word = concat([leaf(modifier), SPACE]) if isinstance(modifier, Leaf) else NOTHING
            return concat(
                [word, leaf(p[2]), SPACE, leaf(p[3]), _parameters(p[4]), SPACE, leaf(p[5]), SPACE, type_doc(p[6])]
            )
        case "function":
            head = concat([leaf(p[1]), SPACE, leaf(p[2]), _parameters(p[3]), SPACE, leaf(p[4]), SPACE, type_doc(p[5])])
            if isinstance(p[7], Node) and p[7].action == "pipe":
                return concat([head, SPACE, leaf(p[6]), SPACE, value_doc(p[7])])
            return concat([head, SPACE, leaf(p[6]), group(Indent(concat([LINE, expression(p[7])])))])
        case "program":
            head = concat([leaf(p[1]), SPACE, leaf(p[2]), _parameters(p[3]), SPACE, leaf(p[4]), SPACE, type_doc(p[5])])
            return concat([head, _budget(p[6]), SPACE, _block(p[7])])
        case "store":
            return concat([leaf(p[1]), SPACE, leaf(p[2]), leaf(p[3]), SPACE, type_doc(p[4])])
        case "test":
            head = concat([leaf(p[1]), SPACE, leaf(p[2]), SPACE])
            return concat([head, _braces(p[3], _parts(p[4], "test_items"), p[5])])
        case _:
            raise AssertionError(f"no layout for {part.action}")


def _parts(part: Part, origin: str) -> list[Part]:
    """The elements and commas of a list; one that is passed on alone is a list of itself."""
    return part.parts if isinstance(part, Node) and part.origin == origin else [part]


def _path(part: Part) -> Doc:
    return concat([leaf(name) for name in _parts(part, "path")])


def _role(part: Part) -> Doc:
    if isinstance(part, Node):
        return spaced(*(leaf(token) for token in part.parts))
    return leaf(part)


def _turn(part: Part) -> Doc:
    assert isinstance(part, Node)
    return spaced(*(leaf(token) for token in part.parts))


def _field(part: Part) -> Doc:
    assert isinstance(part, Node)
    name, colon, type_, allowed = part.parts
    return concat([leaf(name), leaf(colon), SPACE, type_doc(type_), _tunable(allowed)])


def _parameters(part: Part) -> Doc:
    assert isinstance(part, Node)
    opener, *inside, closer = part.parts
    listed = [item for entry in inside for item in _parts(entry, "parameter_list")]
    return bracketed(opener, listed, closer, _parameter)


def _parameter(part: Part) -> Doc:
    assert isinstance(part, Node)
    *oracle, name, colon, type_, default, tunable = part.parts
    word = concat([leaf(oracle[0]), SPACE]) if oracle else NOTHING
    given: Doc = NOTHING
    if isinstance(default, Node) and default.parts:
        given = concat([SPACE, leaf(default.parts[0]), SPACE, expression(default.parts[1])])
    return concat([word, leaf(name), leaf(colon), SPACE, type_doc(type_), given, _tunable(tunable)])


def _tunable(part: Part) -> Doc:
    assert isinstance(part, Node)
    p = part.parts
    if not p:
        return NOTHING
    if part.action == "range":
        return concat([SPACE, leaf(p[0]), SPACE, _number(p[1]), leaf(p[2]), _number(p[3])])
    word, opener, choices, *comma, closer = p
    return concat([SPACE, leaf(word), SPACE, bracketed(opener, [*_parts(choices, "choices"), *comma], closer, _number)])


def _number(part: Part) -> Doc:
    """A literal, perhaps with its sign."""
    if isinstance(part, Node):
        return concat([leaf(token) for token in part.parts])
    return leaf(part)


def _budget(part: Part) -> Doc:
    assert isinstance(part, Node)
    if not part.parts:
        return NOTHING
    word, limits = part.parts
    return group(Indent(concat([LINE, leaf(word), SPACE, commas(_parts(limits, "limits"), _limit)])))


def _limit(part: Part) -> Doc:
    assert isinstance(part, Node)
    return spaced(leaf(part.parts[0]), leaf(part.parts[1]), _number(part.parts[2]))


def _entries(opener: Part, parts: Sequence[Part], closer: Part, show: Callable[[Part], Doc], single: bool) -> Doc:
    """Fields or turns in braces: in one line if they were written so (`single` allows it), else one to a line."""
    assert isinstance(closer, Leaf)
    written = in_one_line([*parts, closer])
    kept = elements(parts, closer)
    comments = closing(closer)
    if not kept:
        return _empty(opener, comments, closer)
    listed: list[Doc] = []
    for i, part in enumerate(kept):
        if i:
            listed += [Broken("", ","), BLANK if _blank(part) else LINE]
        listed.append(show(part))
    inside = concat([LINE, *listed, comments])
    return group(concat([leaf(opener), Indent(inside), LINE, leaf(closer)]), broken=not (written and single))


def _empty(opener: Part, comments: Concat, closer: Part) -> Doc:
    """Braces with nothing in them but perhaps comments."""
    assert isinstance(opener, Leaf)
    end = HARD if comments.parts or opener.trail else NOTHING
    return concat([leaf(opener), Indent(comments), end, leaf(closer)])


def _blank(part: Part) -> bool:
    """Is there an empty line before it, or before the comments in front of it?"""
    begin = first_leaf(part)
    if begin is None:
        return False
    return begin.lead[0].blank if begin.lead else begin.blank


# --- statements


def _block(part: Part) -> Doc:
    assert isinstance(part, Node)
    opener, statements, closer = part.parts
    return _braces(opener, _parts(statements, "statements"), closer)


def _braces(opener: Part, statements: Sequence[Part], closer: Part) -> Doc:
    """Statements in braces, each on lines of its own; a single one may stay in the line it was written in."""
    assert isinstance(closer, Leaf)
    short = len(statements) == 1 and _is_simple(statements[0]) and in_one_line([*statements, closer])
    blank = bool(closer.lead) and closer.lead[0].blank
    comments = closing(closer)
    if not statements:
        return _empty(opener, comments, closer)
    lines: list[Doc] = [LINE]
    for i, part in enumerate(statements):
        lines += [BLANK if _blank(part) else HARD] if i else []
        lines.append(_statement(part))
    if blank:
        comments = concat([BLANK, *comments.parts[1:]])
    inside = Indent(concat([*lines, comments]))
    return group(concat([leaf(opener), inside, LINE, leaf(closer)]), broken=not short)


def _is_simple(part: Part) -> bool:
    return isinstance(part, Node) and part.action in {"let", "var", "unset", "assign", "add", "return_", "expect"}


def _statement(part: Part) -> Doc:
    assert isinstance(part, Node)
    p = part.parts
    match part.action:
        case "let" | "var":
            return concat(
                [spaced(leaf(p[0]), leaf(p[1])), _annotation(p[2]), SPACE, leaf(p[3]), SPACE, value_doc(p[4])]
            )
        case "offline":
            head = concat([spaced(leaf(p[0]), leaf(p[1]), leaf(p[2])), _annotation(p[3])])
            return concat([head, SPACE, leaf(p[4]), SPACE, value_doc(p[5])])
        case "unset":
            return concat([spaced(leaf(p[0]), leaf(p[1])), leaf(p[2]), SPACE, type_doc(p[3])])
        case "assign" | "add":
            return spaced(leaf(p[0]), leaf(p[1]), value_doc(p[2]))
        case "return_":
            return spaced(leaf(p[0]), value_doc(p[1]))
        case "expect":
            return spaced(leaf(p[0]), expression(p[1]))
        case "if_" | "if_else" | "if_else_if":
            return _if(p)
        case "repeat" | "repeat_until":
            return concat([spaced(leaf(p[0]), expression(p[1]), _block(p[2])), _until(p[3:])])
        case "for_" | "for_until":
            assert isinstance(p[2], Leaf)
            names = commas(name_parts(p[1]), leaf, p[2])
            return concat([spaced(leaf(p[0]), names, leaf(p[2]), expression(p[3]), _block(p[4])), _until(p[5:])])
        case "scripted" | "scripted_pattern":
            return spaced(*(leaf(token) for token in p[:-1]), value_doc(p[-1]))
        case "stub":
            name = concat([leaf(p[1]), leaf(p[2]), leaf(p[3])])
            return spaced(leaf(p[0]), name, leaf(p[4]), value_doc(p[5]))
        case "stub_with_parameters":
            name = concat([leaf(p[1]), bracketed(p[2], name_parts(p[3]), p[4], leaf)])
            return spaced(leaf(p[0]), name, leaf(p[5]), value_doc(p[6]))
        case "stub_store":
            return spaced(leaf(p[0]), leaf(p[1]), leaf(p[2]), value_doc(p[3]))
        case _:
            raise AssertionError(f"no layout for {part.action}")


def _annotation(part: Part) -> Doc:
    assert isinstance(part, Node)
    return concat([leaf(part.parts[0]), SPACE, type_doc(part.parts[1])]) if part.parts else NOTHING


def _if(p: list[Part]) -> Doc:
    docs = [spaced(leaf(p[0]), expression(p[1]), _block(p[2]))]
    if len(p) > 3:
        docs += [_before(p[3]), leaf(p[3]), SPACE]
        chained = isinstance(p[4], Node) and p[4].action in {"if_", "if_else", "if_else_if"}
        docs.append(_statement(p[4]) if chained else _block(p[4]))
    return concat(docs)


def _until(p: list[Part]) -> Doc:
    return concat([_before(p[0]), leaf(p[0]), SPACE, expression(p[1])]) if p else NOTHING


def _before(part: Part) -> Doc:
    """A space, or the end of the line where a comment is in front."""
    return HARD if isinstance(part, Leaf) and part.lead else SPACE
