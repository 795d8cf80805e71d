"""The LALR(1) tables of `tts.lark`: made by Lark, kept in `_tables.py`, loaded without Lark.

Importing Lark and building the tables takes three quarters of a second, which every cold start of the compiler would
pay; reading them takes a few milliseconds. They are committed as text in a Python module, because a cache that the
user's account writes and the compiler unpickles would be a door, and data in the package needs no writable folder.

`_tables.py` records the hash of the grammar it was made from. With any other grammar the tables are built in memory, so
that an edited grammar takes effect at once; `python -m ttsc.grammar.tables` then writes the file anew, and a test fails
while it is out of date.
"""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
GRAMMAR_FILE = _FOLDER / "tts.lark"
TABLES_FILE = _FOLDER / "_tables.py"
_CLASSES = re.compile(r"%declare (.*)")


@dataclass(frozen=True, slots=True)
class Rule:
    """`action` names a method of `build.Builder`; a rule without one has one part and passes its value on."""

    origin: str
    length: int
    action: str


@dataclass(frozen=True, slots=True)
class Tables:
    """`actions[state][kind]` is the next state to shift to, or `~r` to reduce by `rules[r]`."""

    start: int
    end: int
    rules: tuple[Rule, ...]
    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    _passed: dict[tuple[int, int, str], int] = field(default_factory=dict, compare=False, repr=False)

    def passed(self, base: int, state: int, kind: str) -> int:
        """The state that stands on `base` instead of `state`, where `kind` comes next, after the reductions that only
        pass a value on: a name alone goes through ten of them before it is an expression. Each chain is followed once;
        the grammar has some 20,000.
        """
        key = (base, state, kind)
        found = self._passed.get(key)
        if found is None:
            found = state
            while (action := self.actions[found].get(kind, 0)) < 0 and not self.rules[~action].action:
                found = self.gotos[base][self.rules[~action].origin]
            self._passed[key] = found
        return found


_lock = threading.Lock()
_loaded: Tables | None = None


def load() -> Tables:
    """The tables, once per process."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _read()
    return _loaded


def _read() -> Tables:
    try:
        from ttsc.grammar import _tables
    except ImportError:
        return decode(compute())
    if _tables.GRAMMAR != fingerprint():
        return decode(compute())
    return decode(json.loads(_tables.DATA.replace("\n", "")))


def fingerprint() -> str:
    """The grammar's identity, whatever a checkout did to its line ends."""
    return hashlib.sha256(GRAMMAR_FILE.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def decode(data: dict[str, Any]) -> Tables:
    """Plain data, as `compute` makes it, to tables."""
    kinds: list[str] = data["kinds"]
    origins: list[str] = data["origins"]
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for shifts, reductions, goto in data["states"]:
        row = {kinds[kind]: state for kind, state in zip(shifts[::2], shifts[1::2], strict=True)}
        for rule, *lookaheads in reductions:
            row.update((kinds[kind], ~rule) for kind in lookaheads)
        actions.append(row)
        gotos.append({origins[origin]: state for origin, state in zip(goto[::2], goto[1::2], strict=True)})
    rules = tuple(Rule(origins[origin], length, action) for origin, length, action in data["rules"])
    return Tables(data["start"], data["end"], rules, tuple(actions), tuple(gotos))


def compute() -> dict[str, Any]:
    """Lark's tables as plain data, in an order that depends on the grammar alone."""
    from lark import Lark
    from lark.parsers.lalr_analysis import Shift

    lark = Lark(GRAMMAR_FILE.read_text(encoding="utf-8"), parser="lalr", lexer="contextual")
    table = lark.parse_interactive("").parser_state.parse_conf.parse_table
    spelling = {t.name: t.pattern.value for t in lark.terminals}  # a terminal of the grammar is called what it matches
    literal = {name: re.sub(r"\\(.)", r"\1", text) for name, text in spelling.items()}
    rules = sorted({rule for row in table.states.values() for act, rule in row.values() if act is not Shift}, key=str)

    # Lark numbers states by chance of hashing: number them by a walk from the start instead.
    order: list[int] = [table.start_states["start"]]
    for state in order:
        for _, (action, target) in sorted(table.states[state].items()):
            if action is Shift and target not in order:
                order.append(target)
    number = {state: i for i, state in enumerate(order)}
    end = table.end_states["start"]
    kinds = sorted({literal.get(name, name) for row in table.states.values() for name in row if not name.islower()})
    origins = sorted({str(rule.origin.name) for rule in rules})
    states = []
    for state in order:
        shifts: list[int] = []
        goto: list[int] = []
        reductions: dict[int, list[int]] = {}
        for name, (action, target) in sorted(table.states[state].items()):
            if action is not Shift:
                reductions.setdefault(rules.index(target), []).append(kinds.index(literal.get(name, name)))
            elif name in origins:
                goto += [origins.index(name), number[target]]
            else:
                shifts += [kinds.index(literal.get(name, name)), number[target]]
        states.append([shifts, [[rule, *lookaheads] for rule, lookaheads in sorted(reductions.items())], goto])
    return {
        "start": number[table.start_states["start"]],
        "end": number[end],
        "kinds": kinds,
        "origins": origins,
        "rules": [[origins.index(str(r.origin.name)), len(r.expansion), r.alias or ""] for r in rules],
        "states": states,
    }


def write() -> None:
    """Makes `_tables.py` anew."""
    text = json.dumps(compute(), separators=(",", ":"))
    lines = "\n".join(textwrap.wrap(text, 118, break_on_hyphens=False))
    TABLES_FILE.write_text(
        '"""LALR(1) tables, made from tts.lark by `python -m ttsc.grammar.tables`. Do not edit."""\n\n'
        f'GRAMMAR = "{fingerprint()}"\nDATA = r"""\n{lines}\n"""\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    write()
