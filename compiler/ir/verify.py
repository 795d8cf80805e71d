"""What must hold of every program in the IR, checked after the builder and after each pass.

A violation is a bug of ours, never the user's: it names every broken invariant and the stage that broke it, and the
caller dumps the program. What a node asks of its operands and results is in `node_verifier.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from ttsc.compiler.ir.node_verifier import NodeVerifier
from ttsc.compiler.ir.nodes import Block, If, Node, Offline, Program, Repeat, Value
from ttsc.compiler.ir.rewrite import NESTED, blocks, node_id, operands, results
from ttsc.compiler.ir.value_types import type_of
from ttsc.compiler.values.types import BOOL, ListOf, Type
from ttsc.grammar.diagnostics import InternalError

Sound = dict[int, Node]
"""Nodes by identity."""


def verify(program: Program, stage: str = "", sound: Sound | None = None) -> None:
    """Raises `InternalError` with every violated invariant.

    `sound`: nodes that were verified in an earlier state of the same program, to which those of this one are added.
    What a node asks of its operands cannot have changed while it is the same object; all else is checked again.
    """
    problems = violations(program, sound)
    if problems:
        after = f" after {stage}" if stage else ""
        raise InternalError(f"invalid program `{program.name}`{after}:\n" + "\n".join(f"- {p}" for p in problems))


def violations(program: Program, sound: Sound | None = None) -> tuple[str, ...]:
    """Every violated invariant, in program order."""
    verifier = _Verifier(program, {} if sound is None else sound)
    verifier.program()
    return tuple(verifier.problems)


class _Verifier(NodeVerifier):
    """Adds what holds between nodes: order, scope, and ids that are given once."""

    def __init__(self, program: Program, sound: Sound) -> None:
        super().__init__(program)
        self._sound = sound
        self._defined: set[str] = set()
        self._node_ids: set[str] = set()
        self._visible: dict[str, Type] = {}

    def program(self) -> None:
        program = self._program
        for what, name in self._duplicates():
            self._need(False, f"two {what} named `{name}`")
        values = (*(each.value for each in program.parameters), *(each.value for each in program.stores))
        self._need(program.body.params == values, "the body's params are not the parameters and stores")
        self._program_yields(program)
        for parameter in program.parameters:
            if parameter.default is not None:
                self._fits(type_of(parameter.default), parameter.value.type, f"the default of `{parameter.name}`")
        self._block(program.body)

    def _program_yields(self, program: Program) -> None:
        """The result, what each store holds at the end, and whether the last call of an environment has ended."""
        acts = any(extern.kind == "environment" for extern in program.externs)
        yields = program.body.yields
        wanted = 1 + len(program.stores) + acts
        self._need(len(yields) == wanted, f"the body yields {len(yields)} values, not {wanted}")
        for store, value in zip(program.stores, yields[1:], strict=False):
            self._need(isinstance(store.value.type, ListOf), f"the store `{store.name}` is no list")
            self._fits(value.type, store.value.type, f"the store `{store.name}` at the end")
        if acts and len(yields) == wanted:
            self._fits(yields[-1].type, BOOL, "the last yield")

    def _duplicates(self) -> Iterable[tuple[str, str]]:
        for what, names in (
            ("parameters", [p.name for p in self._program.parameters]),
            ("model roles", [m.name for m in self._program.models]),
            ("externs", [e.name for e in self._program.externs]),
            ("stores", [s.name for s in self._program.stores]),
        ):
            yield from ((what, name) for i, name in enumerate(names) if name in names[:i])

    def _block(self, block: Block) -> None:
        opened: list[tuple[str, Type | None]] = []
        for param in block.params:
            self._define(param, opened)
        for node in block.nodes:
            self._where = node_id(node)
            for value in operands(node):
                self._use(value)
            if id(node) not in self._sound:
                self._sound[id(node)] = node
                self._node(node)
            if type(node) in NESTED:
                self._inside(node)
            for value in results(node):
                self._define(value, opened)
        self._where = ""
        for value in block.yields:
            self._use(value)
        for name, before in reversed(opened):
            if before is None:
                del self._visible[name]
            else:
                self._visible[name] = before

    def _inside(self, node: Node) -> None:
        """The blocks of a node, of which that of an offline region sees nothing around it."""
        around = self._visible
        if isinstance(node, Offline):
            self._visible = {}
        for inner in blocks(node):
            self._block(inner)
        self._visible = around
        self._where = node_id(node)
        self._identify(node)

    def _define(self, value: Value, opened: list[tuple[str, Type | None]]) -> None:
        """Makes a value visible; `opened` remembers what is to be undone where the block ends."""
        name = value.id
        if name in self._defined:
            self._wrong(f"%{name} is defined twice")
        if name in self._node_ids:
            self._wrong(f"%{name} is also the id of another node")
        self._defined.add(name)
        opened.append((name, self._visible.get(name)))
        self._visible[name] = value.type

    def _identify(self, node: Node) -> None:
        if isinstance(node, If | Repeat | Offline):
            if node.id in self._node_ids or node.id in self._defined:
                self._wrong(f"the id {node.id} is taken")
            if all(node.id != value.id for value in node.results):
                self._node_ids.add(node.id)

    def _use(self, value: Value) -> None:
        seen = self._visible.get(value.id)
        if seen is None:
            where = "out of scope here or defined later" if value.id in self._defined else "never defined before this"
            self._wrong(f"reads %{value.id}, which is {where}")
        elif seen is not value.type and seen != value.type:
            self._wrong(f"reads %{value.id} as {value.type}, not {seen}")
