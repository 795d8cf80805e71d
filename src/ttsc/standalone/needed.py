"""What the program part of a standalone file refers to: definitions, operations, texts, types."""

from __future__ import annotations

from collections.abc import Iterable

from ttsc.compiler.ir.nodes import Rule
from ttsc.compiler.values.types import RecordType, Type
from ttsc.standalone.bundle import Bundle
from ttsc.standalone.layout import Names, constant_name, identifier, record_expression, words_of, wrapped
from ttsc.standalone.operators import row, state_machine

_SUPPORT = "ttsc.standalone.support."


class Needed:
    """Collects while the program is written; `bundle` holds what was found for it."""

    def __init__(self, reserved: Iterable[str], operations: Iterable[str]) -> None:
        """`reserved`: the file's own names. `operations`: the pure operations that will be asked for."""
        self.bundle = Bundle([*reserved, *map(identifier, operations)])
        self.constants: dict[str, str] = {}
        """Texts by name, as expressions."""
        self.functions: list[str] = []
        """Texts with values in them."""
        self.operations: dict[str, str] = {}
        """Lines that define operations and state machines, by name."""
        self.records: dict[str, str] = {}
        self.words: set[str] = set()
        self._texts: dict[str, str] = {}
        self._names = Names(reserved)

    def support(self, module: str, name: str) -> str:
        """A definition of the support part; what it is called."""
        return self.bundle.add(_SUPPORT + module, name)

    def own(self, module: str, name: str) -> str:
        """A definition of another module of ttsc."""
        return self.bundle.add(module, name)

    def external(self, module: str, name: str) -> str:
        """Something of Python's library."""
        return self.bundle.external(module, name)

    def word(self, name: str) -> None:
        """A method that the program part calls."""
        self.words.add(name)

    def text(self, wanted: str, expression: str) -> str:
        """A constant of the file; equal ones are one."""
        if expression not in self._texts:
            self._texts[expression] = self._names.fresh(wanted)
            self.constants[self._texts[expression]] = expression
        return self._texts[expression]

    def function(self, wanted: str, parameters: str, expression: str) -> str:
        """A function of the file that gives a text."""
        key = f"({parameters}): {expression}"
        if key not in self._texts:
            name = self._texts[key] = self._names.fresh(wanted)
            self.functions.append(f"def {name}({parameters}) -> str:\n    return {expression}\n")
        return self._texts[key]

    def operation(self, op: str) -> str:
        """A pure operation; the name of its function."""
        name = identifier(op)
        if name not in self.operations:
            make = self.support("operations", "operation")
            module, expression = row(op)
            shown = self.bundle.expression(module, expression)
            self.operations[name] = wrapped(f'{name} = {make}("{op}", {shown})', 0)
        return name

    def decide(self, rule: Rule) -> str:
        """The function that makes a rule's state machine."""
        name = f"{type(rule).__name__.lower()}_rule"
        if name not in self.operations:
            module, expression = state_machine(rule)
            shown = self.bundle.expression(module, expression)
            external = self.external("typing", "Any")
            head = f"def {name}(rule: {external}, length: int, count: int, weighted: bool, seed: int) -> {external}:"
            self.operations[name] = f"\n\n{head}\n    return {shown}"
            self._names.fresh(name)
        return name

    def type(self, type_: Type) -> str:
        """A type; the constructors and records that its expression needs are there then."""
        from ttsc.compiler.ir.types_text import records_in
        from ttsc.standalone.layout import type_expression

        for word in sorted(words_of(type_)):
            self.own("ttsc.compiler.values.types", word)
        for record in records_in([type_]):
            assert isinstance(record, RecordType)
            self.records.setdefault(constant_name(record.name), record_expression(record))
        return type_expression(type_)
