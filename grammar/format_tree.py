"""The tree of a correct text with every token and comment in it, which is what the formatter works on.

The syntax tree has lost what a formatter must keep: comments, parentheses, how numbers and strings are written. So the
tables are run once more, and each production keeps its parts. Lists are flat, commas in them included; parentheses
around parentheses are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from ttsc.grammar.format_layout import Remark
from ttsc.grammar.lexer import Lexer
from ttsc.grammar.source import Source
from ttsc.grammar.tables import load
from ttsc.grammar.tokens import Token

_PLAIN = frozenset({"literal", "name", "true", "false", "none", "abstain", "named_type"})
"""Productions of one token, which stands for them."""
_GROWING = frozenset({"append", "append_third", "append_name", "extend_models", "path_append"})


@dataclass(slots=True)
class Leaf:
    """A token and the comments at it: `lead` on lines before it, `trail` behind it on its line."""

    token: Token
    lead: list[Remark] = field(default_factory=list)
    blank: bool = False
    """Is there an empty line right before it?"""
    trail: str = ""

    @property
    def kind(self) -> str:
        return self.token.kind


@dataclass(slots=True)
class Node:
    """A production: the nonterminal it makes, its name in `tts.lark`, its parts."""

    origin: str
    action: str
    parts: list[Part]


Part = Leaf | Node


def concrete(source: Source) -> tuple[Node, Leaf]:
    """The tree of a text that has no errors, and the end of the file with the comments before it."""
    tokens = Lexer(source).tokens
    leaves = _with_comments(source.text, tokens)
    tables = load()
    states = [tables.start]
    values: list[Part] = []
    for leaf in leaves:
        kind = leaf.kind
        while True:
            action = tables.actions[states[-1]][kind]
            if action >= 0:
                states.append(action)
                values.append(leaf)
                break
            rule = tables.rules[~action]
            if rule.action:
                parts = values[len(values) - rule.length :]
                del values[len(values) - rule.length :], states[len(states) - rule.length :]
                values.append(_node(rule.origin, rule.action, parts))
            else:
                states.pop()
            states.append(tables.gotos[states[-1]][rule.origin])
            if kind == "$END" and states[-1] == tables.end:
                module = values[-1]
                assert isinstance(module, Node)
                return module, leaves[-1]
    raise AssertionError("the end of the file is a token")


def _node(origin: str, action: str, parts: list[Part]) -> Part:
    if action in _PLAIN:
        return parts[0]
    if action in _GROWING and isinstance(parts[0], Node) and parts[0].origin == origin:
        parts[0].parts.extend(parts[1:])
        return parts[0]
    if origin == "atom" and action == "second" and is_group(parts[1]):
        _unwrap(parts)
    return Node(origin, action, parts)


def is_group(part: Part) -> TypeGuard[Node]:
    """Is it something in parentheses?"""
    return isinstance(part, Node) and part.origin == "atom" and part.action == "second"


def _unwrap(parts: list[Part]) -> None:
    """`((a))` to `(a)`; the comments at the inner parentheses stay."""
    inner = parts[1]
    assert isinstance(inner, Node)
    opener, value, closer = inner.parts
    outer = parts[2]
    assert isinstance(opener, Leaf) and isinstance(closer, Leaf) and isinstance(outer, Leaf)
    begin = first_leaf(value)
    assert begin is not None
    begin.lead[:0] = [*opener.lead, *([Remark(opener.trail)] if opener.trail else [])]
    outer.lead[:0] = [*closer.lead, *([Remark(closer.trail)] if closer.trail else [])]
    parts[1] = value


def first_leaf(part: Part) -> Leaf | None:
    """The first token of a part; None of one without tokens."""
    while isinstance(part, Node):
        for child in part.parts:
            if isinstance(child, Leaf) or first_leaf(child) is not None:
                part = child
                break
        else:
            return None
    return part


def last_leaf(part: Part) -> Leaf | None:
    """The last token of a part; None of one without tokens."""
    while isinstance(part, Node):
        for child in reversed(part.parts):
            if isinstance(child, Leaf) or last_leaf(child) is not None:
                part = child
                break
        else:
            return None
    return part


def in_one_line(parts: Sequence[Part]) -> bool:
    """Were these written in the line of what is before them?"""
    pending: list[Part] = list(parts)
    while pending:
        part = pending.pop()
        if isinstance(part, Node):
            pending.extend(part.parts)
        elif part.token.first or "\n" in part.token.text:
            return False
    return True


def _with_comments(text: str, tokens: list[Token]) -> list[Leaf]:
    """The tokens with what stands between them; a comment behind a token belongs to it, others to the next one."""
    leaves: list[Leaf] = []
    end = 1 if text.startswith("\ufeff") else 0
    for token in tokens:
        leaf = Leaf(token)
        if token.start > end:
            _read_gap(text[end : token.start], leaves[-1] if leaves else None, leaf)
        leaves.append(leaf)
        end = token.end
    return leaves


def _read_gap(gap: str, before: Leaf | None, after: Leaf) -> None:
    lines = gap.split("\n")
    blank = False
    for i, line in enumerate(lines):
        content = line.strip(" \t\r\f\v")
        if content.startswith("#"):
            if i == 0 and before is not None:
                before.trail = content
            else:
                after.lead.append(Remark(content, blank))
            blank = False
        elif not content and 0 < i < len(lines) - 1:
            blank = True
    after.blank = blank
