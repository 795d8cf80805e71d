"""The program part of a standalone file: the graph as asynchronous Python, node by node.

A value is there (an expression), or a list whose elements are coming, or a task's. Whatever waits is waited for where
that holds up nothing else (`analysis.py`); elsewhere it becomes a task of its own, and what reads it waits for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
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
from ttsc.compiler.plan.nodes import Plan
from ttsc.compiler.values import pure, templates
from ttsc.compiler.values.types import ListOf
from ttsc.standalone import calls
from ttsc.standalone.analysis import (
    Waiting,
    consumers,
    is_waiting,
    needs_place,
    positive_numbers,
    starts_work,
    strict_yields,
    strictly_needed,
)
from ttsc.standalone.layout import Names, call, literal, wrapped
from ttsc.standalone.needed import Needed

_INLINE = 72


class State(IntEnum):
    """How far a value is where it is read."""

    THERE = 0
    COMING = 1
    LATER = 2


@dataclass(frozen=True, slots=True)
class Known:
    """What a value is called, and how far it is. `frame`: the function whose variable it is; 0 for an expression."""

    text: str
    state: State
    frame: int = 0


class Writer:
    """Writes one program. `lines` is its body; `needed` collects what it refers to."""

    def __init__(self, plan: Plan, needed: Needed, taken: Iterable[str] = ()) -> None:
        self.plan = plan
        self.needed = needed
        self.lines: list[str] = []
        self.at = ""
        """The variable with the place, where seeds depend on it."""
        self._known: dict[str, Known] = {}
        self._names = Names(taken)
        self._named: dict[str, str] = {}
        self._indent = 4
        self._frame = 1
        self._frames = 1
        self._waiting = Waiting(plan.program.body)
        self._positive = positive_numbers(plan.program)
        self._requests = {request.node: request for request in plan.requests}
        self._strict: frozenset[str] = frozenset()
        self._uses: dict[str, int] = {}
        self._once: frozenset[str] = frozenset()

    # --- names and lines ---

    def name(self, value_id: str) -> str:
        """A value's variable."""
        if value_id not in self._named:
            self._named[value_id] = self._names.fresh(value_id.rpartition(".")[2])
        return self._named[value_id]

    def define(self, value: Value, name: str) -> None:
        """A parameter: it is there."""
        self._named[value.id] = name
        self._known[value.id] = Known(name, State.THERE, self._frame)

    def fresh(self, wanted: str) -> str:
        return self._names.fresh(wanted)

    def line(self, text: str) -> None:
        self.lines.append(" " * self._indent + wrapped(text, self._indent) if text else "")

    @contextmanager
    def function(self, head: str) -> Iterator[None]:
        """What is written inside is the body of a function of its own."""
        frame, at = self._frame, self.at
        self._frames += 1
        self._frame = self._frames
        if self.lines and self.lines[-1].strip() and not self.lines[-1].rstrip().endswith(":"):
            self.line("")
        self.line(f"{head}:")
        self._indent += 4
        yield
        self._indent -= 4
        self.line("")
        self._frame, self.at = frame, at

    @contextmanager
    def suite(self, head: str) -> Iterator[None]:
        self.line(head)
        self._indent += 4
        length = len(self.lines)
        yield
        if len(self.lines) == length:
            self.line("pass")
        self._indent -= 4

    # --- values ---

    def whole(self, value: Value) -> str:
        """An expression for a value with nothing outstanding; it waits if need be."""
        known = self._known[value.id]
        if known.state is State.THERE:
            return known.text
        self.needed.support("coming", "whole")
        return f"await whole({known.text})"

    def listed(self, value: Value) -> str:
        """An expression for a list that may be coming; it waits where not even the list is there."""
        known = self._known[value.id]
        if known.state is not State.LATER:
            return known.text
        self.needed.support("coming", "arrived")
        return f"await arrived({known.text})"

    def anyhow(self, value: Value) -> str:
        """An expression for a value, however far it is."""
        return self._known[value.id].text

    def state(self, value: Value) -> State:
        return self._known[value.id].state

    def request_of(self, node: Generate | Score):  # type: ignore[no-untyped-def]
        return self._requests.get(node.result.id)

    def releases(self, result: Value) -> int:
        """How many consumers release the elements of a list; 0 if somebody holds all of them."""
        return self._uses.get(result.id, 0) if self.plan.level > 0 else 0

    # --- blocks ---

    def block(self, block: Block, wanted: Iterable[str]) -> None:
        """The nodes of a block. `wanted`: those of its yields without which what it is part of fails."""
        strict, uses, once = self._strict, self._uses, self._once
        self._strict = strict | strictly_needed(block, wanted, self._positive)
        self._uses = consumers(block)
        self._once = _read_once(block)
        for place, node in enumerate(block.nodes):
            self._node(node, block.nodes[place + 1 :])
        self._strict, self._uses, self._once = strict, uses, once

    def _node(self, node: Node, remaining: Sequence[Node]) -> None:
        match node:
            case Const(result=result, value=value):
                if "Abstain" in type(value).__name__ or (isinstance(value, tuple) and "ABSTAINED" in literal(value)):
                    self.needed.own("ttsc.compiler.values.abstain", "ABSTAINED")
                self._known[result.id] = Known(literal(value), State.THERE)
            case Pure() | Draw() | Turn():
                self._computed(node, remaining)
            case Generate() | Force() | Cut():
                self._started(node, remaining)
            case Map():
                self._map(node, remaining)
            case Select() | Score() | Extern() | Offline() | Dag():
                self._asked(node, remaining)
            case If():
                self._if(node, remaining)
            case Repeat():
                self._repeat(node, remaining)
            case _:
                assert_never(node)

    def may_wait(self, ids: Iterable[str], remaining: Sequence[Node]) -> bool:
        """Whether to wait here for these values holds up nothing, and fails nothing that would not fail."""
        waited = frozenset(ids)
        if not waited & self._strict:
            return False
        return all(not starts_work(node) or self._waiting.waits_for(node, waited) for node in remaining)

    def _unready(self, whole: Iterable[Value], listed: Iterable[Value] = ()) -> list[Value]:
        waiting = [value for value in whole if self.state(value) is not State.THERE]
        waiting += [value for value in listed if self.state(value) is State.LATER]
        return list({value.id: value for value in waiting}.values())

    def _may_wait_for(self, values: Sequence[Value], remaining: Sequence[Node]) -> bool:
        return all(self.may_wait((value.id,), remaining) for value in values)

    def _settle(self, values: Sequence[Value]) -> None:
        """Wait now for values that are read again later."""
        for value in values:
            known = self._known[value.id]
            if known.frame == self._frame and value.id not in self._once:
                self.line(f"{known.text} = {self.whole(value)}")
                self._known[value.id] = Known(known.text, State.THERE, known.frame)

    def _bind(self, result: Value, text: str, state: State = State.THERE) -> None:
        name = self.name(result.id)
        self.line(f"{name} = {text}")
        self._known[result.id] = Known(name, state, self._frame)

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
        waited = self._unready(operands(node))
        strict = node.result.id in self._strict
        here = self._may_wait_for(waited, remaining)
        if waited and here:
            self._settle(waited)
        text = calls.computed(self, node)
        if (strict or _cannot_fail(node)) and here:
            inline = node.result.id in self._once and len(text) <= _INLINE
            if inline and not isinstance(node, Turn):
                self._known[node.result.id] = Known(text, State.THERE)
            else:
                self._bind(node.result, text)
        else:
            self._later(node.result, text)

    def _started(self, node: Generate | Force | Cut, remaining: Sequence[Node]) -> None:
        """What gives a list of candidates one by one."""
        whole = [value for value in operands(node) if value is not node.source]
        is_list = isinstance(node.source.type, ListOf)
        listed = [node.source] if is_list else []
        waited = self._unready(whole if is_list else [*whole, node.source], listed)
        coming = State.COMING if isinstance(node.result.type, ListOf) else State.THERE
        strict = node.result.id in self._strict
        if waited and self._may_wait_for(waited, remaining):
            self._settle([value for value in waited if value not in listed])
            waited = []
        text = calls.started(self, node)
        fails = not (isinstance(node, Generate) and node.count.id in self._positive)
        if waited or (fails and not strict):
            self._later(node.result, text)
        else:
            self._bind(node.result, text, coming)

    def _asked(self, node: Select | Score | Extern | Offline | Dag, remaining: Sequence[Node]) -> None:
        """What gives a value after a while."""
        whole = calls.whole_operands(node)
        waited = self._unready(whole, [node.over, node.needs] if isinstance(node, Dag) else [])
        if waited and self._may_wait_for(waited, remaining):
            self._settle(whole)
            waited = []
        text = calls.asked(self, node)
        found = results(node)
        state = State.COMING if isinstance(node, Dag) else State.THERE
        here = not waited and self.may_wait([value.id for value in found], remaining)
        if len(found) > 1 or isinstance(node, Offline):
            names = [self.name(value.id) for value in found]
            self.needed.word("parts")
            self.line(
                f"[{', '.join(names)}] = await {text}" if here else f"[{', '.join(names)}] = job.parts({text}, {len(names)})"
            )
            for value, name in zip(found, names, strict=True):
                self._known[value.id] = Known(name, state if here else State.LATER, self._frame)
        elif here:
            self._bind(found[0], f"await {text}", state)
        elif waited:
            self._later(found[0], f"await {text}")
        else:
            self.needed.word("later")
            self._bind(found[0], f"job.later({text})", State.LATER)

    def _map(self, node: Map, remaining: Sequence[Node]) -> None:
        waited = self._unready((), [node.over])
        here = self._may_wait_for(waited, remaining)
        placed = needs_place(node.body)
        param = node.body.params[0]
        body = self._lambda(node.body) or self._body_function(node.result, node.body, [param], placed)
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
        if here and (not waited or node.result.id in self._strict):
            self._bind(node.result, text, State.COMING)
        else:
            self._later(node.result, text)

    def _lambda(self, body: Block) -> str | None:
        """A body without waiting whose result is one expression."""
        if any(is_waiting(node) or isinstance(node, Turn | If | Repeat) for node in body.nodes):
            return None
        saved, lines, known = self._indent, self.lines, dict(self._known)
        self.lines = []
        for param in body.params:
            self.define(param, self.name(param.id))
        self.block(body, [value.id for value in body.yields])
        written, self.lines = self.lines, lines
        result = self._known[body.yields[0].id]
        self._indent = saved
        names = ", ".join(self.name(param.id) for param in body.params)
        if written or result.state is not State.THERE or "await" in result.text or len(result.text) > _INLINE:
            self._known = known
            return None
        return f"lambda {names}: {result.text}"

    def _body_function(self, result: Value, body: Block, params: Sequence[Value], placed: bool) -> str:
        """A function of its own for a body that is run for each element; its name."""
        name = self.fresh(f"each_{self.name(result.id)}")
        waits = any(is_waiting(node) for node in body.nodes) or self._reads_unready(body)
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

    def _reads_unready(self, body: Block) -> bool:
        names = {name for inner in walk(body) for name in free_values(inner)}
        return any(name in self._known and self._known[name].state is not State.THERE for name in names)

    # --- control ---

    def _if(self, node: If, remaining: Sequence[Node]) -> None:
        waited = self._unready([node.condition])
        names = [self.name(value.id) for value in node.results]
        wanted = [value.id for value in node.results]
        instant = not is_waiting(node) and not self._reads_unready(node.then) and not self._reads_unready(node.otherwise)
        strict = bool(set(wanted) & self._strict)
        here = self._may_wait_for(waited, remaining) and strict and (instant or self.may_wait(wanted, remaining))
        if not here and not (instant and not waited and all(map(_cannot_fail, _pures(node)))):
            head = f"{self.name(node.id)}_branch"
            with self.function(f"async def {head}() -> Any"):
                self._branches(node, self._may_wait_for(waited, remaining), returns=True)
            self.needed.external("typing", "Any")
            self._parts(node.results, f"{head}()")
            return
        self._settle(waited)
        states = self._branches(node, True, returns=False)
        for value, name, state in zip(node.results, names, states, strict=True):
            self._known[value.id] = Known(name, state, self._frame)

    def _branches(self, node: If, settled: bool, returns: bool) -> list[State]:
        states = [State.THERE for _ in node.results]
        known = dict(self._known)
        names = [self.name(value.id) for value in node.results]
        for head, branch in ((f"if {self.whole(node.condition)}:", node.then), ("else:", node.otherwise)):
            with self.suite(head):
                self._known = dict(known)
                places = [place for place, value in enumerate(node.results) if value.id in self._strict]
                self.block(branch, [branch.yields[place].id for place in places or range(len(names) == 1)])
                for place, value in enumerate(branch.yields):
                    states[place] = max(states[place], self.state(value))
                if returns:
                    self.line(f"return [{', '.join(self.anyhow(value) for value in branch.yields)}]")
                elif names:
                    given = ", ".join(self.anyhow(value) for value in branch.yields)
                    self.line(f"{', '.join(names)} = {given}")
        self._known = known
        return states

    def _repeat(self, node: Repeat, remaining: Sequence[Node]) -> None:
        waited = self._unready([node.limit])
        wanted = [value.id for value in node.results]
        here = self._may_wait_for(waited, remaining) and self.may_wait(wanted, remaining)
        name = self.fresh(f"round_{self.name(node.id)}")
        placed = needs_place(node.body)
        states = [self.state(value) for value in node.init]
        while True:
            lines, names, known = list(self.lines), self._named.copy(), dict(self._known)
            found = self._round(node, name, placed, states)
            if found == states:
                break
            self.lines, self._named, self._known, states = lines, names, known, found
        init = [self.anyhow(value) for value in node.init]
        arguments = [self.whole(node.limit), name, f"[{', '.join(init)}]"] + ([f"at={self.at}"] if self.at else [])
        self.needed.word("repeat")
        text = call("job.repeat", arguments)
        variables = [self.name(value.id) for value in node.results]
        if here and variables:
            self.line(f"[{', '.join(variables)}] = await {text}")
            for value, variable, state in zip(node.results, variables, states, strict=True):
                self._known[value.id] = Known(variable, state, self._frame)
        elif waited and not self._may_wait_for(waited, remaining):
            with self.function(f"async def {name}_later() -> Any"):
                self.line(f"return await {text}")
            self._parts(node.results, f"{name}_later()")
        else:
            self._parts(node.results, text)

    def _round(self, node: Repeat, name: str, placed: bool, states: Sequence[State]) -> list[State]:
        """The function of one round, given how far what it is given may be; how far what it hands on may be."""
        body = node.body
        parameters = [f"{self.name(param.id)}: Any" for param in body.params] + [f"{'at' if placed else '_'}: Place"]
        self.needed.support("job", "Place")
        self.needed.external("typing", "Any")
        with self.function(f"async def {name}({', '.join(parameters)}) -> Any"):
            for param, state in zip(body.params, states, strict=True):
                self.define(param, self.name(param.id))
                self._known[param.id] = Known(self.name(param.id), state, self._frame)
            self.at = "at" if placed else self.at
            self.block(body, strict_yields(node, self._strict, self._positive))
            carried = ", ".join(self.anyhow(value) for value in body.yields[:-1])
            self.line(f"return [{carried}], {self.anyhow(body.yields[-1])}")
        return [max(state, self.state(value)) for state, value in zip(states, body.yields, strict=False)]

    def _parts(self, values: Sequence[Value], text: str) -> None:
        """Tasks for the several results of one thing."""
        names = [self.name(value.id) for value in values]
        self.needed.word("parts")
        head = f"[{', '.join(names)}] = " if names else ""
        self.line(f"{head}job.parts({text}, {len(names)})")
        for value, name in zip(values, names, strict=True):
            self._known[value.id] = Known(name, State.LATER, self._frame)


