"""The stack of the LALR parser: states, and for each the value, its extent in the text and its depth as a tree."""

from __future__ import annotations

from typing import Any

from ttsc.grammar.tables import Tables


class Stack:
    """`_entries[i]` (a value, where it starts and ends, its depth) was pushed together with `states[i + 1]`;
    `states[0]` is the start."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.states = [tables.start]
        self._entries: list[tuple[Any, int, int, int]] = []

    @property
    def values(self) -> list[Any]:
        return [entry[0] for entry in self._entries]

    def push(self, state: int, value: object, start: int, end: int, depth: int) -> None:
        self.states.append(state)
        self._entries.append((value, start, end, depth))

    def pop(self, length: int) -> tuple[list[Any], int, int, int]:
        """The last values, where they start and end (empty ones do not count at either end), and the largest depth."""
        if length == 1:
            self.states.pop()
            value, start, end, depth = self._entries.pop()
            return [value], start, end, depth
        entries = self._entries[-length:]
        del self.states[-length:], self._entries[-length:]
        _, start, end, _ = entries[0]
        depth = 0
        for _, first, last, height in entries:
            if height > depth:
                depth = height
            if first < last:
                if start == end:
                    start = first
                end = last
        return [entry[0] for entry in entries], start, end, depth

    def cut(self, height: int) -> int:
        """Keeps `height` states; returns where the dropped values began."""
        count = len(self.states) - height
        if not count:
            return self._entries[-1][2] if self._entries else 0
        return self.pop(count)[1]

    def target(self, kind: str, height: int | None = None) -> int | None:
        """The state that a token of this kind would lead to, after the reductions that are due before it, with only
        `height` states on the stack. None if it does not fit. The stack stays as it is."""
        tables, states = self.tables, self.states
        below = len(states) if height is None else height
        above: list[int] = []  # states that reductions would have put on top of those below
        state = states[below - 1]
        while True:
            action = tables.actions[state].get(kind)
            if action is None or action >= 0:
                return action
            rule = tables.rules[~action]
            taken = min(rule.length, len(above))
            if taken:
                del above[-taken:]
            below -= rule.length - taken
            base = above[-1] if above else states[below - 1]
            state = tables.gotos[base][rule.origin]
            if kind == "$END" and state == tables.end:
                return state
            state = tables.passed(base, state, kind)
            above.append(state)

    def accepts(self, kind: str) -> bool:
        return self.target(kind) is not None

    def acceptable(self) -> list[str]:
        """The kinds that could come next, stand-ins left out."""
        row = self.tables.actions[self.states[-1]]
        return [kind for kind in row if not kind.startswith("BAD_") and self.accepts(kind)]

    def due(self) -> int | None:
        """The rule that is reduced here whatever comes next, if there is one."""
        actions = set(self.tables.actions[self.states[-1]].values())
        action = actions.pop()
        return ~action if action < 0 and not actions else None

    def begins(self, height: int) -> int | None:
        """Where the text begins that is dropped when `height` states are kept."""
        return self._entries[height - 1][1] if height - 1 < len(self._entries) else None
