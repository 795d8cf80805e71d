"""Documents of expressions, types and lists in brackets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ttsc.grammar.format_layout import (
    BLANK,
    COMMA,
    HARD,
    LINE,
    NOTHING,
    SOFT,
    SPACE,
    Broken,
    Concat,
    Doc,
    Indent,
    Remark,
    Stage,
    Text,
    concat,
    group,
)
from ttsc.grammar.format_tree import Leaf, Node, Part, first_leaf, last_leaf


def leaf(part: Part) -> Doc:
    """A token as it is written, with its comments."""
    assert isinstance(part, Leaf)
    text = part.token.text.replace("\r\n", "\n")
    return Text(text, tuple(part.lead), part.blank, part.trail)


def spaced(*docs: Doc) -> Doc:
    """With a space between those that are not empty."""
    kept: list[Doc] = []
    for doc in docs:
        if doc is not NOTHING:
            kept += [SPACE, doc] if kept else [doc]
    return concat(kept)


def elements(parts: Sequence[Part], after: Leaf | None) -> list[Part]:
    """A list without its commas; the comments at these move to what is next to them. `after`: the token behind it."""
    kept: list[Part] = []
    moved: list[Remark] = []
    for part in parts:
        if isinstance(part, Leaf) and part.kind == ",":
            moved += part.lead
            before = last_leaf(kept[-1])
            assert before is not None
            if part.trail and not before.trail and not part.lead:
                before.trail = part.trail
            elif part.trail:
                moved.append(Remark(part.trail))
            continue
        if moved:
            _put_before(first_leaf(part), moved)
            moved = []
        kept.append(part)
    if moved:
        _put_before(after, moved)
    return kept


def _put_before(target: Leaf | None, remarks: list[Remark]) -> None:
    assert target is not None
    target.lead[:0] = remarks


def closing(closer: Leaf) -> Concat:
    """The comments before a closing bracket, to stand with what is in the brackets."""
    remarks, closer.lead = closer.lead, []
    docs: list[Doc] = []
    for i, remark in enumerate(remarks):
        docs += [BLANK if i and remark.blank else HARD, Text(remark.text)]
    closer.blank = False
    return concat(docs)


def bracketed(opener: Part, parts: Sequence[Part], closer: Part, show: Callable[[Part], Doc]) -> Doc:
    """`[a, b]`; broken, an element on each line and a comma after the last."""
    assert isinstance(closer, Leaf)
    kept = elements(parts, closer)
    comments = closing(closer)
    if not kept:
        return group(concat([leaf(opener), Indent(comments), SOFT, leaf(closer)]))
    listed: list[Doc] = []
    for i, part in enumerate(kept):
        listed += [COMMA, LINE, show(part)] if i else [show(part)]
    inside = concat([SOFT, *listed, Broken(","), comments])
    return group(concat([leaf(opener), Indent(inside), SOFT, leaf(closer)]))


def commas(parts: Sequence[Part], show: Callable[[Part], Doc], after: Leaf | None = None) -> Doc:
    """`a, b` without brackets; it goes on in the next line if it must."""
    listed: list[Doc] = []
    for i, part in enumerate(elements(parts, after)):
        listed += [COMMA, LINE, show(part)] if i else [show(part)]
    return group(Indent(concat(listed)))


# --- types


def type_doc(part: Part) -> Doc:
    if isinstance(part, Leaf):
        return leaf(part)
    if part.action == "optional_type":
        return concat([type_doc(part.parts[0]), leaf(part.parts[1])])
    name, opener, *inside, closer = part.parts
    return concat([leaf(name), bracketed_plain(opener, inside, closer, type_doc)])


def bracketed_plain(opener: Part, parts: Sequence[Part], closer: Part, show: Callable[[Part], Doc]) -> Doc:
    """As `bracketed`, where no comma may stand after the last element."""
    assert isinstance(closer, Leaf)
    kept = elements(parts, closer)
    comments = closing(closer)
    listed: list[Doc] = []
    for i, part in enumerate(kept):
        listed += [COMMA, LINE, show(part)] if i else [show(part)]
    return group(concat([leaf(opener), Indent(concat([SOFT, *listed, comments])), SOFT, leaf(closer)]))


# --- expressions


def value_doc(part: Part) -> Doc:
    """An expression that a statement ends with: a pipe with three calls or more has a line for each stage."""
    if isinstance(part, Node) and part.action == "pipe":
        return _pipe(part, ends_statement=True)
    return expression(part)


def expression(part: Part) -> Doc:
    if isinstance(part, Leaf):
        return leaf(part)
    p = part.parts
    match part.action:
        case "pipe":
            return _pipe(part, ends_statement=False)
        case "lambda_one":
            return spaced(leaf(p[0]), leaf(p[1]), expression(p[2]))
        case "lambda_many":
            return spaced(bracketed_plain(p[0], name_parts(p[1]), p[2], leaf), leaf(p[3]), expression(p[4]))
        case "conditional":
            then = concat([LINE, spaced(leaf(p[1]), expression(p[2])), LINE, spaced(leaf(p[3]), expression(p[4]))])
            return group(concat([expression(p[0]), Indent(then)]))
        case "binary":
            return _binary(part)
        case "unary":
            return concat([leaf(p[0]), SPACE if _kind(p[0]) == "not" else NOTHING, expression(p[1])])
        case "attribute":
            return concat([expression(p[0]), leaf(p[1]), leaf(p[2])])
        case "index":
            return concat([expression(p[0]), bracketed_plain(p[1], [p[2]], p[3], expression)])
        case "call_without_arguments":
            return concat([expression(p[0]), bracketed(p[1], [], p[2], expression)])
        case "call":
            arguments = p[2].parts if isinstance(p[2], Node) and p[2].origin == "arguments" else [p[2]]
            return concat([expression(p[0]), bracketed(p[1], [*arguments, *p[3:-1]], p[-1], expression)])
        case "keyword":
            return concat([leaf(p[0]), leaf(p[1]), expression(p[2])])
        case "second":
            return bracketed_plain(p[0], [p[1]], p[2], expression)
        case "empty_list":
            return bracketed(p[0], [], p[1], expression)
        case "list_expr":
            items = p[1].parts if isinstance(p[1], Node) and p[1].origin == "items" else [p[1]]
            return bracketed(p[0], [*items, *p[2:-1]], p[-1], expression)
        case _:
            raise AssertionError(f"no layout for {part.action}")


def name_parts(part: Part) -> list[Part]:
    """The names and commas of `names`."""
    if isinstance(part, Leaf):
        return [part]
    if part.action == "first":
        return [*name_parts(part.parts[0]), part.parts[1]]
    return part.parts


def _kind(part: Part) -> str:
    return part.kind if isinstance(part, Leaf) else ""


def _pipe(part: Node, ends_statement: bool) -> Doc:
    """The stages of a pipe, each on its line if not all fit in one. A pipe broken by hand stays broken."""
    stages: list[tuple[Leaf, Part]] = []
    head: Part = part
    while isinstance(head, Node) and head.action == "pipe":
        value, bar, stage = head.parts
        assert isinstance(bar, Leaf)
        stages.append((bar, stage))
        head = value
    stages.reverse()
    calls = sum(isinstance(stage, Node) for _, stage in stages)
    broken = any(bar.token.first for bar, _ in stages) or (ends_statement and calls >= 3)
    shown = [concat([expression(stage)]) for _, stage in stages]
    docs = [spaced(leaf(bar), stage) for (bar, _), stage in zip(stages, shown, strict=True)]
    if len(stages) == 1 and not broken and _breaks_within(head, stages[0][0], shown[0]):
        return concat([expression(head), SPACE, docs[0]])
    if len(stages) == 1 and not broken:
        begin, only = concat([expression(head)]), concat(docs)
        if not (begin.ends or begin.trails or only.ends or only.leads):
            return Stage(begin, only)
        return group(concat([begin, Indent(concat([LINE, only]))]))
    rest = concat([part for doc in docs for part in (LINE, doc)])
    return group(concat([expression(head), Indent(rest)]), broken=broken)


def _breaks_within(head: Part, bar: Leaf, stage: Concat) -> bool:
    """Is a line ended within the stage, and not by a comment beside the `|>`?"""
    before = last_leaf(head)
    assert before is not None
    return stage.ends and not (stage.leads or bar.lead or bar.trail or before.trail)


def _binary(part: Node) -> Doc:
    """Operators of one precedence side by side, broken before each."""
    pairs: list[tuple[Part, Part]] = []
    head: Part = part
    while isinstance(head, Node) and head.action == "binary" and head.origin == part.origin:
        left, operator, right = head.parts
        pairs.append((operator, right))
        head = left
    pairs.reverse()
    rest = concat([doc for operator, right in pairs for doc in (LINE, spaced(leaf(operator), expression(right)))])
    return group(concat([expression(head), Indent(rest)]))
