"""Reads blocks and nodes of the IR's text form: from each line, what it defines and what makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Cut,
    Dag,
    Draw,
    Extern,
    FirstFinished,
    Force,
    Generate,
    Greatest,
    If,
    Leading,
    Majority,
    Map,
    Node,
    Offline,
    Pure,
    Quantified,
    Repeat,
    Rule,
    Score,
    Select,
    Sequential,
    Turn,
    Value,
)
from ttsc.compiler.ir.tokens import TokenReader
from ttsc.compiler.values.types import CONTEXT, Type

_Build = Callable[[tuple[Value, ...], int], Node]
"""Makes a node once the values it defines are known; the offset is for messages."""
_SETTINGS: dict[str, tuple[str, ...]] = {
    "ties": ("first", "last", "random"),
    "invalid": ("drop", "count"),
    "order": ("tokens", "time"),
    "truncated": ("exclude", "include"),
    "stop": ("adaptive", "beta", "esc", "sprt"),
}
"""Settings of rules that are words; the others are numbers."""
_MADE: dict[str, Callable[..., Rule]] = {
    "majority": Majority,
    "sequential": Sequential,
    "first_finished": FirstFinished,
    "leading": Leading,
    "greatest": Greatest,
}


class NodeReader(TokenReader):
    """Reads what stands between the head of a program and its closing brace."""

    def block_body(self) -> tuple[tuple[Node, ...], tuple[Value, ...]]:
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
        nodes, yields = self.block_body()
        return Block(params, nodes, yields)

    def _node(self) -> Node:
        offset = self.next().offset
        if self.next().text in ("if", "repeat", "offline"):  # these may define nothing
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
            "cut": self._cut, "score": self._score, "draw": self._draw, "extern": self._extern, "map": self._map,
            "filter": self._map, "dag": self._dag, "offline": self._offline, "select": self._select, "if": self._if,
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
        schema = ""
        if self.take("schema"):
            self.need("=")
            schema = self.string()
        logprobs, sure = self.take("logprobs"), self.take("confidences")
        stream, share = self.take("stream"), self.take("share_prefix")
        waves: Any = self._setting("waves", "", ("gated", "ranked"))
        return self._single(
            lambda result: Generate(
                result,
                op,
                source,
                count,
                options,
                model,
                delimiter,
                finished,
                schema,
                logprobs,
                sure,
                stream,
                share,
                waves,
            )
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

    def _cut(self) -> _Build:
        source = self.value()
        self.need("at")
        at = self.value()
        return self._single(lambda result: Cut(result, source, at))

    def _score(self) -> _Build:
        kind = self.word("logprob", "choices", "reward", "embed")
        source = self.value()
        given = self._operand("given")
        self.need("model")
        self.need("=")
        model = self.name()
        return self._single(lambda result: Score(result, kind, source, given, model))

    def _draw(self) -> _Build:
        op = self.word("resample", "select", "shuffle", "random")
        attr = self._attr()
        args = self._args()
        return self._single(lambda result: Draw(result, op, args, attr))

    def _extern(self) -> _Build:
        name = self.name()
        args = self._args()
        after = self.value() if self.take("after") else None
        return self._single(lambda result: Extern(result, name, args, after))

    def _pure(self) -> _Build:
        op = self.name()
        attr = self._attr()
        args = self._args()
        return self._single(lambda result: Pure(result, op, args, attr))

    def _attr(self) -> str:
        if not self.take("["):
            return ""
        attr = self.name()
        self.need("]")
        return attr

    def _args(self) -> tuple[Value, ...]:
        self.need("(")
        return self.several(self.value, ")")

    def _map(self) -> _Build:
        mode = self.word("map", "filter")
        over = self.value()
        body = self._body_over()
        return self._single(lambda result: Map(result, over, body, mode))

    def _dag(self) -> _Build:
        over = self.value()
        self.need("needs")
        needs = self.value()
        invalid: Any = self._setting("invalid", "fail", ("fail", "drop"))
        body = self._body_over()
        return self._single(lambda result: Dag(result, over, needs, body, invalid))

    def _body_over(self) -> Block:
        self.need("as")
        outside = dict(self.values)
        params = self.several(self.typed_id, "{")
        body = self._block(params)
        self.values = outside
        return body

    def typed_id(self) -> Value:
        value_id = self.id()
        self.need(":")
        return self.define(value_id, self.type())

    def _select(self) -> _Build:
        op = self.word("vote", "best", "keep", "stop_first", "leading", "any", "all")
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
        kind = self.word(*_MADE, "quantified")
        self.need("(")
        if kind == "quantified":
            quantifier = self.word("any", "all")
            self.need(")")
            return Quantified(quantifier)
        settings = dict(self.several(self._rule_setting, ")"))
        try:
            return _MADE[kind](**settings)
        except TypeError:
            self.unexpected(f"other settings of `{kind}` before this")

    def _rule_setting(self) -> tuple[str, Any]:
        name = self.name()
        self.need("=")
        if name in _SETTINGS:
            return name, self.word(*_SETTINGS[name])
        return name, (self.name() if self.next().kind == "name" else self.constant())

    def _if(self) -> _Build:
        self.need("@")
        node_id = self.name()
        condition = self.value()
        ahead: Any = self._setting("ahead", "", ("then", "otherwise", "both"))
        self.need("{")
        then = self._block(())
        self.need("else")
        self.need("{")
        otherwise = self._block(())
        return lambda results, _: If(results, node_id, condition, then, otherwise, ahead)

    def _repeat(self) -> _Build:
        self.need("@")
        node_id = self.name()
        limit = self.value()
        ahead = self.take("ahead")
        init, body = self._body_with({**self.values})
        return lambda results, _: Repeat(results, node_id, limit, init, body, ahead)

    def _offline(self) -> _Build:
        self.need("@")
        node_id = self.name()
        key = self.string()
        inputs, body = self._body_with({})
        return lambda results, _: Offline(results, node_id, key, inputs, body)

    def _body_with(self, visible: dict[str, Value]) -> tuple[tuple[Value, ...], Block]:
        """What params begin with, and the block that has them, where these values are visible besides."""
        self.need("(")
        bound = self.several(self._start, ")")
        self.need("{")
        outside = self.values
        self.values = visible | {param.id: param for param, _ in bound}
        body = self._block(tuple(param for param, _ in bound))
        self.values = outside
        return tuple(value for _, value in bound), body

    def _start(self) -> tuple[Value, Value]:
        value_id = self.id()
        self.need(":")
        type_ = self.type()
        self.need("=")
        return Value(value_id, type_), self.value()
