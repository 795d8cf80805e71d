"""Reads the text form of the IR back: the printer's grammar, read from the other side, with `#` comments."""

from __future__ import annotations

from typing import cast

from ttsc.compiler.ir.node_reader import NodeReader
from ttsc.compiler.ir.nodes import (
    Block,
    Constant,
    ExternSignature,
    Limit,
    ModelRole,
    Parameter,
    Program,
    StoreSlot,
    Value,
)
from ttsc.compiler.ir.tokens import TextInvalid
from ttsc.compiler.values.types import Allowed, Interval, RecordType, Type

__all__ = ["TextInvalid", "read"]


def read(text: str) -> Program:
    """The program of a text. Raises `TextInvalid`."""
    reader = _Reader(text)
    program = reader.program()
    reader.expect("end")
    return program


class _Reader(NodeReader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._doc = ""
        self._models: list[ModelRole] = []
        self._externs: list[ExternSignature] = []
        self._stores: list[StoreSlot] = []
        self._budget: tuple[Limit, ...] = ()

    def program(self) -> Program:
        self.need("program")
        name = self.name()
        head = self.at
        self._skip_to_body()
        self._head()
        body_at, self.at = self.at, head
        self.need("(")
        parameters = self.several(self._parameter, ")")
        self.need("->")
        returns_offset = self.next().offset
        returns = self.types()
        self.need("{")
        self.at = body_at
        nodes, yields = self.block_body()
        if tuple(value.type for value in yields) != returns:
            self.fail("the program does not yield the type it names", returns_offset)
        params = (*(p.value for p in parameters), *(s.value for s in self._stores))
        body = Block(params, nodes, yields)
        models, externs, stores = tuple(self._models), tuple(self._externs), tuple(self._stores)
        return Program(name, self._doc, parameters, models, externs, body, stores, self._budget)

    def _skip_to_body(self) -> None:
        """Records are declared in the head but named in the parameters before it, so the head is read first."""
        while not self.take("{"):
            if self.next().kind == "end":
                self.unexpected("`{`")
            self.at += 1

    def _head(self) -> None:
        while True:
            if self.take("doc"):
                self._doc = self.string()
            elif self.take("model"):
                self._models.append(ModelRole(self.name(), self.string() if self.take("=") else None))
            elif self.take("record"):
                self._record()
            elif self.next().text in ("extern", "environment", "oracle"):
                self._externs.append(self._extern_signature())
            elif self.take("store"):
                name = self.name()
                self.need("=")
                self._stores.append(StoreSlot(name, self.typed_id()))
            elif self.take("budget"):
                self._budget = self._limits()
            else:
                return

    def _record(self) -> None:
        name = self.name()
        self.need("{")
        fields = self.several(self._limited_field, "}")
        allowed = tuple((each, values) for each, _, values in fields if values is not None)
        self.records[name] = RecordType(name, tuple((each, type_) for each, type_, _ in fields), allowed)

    def _limited_field(self) -> tuple[str, Type, Allowed | None]:
        name, type_ = self._field()
        return name, type_, cast("Allowed", self._allowed()) if self.take("in") else None

    def _field(self) -> tuple[str, Type]:
        name = self.name()
        self.need(":")
        return name, self.type()

    def _extern_signature(self) -> ExternSignature:
        kind = self.word("extern", "environment", "oracle")
        if kind != "extern":
            self.need("extern")
        name = self.name()
        self.need("(")
        parameters = self.several(self._field, ")")
        self.need("->")
        return ExternSignature(name, parameters, self.type(), "plain" if kind == "extern" else kind)

    def _limits(self) -> tuple[Limit, ...]:
        limits: list[Limit] = []
        while not limits or self.take(","):
            resource = self.word("tokens", "calls", "latency", "flops", "eflops", "cost")
            self.need("=")
            limits.append(Limit(resource, self._number()))
        return tuple(limits)

    def _parameter(self) -> Parameter:
        oracle = self.take("oracle")
        value_id = self.id()
        name = self.name() if self.take("as") else value_id
        self.need(":")
        value: Value = self.define(value_id, self.type())
        default: Constant = None
        required = True
        known = False
        if self.take("="):
            default = self.constant()
            required = self.take("required")
            known = self.take("known")
        tunable = self._allowed() if self.take("in") else None
        return Parameter(value, name, default, required, tunable, oracle, known)

    def _allowed(self) -> Interval | tuple[Constant, ...]:
        if self.next().text == "(":
            return cast("tuple[Constant, ...]", self.constant())
        low = self._number()
        self.need("..")
        return Interval(low, self._number())

    def _number(self) -> int | float:
        if self.next().kind not in ("int", "float"):
            self.unexpected("a number")
        return cast("int | float", self.constant())
