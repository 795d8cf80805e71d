"""Hypothesis strategies for programs in the IR: valid by construction, with loops, branches, maps and dead parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.nodes import Block, Node, Program, Value
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    POOL,
    STR,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
)

REPORT = RecordType("Report", (("passed", BOOL), ("output", STR)))
TEXTS = ListOf(STR)
ANSWERS = ListOf(OptionalOf(STR))
TEMPLATES = ("{{ a }}", "Be brief.", "{% if a %}{{ a }}{% endif %}!", "Hi {{ a }}.", "{{ a[3] }}", "{{ a|upper }}")
PURE: tuple[tuple[str, str, tuple[Type, ...], Type], ...] = (
    ("add", "", (STR, STR), STR), ("add", "", (INT, INT), INT), ("sub", "", (INT, INT), INT),
    ("floordiv", "", (INT, INT), INT), ("eq", "", (STR, STR), BOOL), ("lt", "", (INT, INT), BOOL),
    ("not", "", (BOOL,), BOOL), ("to_str", "", (INT,), STR), ("length", "", (STR,), INT), ("upper", "", (STR,), STR),
    ("item", "", (TEXTS, INT), STR), ("one", "", (POOL,), CANDIDATE), ("one", "", (TEXTS,), STR),
    ("one", "", (TEXTS, STR), STR), ("field", "text", (CANDIDATE,), STR), ("field", "tokens", (CANDIDATE,), INT),
    ("field", "finished", (CANDIDATE,), BOOL), ("field", "score", (CANDIDATE,), FLOAT), ("count", "", (POOL,), INT),
    ("with_score", "", (CANDIDATE, FLOAT), CANDIDATE), ("last_boxed", "", (STR,), OptionalOf(STR)),
    ("or_else", "", (OptionalOf(STR), STR), STR), ("list", "", (STR, STR), TEXTS), ("list", "", (CANDIDATE,), POOL),
    ("add", "", (POOL, POOL), POOL), ("split", "", (STR,), TEXTS), ("field", "passed", (REPORT,), BOOL),
    ("field", "output", (REPORT,), STR), ("mul", "", (INT, FLOAT), FLOAT),
)  # fmt: skip


class Builder:
    """Draws one program. Every drawn node reads values in sight, so the program is valid by construction."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._count = 0

    def fresh(self, type_: Type, kind: str = "v") -> Value:
        self._count += 1
        return Value(f"{kind}{self._count}", type_)

    def program(self) -> Program:
        parameters = (
            ir.Parameter(Value("question", STR), "question"),
            ir.Parameter(Value("n", INT), "n", 2, False, ir.Interval(0, 4)),
            ir.Parameter(Value("words", TEXTS), "words", ("a", "b b"), False),
            ir.Parameter(Value("flag", BOOL), "flag", True, False),
            ir.Parameter(Value("mode", OptionalOf(STR)), "style", None, False, (None, "x")),
        )
        params = tuple(p.value for p in parameters)
        nodes = self.nodes(params, self._draw(st.integers(3, 14)), 0)
        seen = [v for node in nodes if not isinstance(node, ir.Const) for v in _results([node])] or [*params]
        read_at_last = self._draw(st.lists(st.sampled_from(seen), min_size=1, max_size=6))
        result = self.fresh(CONTEXT, "turn")  # a prompt of several values, so that much of the program is read
        args = tuple((f"a{i}", value) for i, value in enumerate(read_at_last))
        nodes.append(ir.Turn(result, None, "user", " ".join(f"{{{{ {name} }}}}" for name, _ in args), args))
        models = (ir.ModelRole("policy", "small"), ir.ModelRole("judge"))
        externs = (ir.ExternSignature("check", (("code", STR),), REPORT),)
        doc = self._draw(st.text(max_size=5))
        return Program("p", doc, parameters, models, externs, Block(params, tuple(nodes), (result,)))

    def nodes(self, scope: tuple[Value, ...], size: int, depth: int) -> list[Node]:
        nodes: list[Node] = []
        for _ in range(size):
            seen = (*scope, *_results(nodes))
            kinds: list[Callable[[tuple[Value, ...], int], list[Node]]] = [
                self.generate, self.generate, self.turn, self.turn, self.pure, self.pure, self.pure, self.select,
                self.force, self.extern, self.const,
            ]  # fmt: skip
            if depth < 2:
                kinds += [self.map, self.map, self.branch, self.repeat]
            nodes.extend(self._draw(st.sampled_from(kinds))(seen, depth))
        return nodes

    def pick(self, scope: tuple[Value, ...], *types: Type) -> Value | None:
        found = [v for v in scope if v.type in types][-6:]
        return self._draw(st.sampled_from(found)) if found else None

    def constant(self, type_: Type) -> ir.Const:
        values: dict[Type, st.SearchStrategy[ir.Constant]] = {
            STR: st.sampled_from(["", "x", "\\boxed{1}", 'é\n"']),
            INT: st.integers(1, 3),
            FLOAT: st.sampled_from([0.0, 0.5, -1e300]),
            BOOL: st.booleans(),
            TEXTS: st.sampled_from([(), ("a",), ("a", "b")]),
        }
        return ir.Const(self.fresh(type_, "c"), self._draw(values[type_]))

    def const(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        return [self.constant(self._draw(st.sampled_from([STR, INT, FLOAT, BOOL, TEXTS])))]

    def turn(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        role = self._draw(st.sampled_from(["system", "user", "assistant"]))
        parent = self.pick(scope, CONTEXT, CANDIDATE) if self._draw(st.booleans()) else None
        result = self.fresh(CONTEXT, "turn")
        if self._draw(st.booleans()):
            return [ir.Turn(result, parent, role, self._draw(st.sampled_from(["Hi.", "{{ raw"])), literal=True)]
        arg = self.pick(scope, STR, INT, TEXTS, CANDIDATE)
        template = self._draw(st.sampled_from(TEMPLATES))
        return [ir.Turn(result, parent, role, template, (("a", arg),) if arg else ())] if arg else []

    def generate(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        source = self.pick(scope, CONTEXT, CANDIDATE, POOL)
        if source is None:
            turn = ir.Turn(self.fresh(CONTEXT, "turn"), None, "user", "Hi.", literal=True)
            return [turn, *self.generate((*scope, turn.result), depth)]
        temperature = ir.Const(self.fresh(FLOAT, "c"), self._draw(st.sampled_from([0.0, 0.7])))
        count = self.constant(INT)
        options = (("temperature", temperature.result),) if self._draw(st.booleans()) else ()
        if self._draw(st.integers(0, 3)) == 0:
            count = ir.Const(count.result, 0)
        op = self._draw(st.sampled_from(["sample", "branch", "refine", "judge"]))
        role = self._draw(st.sampled_from(["policy", "judge"]))
        node = ir.Generate(self.fresh(POOL, "sample"), op, source, count.result, options, role)
        if self._draw(st.booleans()):
            return [temperature, count, node]
        twin = replace(node, result=self.fresh(POOL, "sample"))  # an equal generation: another draw, unless greedy
        both = ir.Pure(self.fresh(POOL, "p"), "add", (node.result, twin.result))
        return [temperature, count, node, twin, both]

    def pure(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        op, attr, types, result = self._draw(st.sampled_from(PURE))
        args = [self.pick(scope, each) for each in types]
        if any(arg is None for arg in args):
            return []
        return [ir.Pure(self.fresh(result, "p"), op, tuple(args), attr)]  # type: ignore[arg-type]

    def force(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        source, text = self.pick(scope, CANDIDATE, POOL), self.pick(scope, STR)
        if source is None or text is None:
            return []
        return [ir.Force(self.fresh(source.type, "force"), source, text)]

    def extern(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        text = self.pick(scope, STR)
        return [ir.Extern(self.fresh(REPORT, "extern"), "check", (text,))] if text else []

    def select(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        over = self.pick(scope, POOL, TEXTS, ANSWERS, ListOf(BOOL))
        if over is None:
            return []
        if over.type == ListOf(BOOL):
            op = self._draw(st.sampled_from(["any", "all"]))
            return [ir.Select(self.fresh(BOOL, op), op, over, ir.Quantified(op))]
        if over.type != POOL:
            rule = self._draw(st.builds(ir.Majority, st.just("first"), st.just("drop"), st.sampled_from([None, 1.0])))
            otherwise = self.pick(scope, STR) if self._draw(st.booleans()) else None
            return [ir.Select(self.fresh(STR, "vote"), "vote", over, rule, otherwise=otherwise)]
        count = self.constant(INT)
        if self._draw(st.booleans()):
            finish = ir.FirstFinished(self._draw(st.sampled_from(["tokens", "time"])), "exclude")
            return [count, ir.Select(self.fresh(POOL, "first"), "stop_first", over, finish, count=count.result)]
        element = self.fresh(CANDIDATE, "x")
        score = ir.Pure(self.fresh(FLOAT, "p"), "field", (element,), "score")
        keys = ir.Map(self.fresh(ListOf(FLOAT), "map"), over, Block((element,), (score,), (score.result,)))
        greatest = ir.Greatest("first", self._draw(st.sampled_from([None, 1.0])))
        return [count, keys, ir.Select(
            self.fresh(POOL, "keep"), "keep", over, greatest, keys=keys.result, count=count.result
        )]  # fmt: skip

    def map(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        over = self.pick(scope, POOL, TEXTS)
        if over is None:
            return []
        assert isinstance(over.type, ListOf)
        element = self.fresh(over.type.item, "x")
        nodes = self.nodes((*scope, element), self._draw(st.integers(0, 4)), depth + 1)
        seen = (element, *_results(nodes), *scope)
        flag = self.pick(seen, BOOL)
        if flag is not None and self._draw(st.booleans()):
            body = Block((element,), tuple(nodes), (flag,))
            return [ir.Map(self.fresh(over.type, "filter"), over, body, "filter")]
        value = self.pick(seen, STR, OptionalOf(STR), BOOL, CANDIDATE) or element
        return [ir.Map(self.fresh(ListOf(value.type), "map"), over, Block((element,), tuple(nodes), (value,)))]

    def branch(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        condition = self.pick(scope, BOOL)
        if condition is None or self._draw(st.booleans()):
            constant = self.constant(BOOL)
            return [constant, self.sides(scope, constant.result, depth)]
        return [self.sides(scope, condition, depth)]

    def sides(self, scope: tuple[Value, ...], condition: Value, depth: int) -> Node:
        types = self._draw(st.lists(st.sampled_from([STR, INT, POOL]), max_size=2))
        blocks: list[Block] = []
        for _ in range(2):
            nodes = self.nodes(scope, self._draw(st.integers(0, 3)), depth + 1)
            yields: list[Value] = []
            for type_ in types:
                yields.append(self.made(nodes, scope, type_))
            blocks.append(Block((), tuple(nodes), tuple(yields)))
        results = tuple(self.fresh(type_, "r") for type_ in types)
        return ir.If(results, self.fresh(BOOL, "if").id, condition, blocks[0], blocks[1])

    def made(self, nodes: list[Node], scope: tuple[Value, ...], type_: Type) -> Value:
        """A value of a type at the end of a block: one in sight, or a new one."""
        found = self.pick((*scope, *_results(nodes)), type_)
        if found is not None:
            return found
        new: Node = ir.Pure(self.fresh(POOL, "p"), "list", ()) if type_ == POOL else self.constant(type_)
        nodes.append(new)
        return _results([new])[0]

    def repeat(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        limit = self.constant(INT)
        limit_value = self.pick(scope, INT) if self._draw(st.booleans()) else limit.result
        types = self._draw(st.lists(st.sampled_from([STR, INT, POOL]), max_size=3))
        before: list[Node] = [limit]
        init = tuple(self.made(before, scope, type_) for type_ in types)
        params = tuple(self.fresh(type_, "k") for type_ in types)
        inside = (*scope, *_results(before), *params)
        nodes = self.nodes(inside, self._draw(st.integers(0, 4)), depth + 1)
        yields = [self.made(nodes, inside, type_) for type_ in types]
        yields.append(self.made(nodes, inside, BOOL))
        results = tuple(self.fresh(type_, "r") for type_ in types)
        body = Block(params, tuple(nodes), tuple(yields))
        if limit_value is None or limit_value.id == "n" or limit_value.type != INT or depth > 0:
            limit_value = limit.result
        if limit_value is not limit.result:
            two = ir.Const(self.fresh(INT, "c"), 2)
            zero = ir.Const(self.fresh(INT, "c"), 0)
            clipped = ir.Pure(self.fresh(INT, "p"), "clamp", (limit_value, zero.result, two.result))
            before += [two, zero, clipped]
            limit_value = clipped.result
        return [*before, ir.Repeat(results, self.fresh(BOOL, "repeat").id, limit_value, init, body)]


def _results(nodes: list[Node]) -> list[Value]:
    return [v for node in nodes for v in (node.results if isinstance(node, ir.If | ir.Repeat) else (node.result,))]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    program = Builder(draw).program()
    verify(program)
    return program
