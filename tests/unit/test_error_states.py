"""Every state in which the parser can find an error has something of its own to say.

For each state of the LALR tables a short text is made that leads there, by the grammar itself; each kind of token that
does not fit is put after it. The generic message ("expected X, found Y" with E0120) must answer none of them, and a
message shows no name of a terminal.
"""

from __future__ import annotations

import heapq
import random
import re
from functools import cache

import pytest

from ttsc.grammar import tables
from ttsc.grammar.diagnostics import Diagnostic
from ttsc.grammar.parser import parse_with_errors
from ttsc.grammar.render import render_all
from ttsc.grammar.source import Source

SPELLINGS = {
    "NAME": "alpha",
    "INT": "3",
    "FLOAT": "0.5",
    "QUANTITY": "30s",
    "STRING": '"text"',
    "MODULE_DOC": '"text"',
    "COND_IF": "if",
    "LAMBDA": "(",
    "$END": "",
}
GENERIC = re.compile(r"expected .*, found ")
TERMINALS = re.compile(r"\b(NAME|INT|FLOAT|QUANTITY|STRING|MODULE_DOC|COND_IF|LAMBDA|BAD_\w+)\b")


def productions() -> list[tuple[str, list[str]]]:
    """The grammar's rules without those for stand-ins. Terminals are called as in the tables, nonterminals in `<>`."""
    from lark import Lark

    lark = Lark(tables.GRAMMAR_FILE.read_text(encoding="utf-8"), parser="lalr", lexer="contextual")
    literal = {t.name: re.sub(r"\\(.)", r"\1", t.pattern.value) for t in lark.terminals if t.pattern}
    found: list[tuple[str, list[str]]] = []
    for rule in lark.rules:
        parts = [literal.get(part.name, part.name) if part.is_term else f"<{part.name}>" for part in rule.expansion]
        if not any(part.startswith("BAD_") for part in parts):
            found.append((f"<{rule.origin.name}>", parts))
    return found


def shortest() -> dict[str, tuple[str, ...]]:
    """The fewest tokens that each nonterminal may consist of."""
    rules = productions()
    origins = {origin for origin, _ in rules}
    found: dict[str, tuple[str, ...]] = {}
    changed = True
    while changed:
        changed = False
        for origin, parts in rules:
            if any(part in origins and part not in found for part in parts):
                continue
            tokens = tuple(token for part in parts for token in (found[part] if part in origins else (part,)))
            if origin not in found or len(tokens) < len(found[origin]):
                found[origin] = tokens
                changed = True
    return found


@cache
def prefixes() -> tuple[tuple[str, ...], ...]:
    """For each state a text that leads to it, as kinds of tokens; the same text once."""
    data = tables.load()
    parts = shortest()
    reached: dict[int, tuple[str, ...]] = {}
    heap: list[tuple[int, int, int, tuple[str, ...]]] = [(0, 0, data.start, ())]
    count = 0
    while heap:
        length, _, state, tokens = heapq.heappop(heap)
        if state in reached:
            continue
        reached[state] = tokens
        steps = [((kind,), to) for kind, to in data.actions[state].items() if to >= 0 and not kind.startswith("BAD_")]
        steps += [(parts[f"<{origin}>"], to) for origin, to in data.gotos[state].items() if f"<{origin}>" in parts]
        for more, to in steps:
            count += 1
            heapq.heappush(heap, (length + len(more) + 1, count, to, tokens + more))
    stand_ins = {to for row in data.actions for kind, to in row.items() if kind.startswith("BAD_") and to >= 0}
    assert len(reached) > len(data.actions) / 2 and len(stand_ins) > 10
    return tuple(sorted(set(reached.values()), key=lambda tokens: (len(tokens), tokens)))


def first_error(kinds: tuple[str, ...]) -> Diagnostic | None:
    text = " ".join(SPELLINGS.get(kind, kind) for kind in kinds) + " "
    diagnostics = parse_with_errors(Source("state.tts", text)).diagnostics
    for diagnostic in diagnostics:
        assert not TERMINALS.search(diagnostic.message + diagnostic.label + diagnostic.hint), (text, diagnostic)
    return min(diagnostics, key=lambda d: d.span.start, default=None)


@pytest.mark.parametrize("part", range(8))
def test_every_state_speaks_for_itself(part: int) -> None:
    kinds = sorted({kind for row in tables.load().actions for kind in row if not kind.startswith("BAD_")})
    generic: list[str] = []
    errors = 0
    for prefix in prefixes()[part::8]:
        for kind in kinds:
            diagnostic = first_error((*prefix, kind))
            if diagnostic is None:
                continue
            errors += 1
            if diagnostic.code == "E0120" and GENERIC.match(diagnostic.message):
                generic.append(" ".join((*prefix, kind)) + ": " + diagnostic.message)
    assert errors > 500
    assert not generic


def test_no_generic_message_by_fuzzing() -> None:
    """Token soup in programs with all constructs: whatever the combination, no message is the generic one."""
    kinds = sorted({kind for row in tables.load().actions for kind in row if not kind.startswith("BAD_")})
    chance = random.Random(147)
    known = [prefix for prefix in prefixes() if prefix]
    for _ in range(1500):
        tokens = list(chance.choice(known))
        for _ in range(chance.randrange(1, 12)):
            tokens.append(chance.choice(kinds))
        for _ in range(chance.randrange(3)):
            del tokens[chance.randrange(len(tokens))]
        text = " ".join(SPELLINGS.get(kind, kind) for kind in tokens).replace("{ ", "{\n").replace(" }", "\n}")
        diagnostics = parse_with_errors(Source("soup.tts", text)).diagnostics
        for diagnostic in diagnostics:
            assert not (diagnostic.code == "E0120" and GENERIC.match(diagnostic.message)), (text, diagnostic.message)
        assert not TERMINALS.search(render_all(diagnostics)), text