def _cannot_fail(node: Node) -> bool:
    match node:
        case Pure(op=op):
            return pure.cannot_fail(op)
        case Turn(template=template, literal=is_literal):
            return is_literal or templates.cannot_fail(template)
        case Const():
            return True
    return False


def _pures(node: If) -> list[Node]:
    return [inner for block in (node.then, node.otherwise) for inner in walk(block)]


def _read_once(block: Block) -> frozenset[str]:
    """Values that one node of the block reads once, as it begins, and nobody else."""
    counts: dict[str, int] = {}
    for node in block.nodes:
        read = [value.id for value in operands(node)]
        unfit = [value.id for value in (*(node.init if isinstance(node, Repeat) else ()),)]
        if isinstance(node, Select) and node.otherwise is not None:
            unfit.append(node.otherwise.id)
        inside = set(free_values(node)) - set(read)
        for name in (*read, *unfit, *inside, *inside):
            counts[name] = counts.get(name, 0) + 1
        for name in inside | {each for each in free_values(node) if each in _inner(node)}:
            counts[name] = counts.get(name, 0) + 1
    for value in block.yields:
        counts[value.id] = counts.get(value.id, 0) + 1
    return frozenset(name for name, count in counts.items() if count == 1)


def _inner(node: Node) -> set[str]:
    """What the blocks of a node read of what is around it."""
    from ttsc.compiler.ir.rewrite import blocks

    read: set[str] = set()
    for block in blocks(node):
        for inner in block.nodes:
            read |= free_values(inner)
        read |= {value.id for value in block.yields}
    return read
