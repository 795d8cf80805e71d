"""Properties of the IR over generated programs.

Text: `read(print(p)) == p`. Passes: any subset keeps a program valid, each is idempotent, and the result of a run is
the same before and after, under a small reference interpreter with a model whose answers depend on nothing but the
request (and, unless greedy, on the seed: the node's id and the way to it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.ir.nodes import Block, Node, Program, Value
from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.ir.pure import EvaluationFailed, evaluate
from ttsc.compiler.ir.reader import TextInvalid, read
from ttsc.compiler.ir.templates import TemplateFailed, render
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.passes.pass_ import Context
from ttsc.compiler.passes.pipeline import PIPELINE
from ttsc.compiler.passes.runner import run_passes
from ttsc.compiler.plan.lower import lower
from ttsc.compiler.plan.printer import print_plan
from ttsc.compiler.semantics.types import (
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

# --- a reference interpreter ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """A candidate or a context: the conversation so far, and what a model (or `force`) said after it."""

    turns: tuple[str, ...]
    text: str = ""
    tokens: int = 0
    finish: str = "eos"
    finished: bool = True
    truncated: bool = False
    score: float = 0.0
    model: str = ""


class Failed(Exception):
    """An element, or the run, has no result."""


class Interpreter:
    """Runs every node in order, waits for everything, and logs the calls of externs."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def run(self, program: Program, arguments: Mapping[str, object]) -> object:
        values = {p.value.id: arguments.get(p.name, p.default) for p in program.parameters}
        try:
            return self.block(program.body, values, ())[0]
        except Failed:
            return Failed

    def block(self, block: Block, values: dict[str, object], path: tuple[int, ...]) -> list[object]:
        for node in block.nodes:
            try:
                self.node(node, values, path)
            except (EvaluationFailed, TemplateFailed) as failure:
                raise Failed from failure
        return [values[v.id] for v in block.yields]

    def node(self, node: Node, values: dict[str, object], path: tuple[int, ...]) -> None:
        match node:
            case ir.Const():
                values[node.result.id] = node.value
            case ir.Turn():
                args = {name: values[v.id] for name, v in node.args}
                text = node.template if node.literal else render(node.template, args)
                before = _conversation(values[node.parent.id]) if node.parent else ()
                values[node.result.id] = Said((*before, f"{node.role}: {text}"))
            case ir.Generate():
                values[node.result.id] = self.generate(node, values, path)
            case ir.Force():
                source = values[node.source.id]
                text = str(values[node.text.id])
                force: Callable[[Said], Said] = lambda said: replace(said, text=said.text + text)  # noqa: E731
                values[node.result.id] = tuple(map(force, source)) if isinstance(source, tuple) else force(source)
            case ir.Extern():
                args = tuple(values[v.id] for v in node.args)
                self.calls.append((node.name, *args))
                values[node.result.id] = {"passed": _hash(args) % 2 == 0, "output": str(_hash(args) % 7)}
            case ir.Pure():
                values[node.result.id] = evaluate(node.op, node.attr, [values[v.id] for v in node.args])
            case ir.Map():
                values[node.result.id] = self.map(node, values, path)
            case ir.Select():
                values[node.result.id] = _select(node, values)
            case ir.If():
                chosen = node.then if values[node.condition.id] else node.otherwise
                for result, value in zip(node.results, self.block(chosen, dict(values), path), strict=True):
                    values[result.id] = value
            case ir.Repeat():
                carried = [values[v.id] for v in node.init]
                for i in range(min(3, values[node.limit.id])):  # type: ignore[call-overload]
                    inner = dict(values) | dict(zip((p.id for p in node.body.params), carried, strict=True))
                    *carried, stop = self.block(node.body, inner, (*path, i))
                    if stop:
                        break
                for result, value in zip(node.results, carried, strict=True):
                    values[result.id] = value

    def map(self, node: ir.Map, values: dict[str, object], path: tuple[int, ...]) -> tuple[object, ...]:
        out: list[object] = []
        for i, element in enumerate(values[node.over.id]):  # type: ignore[arg-type]
            try:
                (value,) = self.block(node.body, {**values, node.body.params[0].id: element}, (*path, i))
            except Failed:
                continue
            if node.mode == "map":
                out.append(value)
            elif value:
                out.append(element)
        return tuple(out)

    def generate(self, node: ir.Generate, values: dict[str, object], path: tuple[int, ...]) -> tuple[Said, ...]:
        options = {name: values[v.id] for name, v in node.options}
        source = values[node.source.id]
        out: list[Said] = []
        for said in source if isinstance(source, tuple) else (source,):
            for _ in range(values[node.count.id]):  # type: ignore[arg-type]
                greedy = options.get("temperature") == 0
                seed = () if greedy else (node.result.id, path, len(out))
                number = _hash((said, sorted(options.items()), node.model, seed))
                text = f"{said.text}{number % 3} \\boxed{{{number // 3 % 3}}}"
                finish = ("eos", "length")[number // 9 % 2]
                out.append(replace(said, text=text, tokens=said.tokens + number % 5, finish=finish, model=node.model,
                                   finished=finish == "eos", truncated=finish == "length"))  # fmt: skip
        return tuple(out)


def _conversation(said: object) -> tuple[str, ...]:
    assert isinstance(said, Said)
    return (*said.turns, f"assistant: {said.text}") if said.model or said.text else said.turns


def _hash(value: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(value).encode()).digest()[:6], "big")


