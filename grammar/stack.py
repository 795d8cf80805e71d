"""The stack of the LALR parser: states, and for each the value, its extent in the text and its depth as a tree."""

from __future__ import annotations

from typing import Any

from ttsc.grammar.tables import Tables


class Stack:
    """`values[i]` was pushed together with `states[i + 1]`; `states[0]` is the start."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.states = [tables.start]
        self.values: list[Any] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._depths: list[int] = []

    def push(self, state: int, value: object, start: int, end: int, depth: int) -> None:
        self.states.append(state)
        self.values.append(value)
        self._starts.append(start)
        self._ends.append(end)
        self._depths.append(depth)

    def replace_state(self, state: int) -> None:
        """A reduction that passes its one value on."""
        self.states[-1] = state

    def pop(self, length: int) -> tuple[list[Any], int, int, int]:
        """The last values, where they start and end (empty ones do not count at either end), and the largest depth."""
        values = self.values[-length:]
        starts = self._starts[-length:]
        ends = self._ends[-length:]
        depth = max(self._depths[-length:])
        solid = [i for i in range(length) if starts[i] < ends[i]]
        start, end = (starts[solid[0]], ends[solid[-1]]) if solid else (starts[0], starts[0])
        del self.states[-length:], self.values[-length:]
        del self._starts[-length:], self._ends[-length:], self._depths[-length:]
        return values, start, end, depth

    def cut(self, height: int) -> int:
        """Keeps `height` states; returns where the dropped values began."""
        count = len(self.states) - height
        if not count:
            return self._ends[-1] if self._ends else 0
        return self.pop(count)[1]

    def target(self, kind: str, height: int | None = None) -> int | None:
        """The state that a token of this kind would lead to, after the reductions that are due before it, with only
        `height` states on the stack. None if it does not fit. The stack stays as it is."""
        actions, gotos, rules = self.tables.actions, self.tables.gotos, self.tables.rules
        below = len(self.states) if height is None else height
        above: list[int] = []  # states that reductions would have put on top of those below
        while True:
            state = above[-1] if above else self.states[below - 1]
            action = actions[state].get(kind)
            if action is None or action >= 0:
                return action
            rule = rules[~action]
            taken = min(rule.length, len(above))
            del above[len(above) - taken :]
            below -= rule.length - taken
            base = above[-1] if above else self.states[below - 1]
            state = gotos[base][rule.origin]
            if kind == "$END" and state == self.tables.end:
                return state
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
        return self._starts[height - 1] if height - 1 < len(self._starts) else None
