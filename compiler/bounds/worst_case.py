"""The worst case of a program: what no run of it can exceed.

`worst_case(program)` says it in terms of the parameters, `.at(arguments)` in numbers. Both come from the same abstract
interpreter: with given arguments every size is a number, and loops are walked through round by round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ttsc.compiler.bounds.cost import LIVE, Cost, Kind
from ttsc.compiler.bounds.domain import Abstract, leaves
from ttsc.compiler.bounds.expr import ONE, ZERO, Expr, symbols
from ttsc.compiler.bounds.interpret import Interpreter
from ttsc.compiler.bounds.prompts import Assumptions
from ttsc.compiler.bounds.show import show
from ttsc.compiler.bounds.sources import measured, parameter, utf8
from ttsc.compiler.ir import nodes as ir
from ttsc.compiler.values.types import ListOf, Type
from ttsc.grammar.diagnostics import CompileError, Diagnostic

TURN_TOKENS = 16
"""More than the chat templates of Llama 3, Qwen 2 and 3, Mistral, Gemma and SmolLM2 add to one turn."""
CHAT_TOKENS = 64
"""More than they add once: what begins a conversation, a default system message, what opens the answer."""
REENCODING = 2
"""Tokens that the text of one generated token becomes when it is encoded again, perhaps by another model."""
IMAGE_TOKENS = 4096
WIDTH = 100

_ROWS: tuple[tuple[Kind, str], ...] = (
    ("generate", "generations"),
    ("score", "scores"),
    ("reward", "rewards"),
    ("embed", "embeddings"),
    ("prefill", "prefill tokens"),
    ("decode", "decode tokens"),
    ("scored", "scored tokens"),
    ("extern", "extern calls"),
    ("live", "in flight"),
)


@dataclass(frozen=True, slots=True)
class ConcreteBounds:
    """The worst case for given arguments. By model role, but for `externs`, which are by name.

    `prefill`: tokens of all prompts, as if nothing were cached. `live`: generations in flight at once.
    """

    generations: dict[str, int] = field(default_factory=dict)
    scores: dict[str, int] = field(default_factory=dict)
    rewards: dict[str, int] = field(default_factory=dict)
    embeddings: dict[str, int] = field(default_factory=dict)
    prefill: dict[str, int] = field(default_factory=dict)
    decode: dict[str, int] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    externs: dict[str, int] = field(default_factory=dict)
    live: int = 0

    @property
    def calls(self) -> int:
        """Requests of every kind and role."""
        parts = (self.generations, self.scores, self.rewards, self.embeddings)
        return sum(sum(each.values()) for each in parts)

    @property
    def prefill_tokens(self) -> int:
        return sum(self.prefill.values())

    @property
    def decode_tokens(self) -> int:
        return sum(self.decode.values())

    @property
    def extern_calls(self) -> int:
        return sum(self.externs.values())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """A line for each quantity."""
        rows = [(title, name, f"{amount:,}") for kind, title in _ROWS if kind != "live"
                for name, amount in getattr(self, _FIELDS[kind]).items()]  # fmt: skip
        return _table([*rows, (dict(_ROWS)["live"], "", f"{self.live:,}")] if rows else [], WIDTH)


_FIELDS: dict[Kind, str] = {
    "generate": "generations",
    "score": "scores",
    "reward": "rewards",
    "embed": "embeddings",
    "prefill": "prefill",
    "decode": "decode",
    "scored": "scored",
    "extern": "externs",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The worst case of a program, symbolic in its parameters."""

    program: ir.Program
    assumptions: Assumptions
    cost: Cost

    def at(self, arguments: Mapping[str, object] | None = None) -> ConcreteBounds:
        """In numbers. Parameters that are left out take their defaults, or count as the text "" or the number 0.

        A store's items are given under its name, and by a symbol as it is printed (`tokens(search)`) the most tokens
        of a text that an extern returns; without it such a text counts as the longest that the language allows.
        """
        given = dict(arguments or {})
        values: dict[str, Abstract] = {}
        for each in self.program.parameters:
            values[each.value.id] = self._measured(given, each.name, each.default, each.value.type)
        for store in self.program.stores:
            values[store.value.id] = self._measured(given, store.name, (), store.value.type)
        known = {name: size for name, size in given.items() if isinstance(size, int)}
        interpreter = Interpreter(self.program, self.assumptions, known, loops="walk")
        cost = interpreter.run(self.program, values)
        live = 0
        parts: dict[str, dict[str, int]] = {name: {} for name in _FIELDS.values()}
        for (kind, name), amount in cost.parts.items():
            number = amount.number
            assert number is not None, "what is bounded for all arguments is bounded for these"
            if kind == "live":
                live = number
            else:
                parts[_FIELDS[kind]][name] = number
        return ConcreteBounds(**parts, live=live)

    def _measured(self, given: Mapping[str, object], name: str, default: object, type_: Type) -> Abstract:
        missing = name not in given and default is None
        return measured(_absent(type_) if missing else given.get(name, default), self.assumptions.count)

    def rows(self) -> list[tuple[str, str, Expr]]:
        """(quantity, model role or extern, amount), in reading order."""
        order = [role.name for role in self.program.models] + [each.name for each in self.program.externs]
        found = []
        for kind, title in _ROWS:
            named = sorted((n for k, n in self.cost.parts if k == kind), key=lambda n: (order + [n]).index(n))
            found += [(title, name, self.cost.parts[kind, name]) for name in named]
        return found

    def text(self, width: int = WIDTH) -> str:
        """A line for each quantity; long ones go on in further lines, indented."""
        return _table([(title, name, show(amount)) for title, name, amount in self.rows()], width)

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the sizes that the bounds are expressed in."""
        return frozenset(each.name for amount in self.cost.parts.values() for each in symbols(amount))

    def to_json(self) -> dict[str, Any]:
        """`{"generations": {"policy": "n"}, …}`: amounts as text."""
        result: dict[str, dict[str, str]] = {}
        for (kind, name), amount in self.cost.parts.items():
            if kind != "live":
                result.setdefault(_FIELDS[kind], {})[name] = show(amount)
        return {**result, "live": show(self.cost.parts.get(LIVE, ZERO))}


def unbounded(program: ir.Program) -> tuple[Diagnostic, ...]:
    """What has no bound in a program: the errors that `worst_case` raises, found faster, with every size being 1."""
    assumptions = Assumptions(utf8, TURN_TOKENS, CHAT_TOKENS, REENCODING, IMAGE_TOKENS)
    interpreter = Interpreter(program, assumptions, {}, loops="finite")
    interpreter.run(program, {name: leaves(v, lambda _: ONE, lambda _: ONE) for name, v in _symbolic(program).items()})
    return tuple(interpreter.problems.values())


def _symbolic(program: ir.Program) -> dict[str, Abstract]:
    """Symbols for all parameters and stores."""
    values = {
        each.value.id: parameter(each.name, each.value.type, rank, each.tunable)
        for rank, each in enumerate(program.parameters)
    }
    for rank, store in enumerate(program.stores, len(program.parameters)):
        values[store.value.id] = parameter(store.name, store.value.type, rank)
    return values


def _absent(type_: Type) -> object:
    """What a parameter counts as that is not given."""
    if isinstance(type_, ListOf):
        return ()
    return {"str": "", "int": 0, "float": 0.0}.get(str(type_))


def _table(rows: list[tuple[str, str, str]], width: int) -> str:
    if not rows:
        return "calls nothing"
    first = max(len(title) for title, _, _ in rows) + 2
    second = max(len(name) for _, name, _ in rows) + 2
    lines: list[str] = []
    for title, name, amount in rows:
        lines += _wrapped(f"{title:<{first}}{name:<{second}}", amount, width)
    return "\n".join(lines)


def _wrapped(head: str, amount: str, width: int) -> list[str]:
    lines, line = [], head
    for word in amount.split(" "):
        if len(line) + len(word) + 1 > width and line.strip():
            lines.append(line.rstrip())
            line = " " * (len(head) + 2)
        line += word + " "
    return [*lines, line.rstrip()]


def worst_case(
    program: ir.Program,
    *,
    count_tokens: Callable[[str], int] | None = None,
    turn_tokens: int = TURN_TOKENS,
    chat_tokens: int = CHAT_TOKENS,
    reencoding: int = REENCODING,
    image_tokens: int = IMAGE_TOKENS,
) -> Bounds:
    """What no run of `program` exceeds, retries left out. Raises `CompileError` (E0420, E0421) where it has no bound.

    `count_tokens`: how many tokens a text has; without it texts count as their bytes, which no byte-level tokenizer
    exceeds. The other arguments are what a model's tokenizer and chat template add (docs/bounds.md).
    """
    assumptions = Assumptions(count_tokens or utf8, turn_tokens, chat_tokens, reencoding, image_tokens)
    interpreter = Interpreter(program, assumptions)
    cost = interpreter.run(program, _symbolic(program))
    if interpreter.problems:
        raise CompileError(tuple(interpreter.problems.values()))
    return Bounds(program, assumptions, cost)
