"""What each node asks of its operands and results: their number, their types, what must stand beside what.

Types must agree as the language has it (`int <: float`, `T <: T?`, `Context <: Candidate`).
"""

from __future__ import annotations

from ttsc.compiler.ir.nodes import (
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
    Program,
    Pure,
    Quantified,
    Repeat,
    Score,
    Select,
    Sequential,
    Turn,
    Value,
)
from ttsc.compiler.ir.value_types import field_type, is_data, type_of
from ttsc.compiler.values import draws
from ttsc.compiler.values.pure import OPERATIONS
from ttsc.compiler.values.templates import TemplateInvalid, variables
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
    ListOf,
    OptionalOf,
    RecordType,
    Type,
    assignable,
)

OPTIONS: dict[str, Type] = {
    "temperature": FLOAT,
    "top_p": FLOAT,
    "top_k": INT,
    "min_p": FLOAT,
    "max_tokens": INT,
    "until": STR,
    "top_logprobs": INT,
    "stop_below": FLOAT,
    "window": INT,
}
"""Generation options by name; `engine`, which is a record of any kind, stands beside them."""
_RULES: dict[str, type | tuple[type, ...]] = {
    "vote": (Majority, Sequential),
    "best": Greatest,
    "keep": Greatest,
    "stop_first": FirstFinished,
    "leading": Leading,
    "any": Quantified,
    "all": Quantified,
}


_DRAWN: dict[str, tuple[tuple[str, Type], ...]] = {
    "resample": (
        ("the pool", POOL),
        ("the weights", ListOf(FLOAT)),
        ("the count", INT),
        ("the temperature", FLOAT),
        ("the reference", OptionalOf(CANDIDATE)),
    ),
    "select": (
        ("the tree", TREE),
        ("the count", INT),
        ("the exploration", FLOAT),
        ("the share to prune at", FLOAT),
        ("the scores to prune from", INT),
    ),
}
"""Arguments of draws, in order."""


