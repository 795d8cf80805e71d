"""The program part of a standalone file: the graph as asynchronous Python, node by node.

A value is there (an expression), or a list whose elements are coming, or a task's. Whatever waits is waited for where
that holds up nothing else (`analysis.py`); elsewhere it becomes a task of its own, and what reads it waits for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import assert_never

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Cut,
    Dag,
    Draw,
    Extern,
    Force,
    Generate,
    If,
    Map,
    Node,
    Offline,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import free_values, operands, results, walk
from ttsc.compiler.plan.nodes import Plan, Request
from ttsc.compiler.values.types import ListOf
from ttsc.standalone import calls
from ttsc.standalone.analysis import (
    Waiting,
    consumers,
    is_waiting,
    needs_place,
    positive_numbers,
    read_once,
    starts_work,
    strictly_needed,
)
from ttsc.standalone.known import Known, State, cannot_fail
from ttsc.standalone.layout import Names, call, literal, wrapped
from ttsc.standalone.needed import Needed
from ttsc.standalone.regions import write_if, write_repeat

_INLINE = 72


class Writer:
    """Writes one program. `lines` is its body; `needed` collects what it refers to."""

    def __init__(self, plan: Plan, needed: Needed, taken: Iterable[str] = ()) -> None:
        self.plan = plan
        self.needed = needed
        self.lines: list[str] = []
        self.at = ""
        """The variable with the place, where seeds depend on it."""
        self.known: dict[str, Known] = {}
        self._names = Names(taken)
        self.named: dict[str, str] = {}
        self.indent = 4
        self.frame = 1
        self._frames = 1
        self.positive = positive_numbers(plan.program)
        self._waiting = Waiting(plan.program.body, self.positive)
        self._requests = {request.node: request for request in plan.requests}
        self.strict: frozenset[str] = frozenset()
        self._uses: dict[str, int] = {}
        self._once: frozenset[str] = frozenset()

    # --- names and lines ---

    def name(self, value_id: str) -> str:
        """A value's variable."""
        if value_id not in self.named:
            self.named[value_id] = self._names.fresh(value_id.rpartition(".")[2])
        return self.named[value_id]

    def define(self, value: Value, name: str) -> None:
        """A parameter: it is there."""
        self.named[value.id] = name
        self.known[value.id] = Known(name, State.THERE, self.frame)

    def fresh(self, wanted: str) -> str:
        return self._names.fresh(wanted)

    def line(self, text: str) -> None:
        self.lines.append(" " * self.indent + wrapped(text, self.indent) if text else "")

    @contextmanager
    def function(self, head: str) -> Iterator[None]:
        """What is written inside is the body of a function of its own."""
        frame, at = self.frame, self.at
        self._frames += 1
        self.frame = self._frames
        if self.lines and self.lines[-1].strip() and not self.lines[-1].rstrip().endswith(":"):
            self.line("")
        self.line(f"{head}:")
        self.indent += 4
        yield
        self.indent -= 4
        self.line("")
        self.frame, self.at = frame, at

    @contextmanager
    def suite(self, head: str) -> Iterator[None]:
        self.line(head)
        self.indent += 4
        length = len(self.lines)
        yield
        if len(self.lines) == length:
            self.line("pass")
        self.indent -= 4

    # --- values ---

    def whole(self, value: Value) -> str:
        """An expression for a value with nothing outstanding; it waits if need be."""
        known = self.known[value.id]
        if known.state is State.THERE:
            return known.text
        self.needed.support("coming", "whole")
        return f"await whole({known.text})"

    def listed(self, value: Value) -> str:
        """An expression for a list that may be coming; it waits where not even the list is there."""
        known = self.known[value.id]
        if known.state is not State.LATER:
            return known.text
        self.needed.support("coming", "arrived")
        return f"await arrived({known.text})"

    def anyhow(self, value: Value) -> str:
        """An expression for a value, however far it is."""
        return self.known[value.id].text

    def state(self, value: Value) -> State:
        return self.known[value.id].state

    def request_of(self, node: Generate) -> Request | None:
        """What the plan says of a generation."""
        return self._requests.get(node.result.id)

    def releases(self, result: Value) -> int:
        """How many consumers release the elements of a list; 0 if somebody holds all of them."""
        return self._uses.get(result.id, 0) if self.plan.level > 0 else 0

    # --- blocks ---

    def block(self, block: Block, wanted: Iterable[str]) -> None:
        """The nodes of a block. `wanted`: those of its yields without which what it is part of fails."""
        strict, uses, once = self.strict, self._uses, self._once
        self.strict = strict | strictly_needed(block, wanted, self.positive)
        self._uses = consumers(block)
        self._once = read_once(block)
        waiting = list(block.nodes)
        while waiting:
            node = self._next(waiting)
            waiting.remove(node)
            self._node(node, waiting)
        self.strict, self._uses, self._once = strict, uses, once

    def _next(self, nodes: Sequence[Node]) -> Node:
        """The node to write next: what waits for nothing, then what starts work, then what may be waited for here."""
        if len(nodes) == 1:
            return nodes[0]
        known = [node for node in nodes if all(name in self.known for name in free_values(node))]
        free = [node for node in known if not self._waits_for(node)]
        for node in free:
            if isinstance(node, Const | Pure | Draw | Turn | Generate | Force | Cut | Map):
                return node
        for node in known:
            others = [each for each in nodes if each is not node]
            if node in free or self.may_wait_for(self._waits_for(node), others):
                return node
        return known[0]

    def _waits_for(self, node: Node) -> list[Value]:
        """What is waited for before a node begins."""
        match node:
            case Pure() | Draw() | Turn():
                return self.unready(operands(node))
            case Generate() | Force() | Cut():
                others = [value for value in operands(node) if value is not node.source]
                if isinstance(node.source.type, ListOf):
                    return self.unready(others, [node.source])
                return self.unready([*others, node.source])
            case Map(over=over):
                return self.unready((), [over])
            case Dag(over=over, needs=needs):
                return self.unready((), [over, needs])
            case Select() | Score() | Extern() | Offline():
                return self.unready(calls.whole_operands(node))
            case If(condition=condition):
                return self.unready([condition])
            case Repeat(limit=limit):
                return self.unready([limit])
        return []

    def _node(self, node: Node, remaining: Sequence[Node]) -> None:
        match node:
            case Const(result=result, value=value):
                if "Abstain" in type(value).__name__ or (isinstance(value, tuple) and "ABSTAINED" in literal(value)):
                    self.needed.own("ttsc.compiler.values.abstain", "ABSTAINED")
                self.known[result.id] = Known(literal(value), State.THERE)
            case Pure() | Draw() | Turn():
                self._computed(node, remaining)
            case Generate() | Force() | Cut():
                self._started(node, remaining)
            case Map():
                self._map(node, remaining)
            case Select() | Score() | Extern() | Offline() | Dag():
                self._asked(node, remaining)
            case If():
                write_if(self, node, remaining)
            case Repeat():
                write_repeat(self, node, remaining)
            case _:
                assert_never(node)

    def may_wait(self, ids: Iterable[str], remaining: Sequence[Node]) -> bool:
        """Whether to wait here for these values holds up nothing, and fails nothing that would not fail."""
        waited = frozenset(ids)
        if not waited & self.strict:
            return False
        return all(not starts_work(node) or self._waiting.waits_for(node, waited) for node in remaining)

    def unready(self, whole: Iterable[Value], listed: Iterable[Value] = ()) -> list[Value]:
        waiting = [value for value in whole if self.state(value) is not State.THERE]
        waiting += [value for value in listed if self.state(value) is State.LATER]
        return list({value.id: value for value in waiting}.values())

    def may_wait_for(self, values: Sequence[Value], remaining: Sequence[Node]) -> bool:
        return all(self.may_wait((value.id,), remaining) for value in values)

    def settle(self, values: Sequence[Value]) -> None:
        """Wait now for values that are read again later."""
        for value in values:
            known = self.known[value.id]
            if known.frame == self.frame and value.id not in self._once:
                self.line(f"{known.text} = {self.whole(value)}")
                self.known[value.id] = Known(known.text, State.THERE, known.frame)

    def _bind(self, result: Value, text: str, state: State = State.THERE) -> None:
        name = self.name(result.id)
        self.line(f"{name} = {text}")
        self.known[result.id] = Known(name, state, self.frame)

    def _later(self, result: Value, text: str) -> None:
        """A task of its own for an expression that waits, or that may fail though nobody may need it."""
        name = self.name(result.id)
        with self.function(f"async def {name}_later() -> Any"):
            self.line(f"return {text}")
        self.needed.external("typing", "Any")
        self.needed.word("later")
        self._bind(result, f"job.later({name}_later())", State.LATER)

    # --- nodes ---

    def _computed(self, node: Pure | Draw | Turn, remaining: Sequence[Node]) -> None:
        waited = self.unready(operands(node))
        strict = node.result.id in self.strict
        here = self.may_wait_for(waited, remaining)
        if waited and here:
            self.settle(waited)
        text = calls.computed(self, node)
        if (strict or cannot_fail(node)) and here:
            inline = node.result.id in self._once and len(text) <= _INLINE
            if inline and not isinstance(node, Turn):
                self.known[node.result.id] = Known(text, State.THERE)
            else:
                self._bind(node.result, text)
        else:
            self._later(node.result, text)

    def _started(self, node: Generate | Force | Cut, remaining: Sequence[Node]) -> None:
        """What gives a list of candidates one by one."""
        whole = [value for value in operands(node) if value is not node.source]
        is_list = isinstance(node.source.type, ListOf)
        listed = [node.source] if is_list else []
        waited = self.unready(whole if is_list else [*whole, node.source], listed)
        coming = State.COMING if isinstance(node.result.type, ListOf) else State.THERE
        strict = node.result.id in self.strict
        if waited and self.may_wait_for(waited, remaining):
            self.settle([value for value in waited if value not in listed])
            waited = []
        text = calls.started(self, node)
        fails = not (isinstance(node, Generate) and node.count.id in self.positive)
        if waited or (fails and not strict):
            self._later(node.result, text)
        else:
            self._bind(node.result, text, coming)

    def _asked(self, node: Select | Score | Extern | Offline | Dag, remaining: Sequence[Node]) -> None:
        """What gives a value after a while."""
        whole = calls.whole_operands(node)
        waited = self.unready(whole, [node.over, node.needs] if isinstance(node, Dag) else [])
        if waited and self.may_wait_for(waited, remaining):
            self.settle(whole)
            waited = []
        text = calls.asked(self, node)
        found = results(node)
        state = State.COMING if isinstance(node, Dag) else State.THERE
        here = not waited and self.may_wait([value.id for value in found], remaining)
        if len(found) > 1 or isinstance(node, Offline):
            names = [self.name(value.id) for value in found]
            self.needed.word("parts")
            self.line(
                f"[{', '.join(names)}] = await {text}"
                if here
                else f"[{', '.join(names)}] = job.parts({text}, {len(names)})"
            )
            for value, name in zip(found, names, strict=True):
                self.known[value.id] = Known(name, state if here else State.LATER, self.frame)
        elif here:
            self._bind(found[0], f"await {text}", state)
        elif waited:
            self._later(found[0], f"await {text}")
        else:
            self.needed.word("later")
            self._bind(found[0], f"job.later({text})", State.LATER)

    def _map(self, node: Map, remaining: Sequence[Node]) -> None:
        waited = self.unready((), [node.over])
        here = self.may_wait_for(waited, remaining)
        placed = needs_place(node.body)
        param = node.body.params[0]
        body = self._lambda(node.body) or self.body_function(node.result, node.body, [param], placed)
        captured = {name for inner in walk(node.body) for name in free_values(inner)}
        captured |= {value.id for value in node.body.yields}
        keeps = node.over.id in captured
        arguments = [self.listed(node.over), body]
        arguments += [f"at={self.at or '()'}"] if placed else []
        uses = self.releases(node.result)
        arguments += [f"uses={uses}"] if uses else []
        arguments += ["keeps=True"] if keeps else []
        self.needed.word(node.mode)
        text = call(f"job.{node.mode}", arguments)
        if here and (not waited or node.result.id in self.strict):
            self._bind(node.result, text, State.COMING)
        else:
            self._later(node.result, text)

    def _lambda(self, body: Block) -> str | None:
        """A body without waiting whose result is one expression."""
        if any(is_waiting(node) or isinstance(node, Turn | If | Repeat) for node in body.nodes):
            return None
        saved, lines, known = self.indent, self.lines, dict(self.known)
        self.lines = []
        for param in body.params:
            self.define(param, self.name(param.id))
        self.block(body, [value.id for value in body.yields])
        written, self.lines = self.lines, lines
        result = self.known[body.yields[0].id]
        self.indent = saved
        names = ", ".join(self.name(param.id) for param in body.params)
        if written or result.state is not State.THERE or "await" in result.text or len(result.text) > _INLINE:
            self.known = known
            return None
        return f"lambda {names}: {result.text}"

    def body_function(self, result: Value, body: Block, params: Sequence[Value], placed: bool) -> str:
        """A function of its own for a body that is run for each element; its name."""
        name = self.fresh(f"each_{self.name(result.id)}")
        waits = any(is_waiting(node) for node in body.nodes) or self.reads_unready(body)
        parameters = [f"{self.name(param.id)}: Any" for param in params] + (["at: Place"] if placed else [])
        self.needed.external("typing", "Any")
        if placed:
            self.needed.support("job", "Place")
        with self.function(f"{'async ' if waits else ''}def {name}({', '.join(parameters)}) -> Any"):
            for param in params:
                self.define(param, self.name(param.id))
            self.at = "at" if placed else self.at
            self.block(body, [value.id for value in body.yields])
            self.line(f"return {self.anyhow(body.yields[0])}")
        return name

    def reads_unready(self, body: Block) -> bool:
        names = {name for inner in walk(body) for name in free_values(inner)}
        return any(name in self.known and self.known[name].state is not State.THERE for name in names)
