"""Reads the text form of the IR back: the printer's grammar, read from the other side, with `#` comments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
    Extern,
    ExternSignature,
    FirstFinished,
    Force,
    Generate,
    Greatest,
    If,
    Interval,
    Majority,
    Map,
    ModelRole,
    Node,
    Parameter,
    Program,
    Pure,
    Quantified,
    Repeat,
    Rule,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.tokens import TextInvalid, TokenReader
from ttsc.compiler.values.types import CONTEXT, RecordType, Type

__all__ = ["TextInvalid", "read"]

_Build = Callable[[tuple[Value, ...], int], Node]
"""Makes a node once the values it defines are known; the offset is for messages."""


def read(text: str) -> Program:
    """The program of a text. Raises `TextInvalid`."""
    reader = _Reader(text)
    program = reader.program()
    reader.expect("end")
    return program


class _Reader(TokenReader):
    def program(self) -> Program:
        self.need("program")
        name = self.name()
        head = self.at
        self._skip_to_body()
        doc, models, externs = self._head()
        body_at, self.at = self.at, head
        self.need("(")
        parameters = self.several(self._parameter, ")")
        self.need("->")
        returns_offset = self.next().offset
        returns = self.types()
        self.need("{")
        self.at = body_at
        nodes, yields = self._block_body()
        if tuple(value.type for value in yields) != returns:
            self.fail("the program does not yield the type it names", returns_offset)
        return Program(name, doc, parameters, models, externs, Block(tuple(p.value for p in parameters), nodes, yields))

    def _skip_to_body(self) -> None:
        """Records are declared in the head but named in the parameters before it, so the head is read first."""
        while not self.take("{"):
            if self.next().kind == "end":
                self.unexpected("`{`")
            self.at += 1

    def _head(self) -> tuple[str, tuple[ModelRole, ...], tuple[ExternSignature, ...]]:
        doc = ""
        models: list[ModelRole] = []
        externs: list[ExternSignature] = []
        while True:
            if self.take("doc"):
                doc = self.string()
            elif self.take("model"):
                models.append(ModelRole(self.name(), self.string() if self.take("=") else None))
            elif self.take("record"):
                name = self.name()
                self.need("{")
                self.records[name] = RecordType(name, self.several(self._field, "}"))
            elif self.take("extern"):
                name = self.name()
                self.need("(")
                parameters = self.several(self._field, ")")
                self.need("->")
                externs.append(ExternSignature(name, parameters, self.type()))
            else:
                return doc, tuple(models), tuple(externs)

    def _parameter(self) -> Parameter:
        value_id = self.id()
        name = self.name() if self.take("as") else value_id
        self.need(":")
        value = self.define(value_id, self.type())
        default: Constant = None
        required = True
        if self.take("="):
            default = self.constant()
            required = self.take("required")
        tunable = self._tunable() if self.take("in") else None
        return Parameter(value, name, default, required, tunable)

    def _tunable(self) -> Interval | tuple[Constant, ...]:
        first = self.constant()
        if isinstance(first, tuple):
            return first
        self.need("..")
        last = self.constant()
        if not isinstance(first, int | float) or not isinstance(last, int | float):
            self.unexpected("a range of numbers before this")
        return Interval(cast(float, first), cast(float, last))

    def _field(self) -> tuple[str, Type]:
        name = self.name()
        self.need(":")
        return name, self.type()

    # --- blocks and nodes

    def _block_body(self) -> tuple[tuple[Node, ...], tuple[Value, ...]]:
        """Nodes and yields up to the closing brace, which is taken. What they define is not visible afterwards."""
        outside = dict(self.values)
        nodes: list[Node] = []
        while not self.take("yield"):
            if self.next().text == "}":
                self.unexpected("`yield` before this")
            nodes.append(self._node())
        yields: list[Value] = []
        while self.next().kind == "value" or (yields and self.take(",")):
            yields.append(self.value())
        self.need("}")
        self.values = outside
        return tuple(nodes), tuple(yields)

    def _block(self, params: tuple[Value, ...]) -> Block:
        nodes, yields = self._block_body()
        return Block(params, nodes, yields)

    def _node(self) -> Node:
        offset = self.next().offset
        if self.next().text in ("if", "repeat"):  # these may define nothing
            return self._operation()((), offset)
        names = [self.id()]
        while self.take(","):
            names.append(self.id())
        self.need("=")
        is_turn = self.next().text == "turn"
        build = self._operation()
        types: tuple[Type, ...] = (CONTEXT,)
        if self.take(":"):
            types = self.types()
        elif not is_turn:
            self.unexpected("`:` and a type")
        if len(types) != len(names):
            self.fail(f"{len(names)} names for {len(types)} types", offset)
        return build(tuple(self.define(n, t) for n, t in zip(names, types, strict=True)), offset)

    def _operation(self) -> _Build:
        """Everything after `=` and before the types, as what makes the node once its results are known."""
        if self.next().kind == "string":
            return self._pure()
        word = self.next().text
        reader = {
            "const": self._const, "turn": self._turn, "generate": self._generate, "force": self._force,
            "extern": self._extern, "map": self._map, "filter": self._map, "select": self._select, "if": self._if,
            "repeat": self._repeat,
        }.get(word)  # fmt: skip
        if reader is None:
            return self._pure()
        if word not in ("map", "filter"):
            self.at += 1
        return reader()

    def _single(self, make: Callable[[Value], Node]) -> _Build:
        def build(results: tuple[Value, ...], offset: int) -> Node:
            if len(results) != 1:
                self.fail("this node defines one value", offset)
            return make(results[0])

        return build

    def _const(self) -> _Build:
        value = self.constant()
        return self._single(lambda result: Const(result, value))

    def _turn(self) -> _Build:
        parent = self.value() if self.next().kind == "value" else None
        role = self.word("system", "user", "assistant")
        literal = self.take("literal")
        template = self.string()
        args = self.several(self.named_value, ")") if self.take("(") else ()
        return self._single(lambda result: Turn(result, parent, role, template, args, literal))

    def _generate(self) -> _Build:
        op = self.word("sample", "branch", "refine", "judge")
        source = self.value()
        self.need("x")
        count = self.value()
        options = self.several(self.named_value, ")") if self.take("(") else ()
        self.need("model")
        self.need("=")
        model = self.name()
        delimiter: Any = self._setting("delimiter", "keep", ("keep", "drop"))
        finished: Any = self._setting("finished", "continue", ("freeze", "drop", "continue"))
        stream, share = self.take("stream"), self.take("share_prefix")
        return self._single(
            lambda result: Generate(result, op, source, count, options, model, delimiter, finished, stream, share)
        )

    def _setting(self, name: str, default: str, words: tuple[str, ...]) -> str:
        if not self.take(name):
            return default
        self.need("=")
        return cast(str, self.word(*words))

    def _force(self) -> _Build:
        source = self.value()
        self.need("with")
        text = self.value()
        return self._single(lambda result: Force(result, source, text))

    def _extern(self) -> _Build:
        name = self.name()
        self.need("(")
        args = self.several(self.value, ")")
        return self._single(lambda result: Extern(result, name, args))

    def _pure(self) -> _Build:
        op = self.name()
        attr = ""
        if self.take("["):
            attr = self.name()
            self.need("]")
        self.need("(")
        args = self.several(self.value, ")")
        return self._single(lambda result: Pure(result, op, args, attr))

    def _map(self) -> _Build:
        mode = self.word("map", "filter")
        over = self.value()
        self.need("as")
        outside = dict(self.values)
        params = self.several(self._typed_id, "{")
        body = self._block(params)
        self.values = outside
        return self._single(lambda result: Map(result, over, body, mode))

    def _typed_id(self) -> Value:
        value_id = self.id()
        self.need(":")
        return self.define(value_id, self.type())

    def _select(self) -> _Build:
        op = self.word("vote", "best", "keep", "stop_first", "any", "all")
        over = self.value()
        keys = self._operand("keys")
        weights = self._operand("weights")
        count = self._operand("count")
        otherwise = self._operand("otherwise")
        self.need("rule")
        rule = self._rule()
        early = self.take("early")
        return self._single(lambda result: Select(result, op, over, rule, keys, weights, count, otherwise, early))

    def _operand(self, name: str) -> Value | None:
        if not self.take(name):
            return None
        self.need("=")
        return self.value()

    def _rule(self) -> Rule:
        kind = self.word("majority", "first_finished", "greatest", "quantified")
        self.need("(")
        if kind == "quantified":
            quantifier = self.word("any", "all")
            self.need(")")
            return Quantified(quantifier)
        settings = dict(self.several(self._rule_setting, ")"))
        made: dict[str, type[Majority] | type[FirstFinished] | type[Greatest]]
        made = {"majority": Majority, "first_finished": FirstFinished, "greatest": Greatest}
        try:
            return made[kind](**settings)
        except TypeError:
            self.unexpected(f"other settings of `{kind}` before this")

    def _rule_setting(self) -> tuple[str, Any]:
        name = self.name()
        self.need("=")
        return name, (self.name() if self.next().kind == "name" else self.constant())

    def _if(self) -> _Build:
        self.need("@")
        node_id = self.name()
        condition = self.value()
        self.need("{")
        then = self._block(())
        self.need("else")
        self.need("{")
        otherwise = self._block(())
        return lambda results, _: If(results, node_id, condition, then, otherwise)

    def _repeat(self) -> _Build:
        self.need("@")
        node_id = self.name()
        limit = self.value()
        self.need("(")
        outside = dict(self.values)
        carried = self.several(self._carried, ")")
        self.need("{")
        for param, _ in carried:
            self.values[param.id] = param
        body = self._block(tuple(param for param, _ in carried))
        self.values = outside
        init = tuple(value for _, value in carried)
        return lambda results, _: Repeat(results, node_id, limit, init, body)

    def _carried(self) -> tuple[Value, Value]:
        value_id = self.id()
        self.need(":")
        type_ = self.type()
        self.need("=")
        return Value(value_id, type_), self.value()
