"""Hypothesis strategies for programs in the IR: valid by construction, with loops, branches, maps, dependency graphs,
offline regions, a store, an environment, and dead parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st
from ir_judgement import judged, rule_of_votes, verdict
from ir_vocabulary import ANSWERS, EDGES, NUMBERS, OPTIONS, PURE, REPORT, TEMPLATES, TEXTS, shown

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.nodes import Block, Node, Program, Value
from ttsc.compiler.ir.offline import offline
from ttsc.compiler.ir.rewrite import results
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.values.abstain import ABSTAINED
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CONTEXT,
    FLOAT,
    INT,
    NODE,
    POOL,
    STR,
    TREE,
    Interval,
    ListOf,
    OptionalOf,
    Type,
)


class Builder:
    """Draws one program. Every drawn node reads values in sight, so the program is valid by construction."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._count = 0
        self._world: Value | None = None
        """True once the last call of the environment has ended; None where it must not be called."""

    def fresh(self, type_: Type, kind: str = "v") -> Value:
        self._count += 1
        return Value(f"{kind}{self._count}", type_)

    def program(self) -> Program:
        parameters = (
            ir.Parameter(Value("question", STR), "question"),
            ir.Parameter(Value("n", INT), "n", 2, False, Interval(0, 4)),
            ir.Parameter(Value("words", ListOf(STR, 9)), "words", ("a", "b b", "c", "d"), False),
            ir.Parameter(Value("flag", BOOL), "flag", True, False),
            ir.Parameter(Value("mode", OptionalOf(STR)), "style", None, False, (None, "x")),
        )
        store = ir.StoreSlot("lessons", Value("lessons", ListOf(STR, 50)))
        params = (*(p.value for p in parameters), store.value)
        start = ir.Const(self.fresh(BOOL, "world"), True)
        self._world = start.result
        nodes = [start, *self.nodes(params, self._draw(st.integers(4, 12)), 0)]
        seen = [v for node in nodes if not isinstance(node, ir.Const) for v in results(node)] or [*params]
        seen = [v for v in seen if shown(v.type)] or [params[0]]
        read_at_last = self._draw(st.lists(st.sampled_from(seen), min_size=3, max_size=12))
        result = self.fresh(CONTEXT, "turn")  # a prompt of several values, so that much of the program is read
        args = tuple((f"a{i}", value) for i, value in enumerate(read_at_last))
        nodes.append(ir.Turn(result, None, "user", " ".join(f"{{{{ {name} }}}}" for name, _ in args), args))
        end = self.pick((*params, *_results(nodes)), TEXTS) or store.value
        models = (ir.ModelRole("policy", "small"), ir.ModelRole("judge"))
        externs = (
            ir.ExternSignature("check", (("code", STR),), REPORT),
            ir.ExternSignature("act", (("action", STR),), STR, "environment"),
        )
        doc = self._draw(st.text(max_size=5))
        body = Block(params, tuple(nodes), (result, end, self._world))
        return Program("p", doc, parameters, models, externs, body, (store,), (ir.Limit("tokens", 5000.0),))

    def nodes(self, scope: tuple[Value, ...], size: int, depth: int) -> list[Node]:
        nodes: list[Node] = []
        for _ in range(size):
            seen = (*scope, *_results(nodes))
            kinds: list[Callable[[tuple[Value, ...], int], list[Node]]] = [
                self.generate, self.generate, self.turn, self.turn, self.pure, self.pure, self.pure, self.select,
                self.force, self.extern, self.const, self.cut, self.score, self.score, self.draw_node,
                self.judged, self.judged,
            ]  # fmt: skip
            if depth < 2:
                kinds += [self.map, self.map, self.branch, self.repeat, self.dag, self.offline]
            if self._world is not None:
                kinds += [self.act]
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
            TEXTS: st.sampled_from([(), ("a",), ("a", "b", "c")]),
            NUMBERS: st.sampled_from([(), (1.0,), (0.5, 0.25)]),
            OptionalOf(STR): st.sampled_from([None, ABSTAINED, "x"]),
        }
        return ir.Const(self.fresh(type_, "c"), self._draw(values[type_]))

    def const(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        return [self.constant(self._draw(st.sampled_from([STR, INT, FLOAT, BOOL, TEXTS, NUMBERS, OptionalOf(STR)])))]

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
        if self._draw(st.integers(0, 5)) == 0:
            temperature = ir.Const(self.fresh(NUMBERS, "c"), (0.0, 0.7))
        count = self.constant(INT)
        options = (("temperature", temperature.result),) if self._draw(st.booleans()) else ()
        own = self.pick(scope, OPTIONS)
        options = (*options, ("engine", own)) if own else options
        if self._draw(st.integers(0, 3)) == 0:
            count = ir.Const(count.result, 0)
        op = self._draw(st.sampled_from(["sample", "branch", "refine", "judge"]))
        role = self._draw(st.sampled_from(["policy", "judge"]))
        schema = self._draw(st.sampled_from(["", "", '{"type": "string"}']))
        node = ir.Generate(self.fresh(POOL, "sample"), op, source, count.result, options, role, schema=schema)
        node = replace(node, logprobs=self._draw(st.booleans()))
        if self._draw(st.booleans()):
            return [temperature, count, node]
        # an equal generation is another draw, unless greedy; one with another schema is another generation
        twin = replace(node, result=self.fresh(POOL, "sample"), schema=self._draw(st.sampled_from([schema, "{}"])))
        both = ir.Pure(self.fresh(POOL, "p"), "add", (node.result, twin.result))
        return [temperature, count, node, twin, both]

    def pure(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        op, attr, types, result = self._draw(st.sampled_from(PURE))
        args = [self.pick(scope, each) for each in types]
        if any(arg is None for arg in args):
            return []
        return [ir.Pure(self.fresh(result, "p"), op, tuple(args), attr)]  # type: ignore[arg-type]

    def force(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        source, text = self.pick(scope, CANDIDATE, POOL), self.pick(scope, STR, ListOf(INT))
        if source is None or text is None:
            return []
        return [ir.Force(self.fresh(source.type, "force"), source, text)]

    def cut(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        source, at = self.pick(scope, CANDIDATE, POOL), self.pick(scope, STR, INT)
        if source is None or at is None:
            return []
        node = ir.Cut(self.fresh(source.type, "cut"), source, at)
        return [node, replace(node, result=self.fresh(source.type, "cut"))]

    def score(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        kind = self._draw(st.sampled_from(["logprob", "choices", "reward", "embed"]))
        source = self.pick(scope, STR) if kind == "embed" else self.pick(scope, CANDIDATE, CONTEXT)
        given = self.pick(scope, TEXTS) if kind == "choices" else self.pick(scope, STR)
        if source is None or (given is None and kind == "choices"):
            return []
        if kind == "embed" or (kind != "choices" and self._draw(st.booleans())):
            given = None
        role = self._draw(st.sampled_from(["policy", "judge"]))
        node = ir.Score(self.fresh(NUMBERS, "score"), kind, source, given, role)
        twin = replace(
            node, result=self.fresh(NUMBERS, "score"), model=self._draw(st.sampled_from(["policy", "judge"]))
        )
        return [node, twin, ir.Pure(self.fresh(NUMBERS, "p"), "add", (node.result, twin.result))]

    def draw_node(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        over = self.pick(scope, POOL, TEXTS, TREE)
        if over is None:
            return []
        if over.type == TREE:
            two = ir.Const(self.fresh(INT, "c"), 2)
            policy = self._draw(st.sampled_from(["best beta drop", "thompson gaussian drop", "adaptive beta keep"]))
            return [two, ir.Draw(self.fresh(ListOf(NODE), "draw"), "select", (over, two.result), policy)]
        if over.type == TEXTS or self._draw(st.booleans()):
            return self._twice(ir.Draw(self.fresh(over.type, "draw"), "shuffle", (over,)))
        count, weights = self.constant(INT), self._keys(over)
        method = self._draw(st.sampled_from(["systematic resample sum", "categorical freeze softmax"]))
        args = (over, weights.result, count.result)
        return [count, weights, *self._twice(ir.Draw(self.fresh(POOL, "draw"), "resample", args, method))]

    def _twice(self, node: ir.Draw) -> list[Node]:
        """Two equal draws, which are two draws, one after the other."""
        twin = replace(node, result=self.fresh(node.result.type, "draw"))
        return [node, twin, ir.Pure(self.fresh(node.result.type, "p"), "add", (node.result, twin.result))]

    def act(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        """A call of the environment after the last one."""
        text = self.pick(scope, STR)
        if text is None or self._world is None:
            return []
        node = ir.Extern(self.fresh(STR, "extern"), "act", (text,), self._world)
        done = ir.Pure(self.fresh(BOOL, "world"), "done", (node.result,))
        self._world = done.result
        return [node, done]

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
        ties = self._draw(st.sampled_from(["first", "last", "random"]))
        if over.type != POOL:
            rule = rule_of_votes(self._draw, ties)
            otherwise = self.pick(scope, STR, OptionalOf(STR)) if self._draw(st.booleans()) else None
            type_ = STR if otherwise is None else otherwise.type
            return [ir.Select(self.fresh(type_, "vote"), "vote", over, rule, otherwise=otherwise)]
        count = self.constant(INT)
        if self._draw(st.integers(0, 4)) == 4:
            return [count, ir.Select(
                self.fresh(POOL, "leading"), "leading", over, ir.Leading(), count=count.result
            )]  # fmt: skip
        if self._draw(st.booleans()):
            finish = ir.FirstFinished(self._draw(st.sampled_from(["tokens", "time"])), "exclude")
            return [count, ir.Select(self.fresh(POOL, "first"), "stop_first", over, finish, count=count.result)]
        keys = self._keys(over, lists=self._draw(st.booleans()))
        greatest = ir.Greatest(ties, self._draw(st.sampled_from([None, 1.0])))
        return [count, keys, ir.Select(
            self.fresh(POOL, "keep"), "keep", over, greatest, keys=keys.result, count=count.result
        )]  # fmt: skip

    def judged(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        over = self.pick(scope, POOL)
        return judged(self._draw, self.fresh, over) if over is not None else []

    def _keys(self, over: Value, lists: bool = False) -> ir.Map:
        """The scores of candidates, each alone or in a list."""
        element = self.fresh(CANDIDATE, "x")
        nodes: list[Node] = [ir.Pure(self.fresh(FLOAT, "p"), "field", (element,), "score")]
        if lists:
            nodes.append(ir.Pure(self.fresh(NUMBERS, "p"), "list", tuple(_results(nodes) * 2)))
        value = _results(nodes)[-1]
        return ir.Map(self.fresh(ListOf(value.type), "map"), over, Block((element,), tuple(nodes), (value,)))

    def map(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        over = self.pick(scope, POOL, TEXTS)
        if over is None:
            return []
        assert isinstance(over.type, ListOf)
        element = self.fresh(over.type.item, "x")
        nodes = self.apart((*scope, element), self._draw(st.integers(0, 4)), depth + 1)
        seen = (element, *_results(nodes), *scope)
        flag = self.pick(seen, BOOL)
        if flag is not None and self._draw(st.booleans()):
            body = Block((element,), tuple(nodes), (flag,))
            return [ir.Map(self.fresh(over.type, "filter"), over, body, "filter")]
        value = self.pick(seen, STR, OptionalOf(STR), BOOL, CANDIDATE) or element
        return [ir.Map(self.fresh(ListOf(value.type), "map"), over, Block((element,), tuple(nodes), (value,)))]

    def apart(self, scope: tuple[Value, ...], size: int, depth: int) -> list[Node]:
        """Nodes that must not call the environment."""
        world, self._world = self._world, None
        nodes = self.nodes(scope, size, depth)
        self._world = world
        return nodes

    def dag(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        over = self.pick(scope, TEXTS, POOL)
        if over is None:
            return []
        assert isinstance(over.type, ListOf)
        invalid = self._draw(st.sampled_from(["fail", "drop"]))
        each = [(), (0,), (1, 0), (5,)] if invalid == "drop" else [(), (), (), (0,)]
        edges = ir.Const(self.fresh(ListOf(INT), "c"), self._draw(st.sampled_from(each)))
        one = self.fresh(over.type.item, "x")
        needs = ir.Map(self.fresh(EDGES, "map"), over, Block((one,), (edges,), (edges.result,)))
        type_ = self._draw(st.sampled_from([STR, BOOL, CANDIDATE]))
        element, found = self.fresh(over.type.item, "x"), self.fresh(ListOf(type_), "found")
        inside = (*scope, element, found)
        nodes = self.apart(inside, self._draw(st.integers(0, 4)), depth + 1)
        if type_ == CANDIDATE:
            value = self.pick((*inside, *_results(nodes)), CANDIDATE)
            if value is None:
                return []
        else:
            value = self.made(nodes, inside, type_)
        body = Block((element, found), tuple(nodes), (value,))
        return [needs, ir.Dag(self.fresh(ListOf(type_), "dag"), over, needs.result, body, invalid)]

    def offline(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        types = self._draw(st.lists(st.sampled_from([STR, INT, TEXTS]), min_size=1, max_size=2))
        nodes = self.apart(scope, self._draw(st.integers(0, 5)), depth + 1)
        yields = tuple(self.made(nodes, scope, type_) for type_ in types)
        kept = tuple(self.fresh(type_, "kept") for type_ in types)
        return [offline(kept, self.fresh(BOOL, "offline_kept").id, nodes, yields)]

    def branch(self, scope: tuple[Value, ...], depth: int) -> list[Node]:
        condition = self.pick(scope, BOOL)
        if self._draw(st.integers(0, 3)) == 0:
            asked = verdict(self.fresh)
            return [*asked, self.sides((*scope, *_results(asked)), _results(asked)[-1], depth)]
        if condition is None or self._draw(st.booleans()):
            constant = self.constant(BOOL)
            return [constant, self.sides(scope, constant.result, depth)]
        return [self.sides(scope, condition, depth)]

    def sides(self, scope: tuple[Value, ...], condition: Value, depth: int) -> Node:
        types = self._draw(st.lists(st.sampled_from([STR, INT, POOL]), max_size=2))
        blocks: list[Block] = []
        world = self._world
        for _ in range(2):
            self._world = world
            nodes = self.nodes(scope, self._draw(st.integers(0, 3)), depth + 1)
            yields: list[Value] = []
            for type_ in types:
                yields.append(self.made(nodes, scope, type_))
            if self._world is not None:
                yields.append(self._world)
            blocks.append(Block((), tuple(nodes), tuple(yields)))
        outcome = tuple(self.fresh(type_, "r") for type_ in types)
        if world is not None:
            self._world = self.fresh(BOOL, "world")
            outcome = (*outcome, self._world)
        return ir.If(outcome, self.fresh(BOOL, "if").id, condition, blocks[0], blocks[1])

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
        if self._world is not None:
            types.append(BOOL)
            init = (*init, self._world)
        params = tuple(self.fresh(type_, "k") for type_ in types)
        world = self._world
        if world is not None:
            self._world = params[-1]
        inside = (*scope, *_results(before), *params)
        nodes = self.nodes(inside, self._draw(st.integers(0, 4)), depth + 1)
        yields = [self.made(nodes, inside, type_) for type_ in types]
        if self._world is not None:
            yields[-1] = self._world
        if self._draw(st.integers(0, 3)) == 0:
            nodes += verdict(self.fresh)
            yields.append(_results(nodes)[-1])
        else:
            yields.append(self.made(nodes, inside, BOOL))
        outcome = tuple(self.fresh(type_, "r") for type_ in types)
        if world is not None:
            self._world = outcome[-1]
        body = Block(params, tuple(nodes), tuple(yields))
        if limit_value is None or limit_value.id == "n" or limit_value.type != INT or depth > 0:
            limit_value = limit.result
        if limit_value is not limit.result:
            two = ir.Const(self.fresh(INT, "c"), 2)
            zero = ir.Const(self.fresh(INT, "c"), 0)
            clipped = ir.Pure(self.fresh(INT, "p"), "clamp", (limit_value, zero.result, two.result))
            before += [two, zero, clipped]
            limit_value = clipped.result
        return [*before, ir.Repeat(outcome, self.fresh(BOOL, "repeat").id, limit_value, init, body)]


def _results(nodes: list[Node]) -> list[Value]:
    return [v for node in nodes for v in results(node)]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    program = Builder(draw).program()
    verify(program)
    return program