def _select(node: ir.Select, values: dict[str, object]) -> object:
    over = values[node.over.id]
    assert isinstance(over, tuple)
    match node.op:
        case "any":
            return any(over)
        case "all":
            return all(over)
        case "vote":
            votes = [v for v in over if v is not None]
            if not votes:
                if node.otherwise is None:
                    raise Failed
                return values[node.otherwise.id]
            return max(votes, key=lambda v: (votes.count(v), -votes.index(v)))
        case "stop_first":
            order = sorted((c for c in over if not c.truncated), key=lambda c: c.tokens)
            return tuple(order[: values[node.count.id]])  # type: ignore[index, misc]
    keys = values[node.keys.id]  # type: ignore[union-attr]
    assert isinstance(keys, tuple)
    order = sorted(range(min(len(over), len(keys))), key=lambda i: -keys[i])
    if node.op == "keep":
        return tuple(over[i] for i in order[: values[node.count.id]])  # type: ignore[union-attr, misc]
    if not order:
        raise Failed
    return over[order[0]]


# --- generated programs ---------------------------------------------------------------------------------------------

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


CHECKED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
NAMES = [each.name for each in PIPELINE]


@CHECKED
@given(programs())
def test_text_reads_back(program: Program) -> None:
    assert read(print_program(program)) == program


@CHECKED
@given(programs(), st.sets(st.sampled_from(NAMES)), st.sampled_from(["", "why\\boxed{2}"]))
def test_any_subset_of_passes_keeps_the_result(program: Program, disabled: set[str], question: str) -> None:
    note(print_program(program))
    plain = Interpreter()
    expected = plain.run(program, {"question": question})
    optimized = run_passes(program, 2, disabled).program
    note(print_program(optimized))
    interpreter = Interpreter()
    result = interpreter.run(optimized, {"question": question})
    if expected is not Failed:  # what failed in something unread may now succeed
        assert result == expected
        assert interpreter.calls == plain.calls
    assert read(print_program(optimized)) == optimized
    assert print_plan(lower(optimized, 2, ()))


@CHECKED
@given(programs())
def test_partial_evaluation_keeps_the_result(program: Program) -> None:
    given_now: dict[str, ir.Constant] = {"question": "q", "n": 3, "words": ("x",)}
    expected = Interpreter().run(program, given_now)
    optimized = run_passes(program, 2, context=Context(given_now)).program
    if expected is not Failed:
        assert Interpreter().run(optimized, given_now) == expected


@CHECKED
@given(programs())
def test_each_pass_is_idempotent(program: Program) -> None:
    for each in PIPELINE:
        once = each.run(program, Context())
        assert each.run(once, Context()) is once, each.name
        program = once


@CHECKED
@given(programs(), st.data())
def test_broken_text_is_refused_with_a_place(program: Program, data: st.DataObject) -> None:
    text = print_program(program)
    at = data.draw(st.integers(0, len(text) - 1))
    broken = text[:at] + data.draw(st.sampled_from(["", "}", "%", '"', "x", "("])) + text[at + 1 :]
    try:
        read(broken)
    except TextInvalid as invalid:
        assert 1 <= invalid.line <= broken.count("\n") + 1 and invalid.column >= 1


def test_the_interpreter_tells_programs_apart() -> None:
    """The properties above mean something: another seed, another temperature, another order give other results."""
    text = """
program p(%question: str) -> list[Candidate] {
  model policy
  %t = const 0.7 : float
  %c = const 2 : int
  %turn1 = turn user "{{ q }}" (q=%question)
  %sample1 = generate sample %turn1 x %c (temperature=%t) model=policy : list[Candidate]
  yield %sample1
}"""
    results = {
        repr(Interpreter().run(read(text.replace(*change)), {"question": "q"}))
        for change in (("", ""), ("sample1", "sample2"), ("0.7", "0.0"), ("user", "system"), ("const 2", "const 3"))
    }
    assert len(results) == 5
    with pytest.raises(AssertionError):
        assert Interpreter().run(read(text), {"question": "q"}) is Failed