class NodeVerifier:
    """Collects what is wrong with nodes, one at a time. `_where` is the id of the node in question."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._roles = {role.name for role in program.models}
        self._externs = {extern.name: extern for extern in program.externs}
        self._where = ""
        self.problems: list[str] = []

    def _wrong(self, problem: str) -> None:
        self.problems.append(f"%{self._where}: {problem}" if self._where else problem)

    def _need(self, holds: bool, problem: str) -> None:
        if not holds:
            self._wrong(problem)

    def _fits(self, value: Type, target: Type, what: str) -> None:
        if value is not target and not assignable(value, target):
            self._wrong(f"{what} is {value}, not {target}")

    def _node(self, node: Node) -> None:
        match node:
            case Pure():
                self._pure(node)
            case Const():
                if node.value is not None:  # none may stand for a value that is never read, of any type
                    self._fits(type_of(node.value), node.result.type, "the constant")
            case Map():
                self._map(node)
            case Turn():
                self._turn(node)
            case Generate():
                self._generate(node)
            case Force():
                self._need(
                    assignable(node.text.type, STR) or assignable(node.text.type, ListOf(INT)),
                    f"the text is {node.text.type}, not str or list[int]",
                )
                self._continued(node.source, node.result)
            case Cut():
                self._need(
                    assignable(node.at.type, INT) or assignable(node.at.type, STR),
                    f"the place is {node.at.type}, not int or str",
                )
                self._continued(node.source, node.result)
            case Score():
                self._score(node)
            case Draw():
                self._draw(node)
            case Extern():
                self._extern(node)
            case Dag():
                self._dag(node)
            case Offline():
                self._offline(node)
            case Select():
                self._select(node)
            case If():
                self._fits(node.condition.type, BOOL, "the condition")
                for block in (node.then, node.otherwise):
                    self._need(not block.params, "a branch has params")
                    self._yields(block.yields, node.results, "a branch")
            case Repeat():
                self._repeat(node)

    def _candidates(self, value: Value) -> None:
        if not (assignable(value.type, CANDIDATE) or assignable(value.type, POOL)):
            self._wrong(f"%{value.id} is {value.type}, not a candidate or a list of candidates")

    def _continued(self, source: Value, result: Value) -> None:
        self._candidates(source)
        self._fits(POOL if isinstance(source.type, ListOf) else CANDIDATE, result.type, "the result")

    def _turn(self, node: Turn) -> None:
        if node.result.type != CONTEXT:
            self._wrong(f"the result is {node.result.type}, not Context")
        if node.parent is not None:
            self._fits(node.parent.type, CANDIDATE, "the parent")
        if node.literal:
            self._need(not node.args, "a literal turn has arguments")
            return
        names = [name for name, _ in node.args]
        self._need(len(set(names)) == len(names), "an argument is given twice")
        try:
            missing = [name for name in variables(node.template) if name not in names]
        except TemplateInvalid as invalid:
            self._need(False, f"the template is invalid: {invalid.message}")
        else:
            self._need(not missing, f"the template reads {', '.join(missing)}, which are not given")

    def _generate(self, node: Generate) -> None:
        self._candidates(node.source)
        self._fits(node.count.type, INT, "the count")
        if node.result.type != POOL:
            self._wrong(f"the result is {node.result.type}, not {POOL}")
        self._need(node.model in self._roles, f"there is no model role `{node.model}`")
        names = [name for name, _ in node.options]
        self._need(len(set(names)) == len(names), "an option is given twice")
        self._need(node.confidences or "stop_below" not in names, "`stop_below` without `confidences`")
        for name, value in node.options:
            each = value.type.item if isinstance(value.type, ListOf) else value.type  # a list is a grid
            if name == "engine":
                self._need(isinstance(each, RecordType), f"the option `engine` is {value.type}, not a record")
            elif name in OPTIONS:
                each = each.item if name == "until" and isinstance(each, ListOf) else each  # a grid of lists of texts
                self._fits(each, OPTIONS[name], f"the option `{name}`")
            else:
                self._need(False, f"there is no option `{name}`")

    def _score(self, node: Score) -> None:
        self._need(node.model in self._roles, f"there is no model role `{node.model}`")
        self._fits(node.source.type, STR if node.kind == "embed" else CANDIDATE, "the source")
        self._fits(ListOf(FLOAT), node.result.type, "the result")
        if node.given is None:
            self._need(node.kind != "choices", "`choices` without texts to choose from")
            return
        self._need(node.kind != "embed", "`embed` with a text beside its source")
        self._fits(node.given.type, ListOf(STR) if node.kind == "choices" else STR, "what is given")

    def _draw(self, node: Draw) -> None:
        problem = draws.problem(node.op, node.attr, len(node.args))
        if problem is not None or not node.args:
            self._need(False, problem or f"`{node.op}` of nothing")
            return
        for value, (what, wanted) in zip(node.args, _DRAWN.get(node.op, ()), strict=False):
            self._fits(value.type, wanted, what)
        drawn = ListOf(NODE) if node.op == "select" else node.args[0].type
        if node.op == "random":
            self._need(drawn in (INT, FLOAT), f"%{node.args[0].id} is {drawn}, not a number")
        else:
            self._need(isinstance(drawn, ListOf), f"%{node.args[0].id} is {drawn}, not a list")
        self._fits(drawn, node.result.type, "the result")

    def _extern(self, node: Extern) -> None:
        signature = self._externs.get(node.name)
        if signature is None:
            self._need(False, f"there is no extern `{node.name}`")
            return
        self._need(len(node.args) == len(signature.parameters), f"{len(node.args)} arguments for `{node.name}`")
        for value, (name, wanted) in zip(node.args, signature.parameters, strict=False):
            self._fits(value.type, wanted, f"the argument `{name}`")
        self._fits(signature.returns, node.result.type, "the result")
        ordered = signature.kind == "environment"
        self._need((node.after is not None) == ordered, f"`{node.name}` {'without' if ordered else 'with'} an order")
        if node.after is not None:
            self._fits(node.after.type, BOOL, "what it comes after")

    def _pure(self, node: Pure) -> None:
        operation = OPERATIONS.get(node.op)
        if operation is None:
            self._need(False, f"there is no operation `{node.op}`")
            return
        given = len(node.args)
        if given < operation.least or (operation.most is not None and given > operation.most):
            self._wrong(f"{given} arguments for `{node.op}`")
        if bool(node.attr) != operation.uses_attr:
            self._wrong(f"`{node.op}` has the attribute {node.attr!r}")
        if operation.returns is not None:
            self._fits(operation.returns, node.result.type, "the result")
        if node.op == "field" and len(node.args) == 1:
            of = node.args[0].type
            found = field_type(of, node.attr)
            if found is None:
                self._wrong(f"{of} has no field `{node.attr}`")
            else:
                self._fits(found, node.result.type, "the result")

    def _map(self, node: Map) -> None:
        self._need(len(node.body.params) == 1, "the body does not take one element")
        if not isinstance(node.over.type, ListOf):
            self._need(False, f"%{node.over.id} is {node.over.type}, not a list")
            return
        if node.body.params:
            self._fits(node.over.type.item, node.body.params[0].type, "the element")
        if len(node.body.yields) != 1:
            self._need(False, f"the body yields {len(node.body.yields)} values")
        elif node.mode == "filter":
            self._fits(node.body.yields[0].type, BOOL, "the body's yield")
            self._fits(node.over.type, node.result.type, "the result")
        else:
            self._fits(ListOf(node.body.yields[0].type), node.result.type, "the result")

    def _dag(self, node: Dag) -> None:
        self._fits(node.needs.type, ListOf(ListOf(INT)), "what elements need")
        if not isinstance(node.over.type, ListOf):
            self._need(False, f"%{node.over.id} is {node.over.type}, not a list")
            return
        if len(node.body.params) != 2:
            self._need(False, "the body does not take an element and a list of what it needs")
            return
        element, found = node.body.params
        self._fits(node.over.type.item, element.type, "the element")
        if len(node.body.yields) != 1:
            self._need(False, f"the body yields {len(node.body.yields)} values")
            return
        values = ListOf(node.body.yields[0].type)
        self._fits(values, found.type, "what was found")
        self._fits(values, node.result.type, "the result")

    def _offline(self, node: Offline) -> None:
        self._need(bool(node.key), "the region has no key")
        self._yields(node.inputs, node.body.params, "the region's start")
        self._yields(node.body.yields, node.results, "the region")
        for value in node.results:
            self._need(is_data(value.type), f"%{value.id} is {value.type}, which cannot be kept")

    def _select(self, node: Select) -> None:
        self._need(isinstance(node.rule, _RULES[node.op]), f"`{node.op}` with the rule {type(node.rule).__name__}")
        if isinstance(node.rule, Quantified):
            self._need(node.rule.kind == node.op, f"`{node.op}` with the quantifier `{node.rule.kind}`")
        if isinstance(node.rule, Sequential):
            self._need(node.weights is None, f"weights with the rule {type(node.rule).__name__}")
        for name, value, ops in (
            ("keys", node.keys, ("best", "keep")),
            ("count", node.count, ("keep", "stop_first", "leading")),
        ):
            self._need((value is not None) == (node.op in ops), f"`{node.op}` {'with' if value else 'without'} {name}")
        self._need(node.weights is None or node.op == "vote", f"`{node.op}` with weights")
        if node.keys is not None and not assignable(node.keys.type, ListOf(ListOf(FLOAT))):
            self._fits(node.keys.type, ListOf(FLOAT), "the keys")
        if node.weights is not None:
            self._fits(node.weights.type, ListOf(FLOAT), "the weights")
        if node.count is not None:
            self._fits(node.count.type, INT, "the count")
        if node.otherwise is not None:
            self._fits(node.otherwise.type, node.result.type, "`otherwise`")
        over = node.over.type
        if not isinstance(over, ListOf):
            self._need(False, f"%{node.over.id} is {over}, not a list")
        elif node.op == "vote":
            self._fits(over, ListOf(OptionalOf(STR)), "the list")
            self._fits(STR, node.result.type, "the result")
        elif node.op in ("any", "all"):
            self._fits(over, ListOf(BOOL), "the list")
            self._fits(BOOL, node.result.type, "the result")
        else:
            if node.op == "stop_first":
                self._fits(over, POOL, "the list")
            self._fits(over.item if node.op == "best" else over, node.result.type, "the result")

    def _repeat(self, node: Repeat) -> None:
        self._fits(node.limit.type, INT, "the limit")
        yields = node.body.yields
        if not yields or yields[-1].type != BOOL:
            self._need(False, "the body's last yield is not a bool")
        self._yields(node.init, node.body.params, "the loop's start")
        self._yields(node.init, node.results, "the loop's start")
        self._yields(yields[:-1], node.body.params, "the body")
        self._yields(yields[:-1], node.results, "the body")

    def _yields(self, given: tuple[Value, ...], wanted: tuple[Value, ...], what: str) -> None:
        if len(given) != len(wanted):
            self._wrong(f"{what} gives {len(given)} values for {len(wanted)}")
        for value, target in zip(given, wanted, strict=False):
            if value.type is not target.type:
                self._fits(value.type, target.type, f"{what}'s %{value.id}")
