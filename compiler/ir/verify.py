"""What must hold of every program in the IR, checked after the builder and after each pass.

A violation is a bug of ours, never the user's: it names every broken invariant and the stage that broke it, and the
caller dumps the program. Types must agree as the language has it (`int <: float`, `T <: T?`, `Context <: Candidate`).
"""

from __future__ import annotations

from collections.abc import Iterable

from ttsc.compiler.ir.nodes import (
    Block,
    Const,
    Constant,
    Extern,
    FirstFinished,
    Force,
    Generate,
    Greatest,
    If,
    Majority,
    Map,
    Node,
    Program,
    Pure,
    Quantified,
    Repeat,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import blocks, node_id, operands, results
from ttsc.compiler.values.pure import OPERATIONS
from ttsc.compiler.values.templates import TemplateInvalid, variables
from ttsc.compiler.values.types import (
    BOOL,
    CANDIDATE,
    CANDIDATE_FIELDS,
    CONTEXT,
    FLOAT,
    INT,
    NEVER,
    NONE,
    POOL,
    STR,
    ListOf,
    OptionalOf,
    RecordType,
    Type,
    assignable,
    join,
)
from ttsc.grammar.diagnostics import InternalError

OPTIONS: dict[str, Type] = {
    "temperature": FLOAT,
    "top_p": FLOAT,
    "top_k": INT,
    "min_p": FLOAT,
    "max_tokens": INT,
    "until": STR,
}
_RULES: dict[str, type] = {
    "vote": Majority,
    "best": Greatest,
    "keep": Greatest,
    "stop_first": FirstFinished,
    "any": Quantified,
    "all": Quantified,
}


def verify(program: Program, stage: str = "") -> None:
    """Raises `InternalError` with every violated invariant."""
    problems = violations(program)
    if problems:
        after = f" after {stage}" if stage else ""
        raise InternalError(f"invalid program `{program.name}`{after}:\n" + "\n".join(f"- {p}" for p in problems))


def violations(program: Program) -> tuple[str, ...]:
    """Every violated invariant, in program order."""
    verifier = _Verifier(program)
    verifier.program()
    return tuple(verifier.problems)


def type_of(value: Constant) -> Type:
    """The type of a constant."""
    match value:
        case None:
            return NONE
        case bool():
            return BOOL
        case int():
            return INT
        case float():
            return FLOAT
        case str():
            return STR
        case tuple():
            item: Type | None = NEVER
            for each in value:
                item = None if item is None else join(item, type_of(each))
            return ListOf(NEVER if item is None else item)


class _Verifier:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._roles = {role.name for role in program.models}
        self._externs = {extern.name: extern for extern in program.externs}
        self._defined: set[str] = set()
        self._node_ids: set[str] = set()
        self._where = ""
        self.problems: list[str] = []

    def _need(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(f"%{self._where}: {problem}" if self._where else problem)

    def _fits(self, value: Type, target: Type, what: str) -> None:
        self._need(assignable(value, target), f"{what} is {value}, not {target}")

    # --- program, blocks

    def program(self) -> None:
        program = self._program
        for what, name in self._duplicates():
            self._need(False, f"two {what} named `{name}`")
        parameters = tuple(parameter.value for parameter in program.parameters)
        self._need(program.body.params == parameters, "the body's params are not the parameters")
        self._need(len(program.body.yields) == 1, f"the body yields {len(program.body.yields)} values")
        for parameter in program.parameters:
            if parameter.default is not None:
                self._fits(type_of(parameter.default), parameter.value.type, f"the default of `{parameter.name}`")
        self._block(program.body, {})

    def _duplicates(self) -> Iterable[tuple[str, str]]:
        for what, names in (
            ("parameters", [p.name for p in self._program.parameters]),
            ("model roles", [m.name for m in self._program.models]),
            ("externs", [e.name for e in self._program.externs]),
        ):
            yield from ((what, name) for i, name in enumerate(names) if name in names[:i])

    def _block(self, block: Block, visible: dict[str, Type]) -> None:
        inside = dict(visible)
        for param in block.params:
            self._define(param, inside)
        for node in block.nodes:
            self._where = node_id(node)
            for value in operands(node):
                self._use(value, inside)
            self._node(node)
            for inner in blocks(node):
                self._block(inner, inside)
            self._where = node_id(node)
            self._identify(node)
            for value in results(node):
                self._define(value, inside)
        self._where = ""
        for value in block.yields:
            self._use(value, inside)

    def _define(self, value: Value, visible: dict[str, Type]) -> None:
        self._need(value.id not in self._defined, f"%{value.id} is defined twice")
        self._need(value.id not in self._node_ids, f"%{value.id} is also the id of another node")
        self._defined.add(value.id)
        visible[value.id] = value.type

    def _identify(self, node: Node) -> None:
        if isinstance(node, If | Repeat):
            self._need(node.id not in self._node_ids | self._defined, f"the id {node.id} is taken")
            if node.id not in {value.id for value in node.results}:
                self._node_ids.add(node.id)

    def _use(self, value: Value, visible: dict[str, Type]) -> None:
        if value.id not in visible:
            where = "out of scope here or defined later" if value.id in self._defined else "never defined before this"
            self._need(False, f"reads %{value.id}, which is {where}")
        else:
            self._need(visible[value.id] == value.type, f"reads %{value.id} as {value.type}, not {visible[value.id]}")

    # --- nodes

    def _node(self, node: Node) -> None:
        match node:
            case Const():
                if node.value is not None:  # none may stand for a value that is never read, of any type
                    self._fits(type_of(node.value), node.result.type, "the constant")
            case Turn():
                self._turn(node)
            case Generate():
                self._generate(node)
            case Force():
                self._fits(node.text.type, STR, "the text")
                self._candidates(node.source)
                self._fits(POOL if isinstance(node.source.type, ListOf) else CANDIDATE, node.result.type, "the result")
            case Extern():
                self._extern(node)
            case Pure():
                self._pure(node)
            case Map():
                self._map(node)
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
        self._need(
            assignable(value.type, CANDIDATE) or assignable(value.type, POOL),
            f"%{value.id} is {value.type}, not a candidate or a list of candidates",
        )

    def _turn(self, node: Turn) -> None:
        self._need(node.result.type == CONTEXT, f"the result is {node.result.type}, not Context")
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
        self._need(node.result.type == POOL, f"the result is {node.result.type}, not {POOL}")
        self._need(node.model in self._roles, f"there is no model role `{node.model}`")
        names = [name for name, _ in node.options]
        self._need(len(set(names)) == len(names), "an option is given twice")
        for name, value in node.options:
            wanted = OPTIONS.get(name)
            self._need(wanted is not None, f"there is no option `{name}`")
            if wanted is not None:
                self._fits(value.type, wanted, f"the option `{name}`")

    def _extern(self, node: Extern) -> None:
        signature = self._externs.get(node.name)
        if signature is None:
            self._need(False, f"there is no extern `{node.name}`")
            return
        self._need(len(node.args) == len(signature.parameters), f"{len(node.args)} arguments for `{node.name}`")
        for value, (name, wanted) in zip(node.args, signature.parameters, strict=False):
            self._fits(value.type, wanted, f"the argument `{name}`")
        self._fits(signature.returns, node.result.type, "the result")

    def _pure(self, node: Pure) -> None:
        operation = OPERATIONS.get(node.op)
        if operation is None:
            self._need(False, f"there is no operation `{node.op}`")
            return
        most = len(node.args) if operation.most is None else operation.most
        self._need(operation.least <= len(node.args) <= most, f"{len(node.args)} arguments for `{node.op}`")
        self._need(bool(node.attr) == (node.op == "field"), f"`{node.op}` has the attribute {node.attr!r}")
        if operation.returns is not None:
            self._fits(operation.returns, node.result.type, "the result")
        if node.op == "field" and len(node.args) == 1:
            of = node.args[0].type
            found = of.field(node.attr) if isinstance(of, RecordType) else None
            if assignable(of, CANDIDATE):
                found = CANDIDATE_FIELDS.get(node.attr)
            self._need(found is not None, f"{of} has no field `{node.attr}`")
            if found is not None:
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

    def _select(self, node: Select) -> None:
        self._need(isinstance(node.rule, _RULES[node.op]), f"`{node.op}` with the rule {type(node.rule).__name__}")
        if isinstance(node.rule, Quantified):
            self._need(node.rule.kind == node.op, f"`{node.op}` with the quantifier `{node.rule.kind}`")
        for name, value, ops in (
            ("keys", node.keys, ("best", "keep")),
            ("count", node.count, ("keep", "stop_first")),
        ):
            self._need((value is not None) == (node.op in ops), f"`{node.op}` {'with' if value else 'without'} {name}")
        self._need(node.weights is None or node.op == "vote", f"`{node.op}` with weights")
        if node.keys is not None:
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
        self._need(len(given) == len(wanted), f"{what} gives {len(given)} values for {len(wanted)}")
        for value, target in zip(given, wanted, strict=False):
            self._fits(value.type, target.type, f"{what}'s %{value.id}")
