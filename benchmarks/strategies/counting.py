"""What each run of a batch asked for, by role, and whether it stayed within the program's static bounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ttsc
from ttsc.compiler.bounds import ConcreteBounds, worst_case


@dataclass(slots=True)
class Asked:
    """One run. Keys are a quantity and a role; `live`: most generations at one time. `held`: by depth of the tree of
    generations, those that generations of this depth continue.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    running: set[str] = field(default_factory=set)
    live: int = 0
    held: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def nodes(self) -> int:
        """Nodes that the KV cache has to hold, summed over the levels of a search."""
        return sum(map(len, self.held.values()))


class Counting:
    """Give it to `on_event` of a batch."""

    def __init__(self) -> None:
        self.runs: dict[int, Asked] = defaultdict(Asked)
        self._roles: dict[str, tuple[str, str]] = {}
        self._took: dict[str, Counter[tuple[str, str]]] = {}
        self._above: dict[str, tuple[str, ...]] = {}
        """Of each generation those that it continues, from the first on."""

    def __call__(self, event: ttsc.Event) -> None:
        match event:
            case ttsc.RequestStarted():
                run = self.runs[event.input]
                self._roles[event.request_id] = event.role, event.kind
                run.counts[_REQUESTS[event.kind], event.role] += 1
                if event.kind == "generate":
                    run.running.add(event.request_id)
                    run.live = max(run.live, len(run.running))
                    above = () if event.parent is None else (*self._above.get(event.parent, ()), event.parent)
                    self._above[event.request_id] = above
                    run.held[len(above)].update(above)
            case ttsc.RequestEnded():
                run = self.runs[event.input]
                run.running.discard(event.request_id)
                role, kind = self._roles.get(event.request_id, ("", event.kind))
                took = Counter({("prefill" if kind == "generate" else "scored", role): event.prompt_tokens})
                took["decode", role] = event.completion_tokens
                self._took[event.request_id] = took
                run.counts.update(took)
            case ttsc.RequestRetried():
                role, kind = self._roles[event.request_id]  # what is sent again counts once, as in the bounds
                self.runs[event.input].counts.subtract(self._took.pop(event.request_id, {}))
                self.runs[event.input].counts[_REQUESTS[kind], role] -= 1
            case ttsc.ExternCalled():
                self.runs[event.input].counts["externs", event.name] += 1
            case _:
                pass


_REQUESTS = {"generate": "generations", "score": "scores", "reward": "rewards", "embed": "embeddings"}


class StaticBounds:
    """Of one program: what no run of it may exceed. Computed once for each size of the arguments."""

    def __init__(self, program: ttsc.CompiledProgram) -> None:
        self._program = program
        self._bounds = worst_case(program.ir)
        self._known: dict[tuple[tuple[str, object], ...], ConcreteBounds] = {}

    def exceeded(self, given: Mapping[str, Any], run: Asked) -> str:
        """What `run` has more of than its bound, or "". Texts of one length have one bound (docs/bounds.md)."""
        sizes = tuple((name, len(v.encode()) if isinstance(v, str) else repr(v)) for name, v in given.items())
        if sizes not in self._known:
            self._known[sizes] = self._bounds.at(self._program.check_input(dict(given)))
        most = self._known[sizes]
        over = [
            f"{quantity} {role}: {count} > {getattr(most, quantity).get(role, 0)}"
            for (quantity, role), count in sorted(run.counts.items())
            if count > getattr(most, quantity).get(role, 0)
        ]
        if run.live > most.live:
            over.append(f"in flight: {run.live} > {most.live}")
        return "; ".join(over)
