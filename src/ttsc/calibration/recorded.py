"""A run once more, from its events: which candidate each answer continues, revises or judges.

Events say what was asked where; what the answers are about follows from the program. It is evaluated with the answers
at their sites (`runtime/records.Site`), and notes what it comes by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ttsc.calibration.evaluator import (
    ABSENT,
    FAILED,
    UNKNOWN,
    Env,
    Evaluator,
    Hole,
    Path,
    got,
    present,
    unknown_in,
)
from ttsc.compiler.ir.nodes import (
    Block,
    Dag,
    Draw,
    Extern,
    FirstFinished,
    Generate,
    If,
    Offline,
    Program,
    Pure,
    Repeat,
    Score,
    Select,
    Turn,
    Value,
)
from ttsc.compiler.ir.rewrite import blocks, operands, results, walk
from ttsc.runtime.decisions import NOTHING, decision_for
from ttsc.runtime.events import AnswerTaken, Event, ExternCalled, RequestEnded, RequestStarted
from ttsc.runtime.records import from_json
from ttsc.runtime.values import CandidateValue, ContextValue, as_candidate, frozen


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer of an engine. `site` without its index; `order`: how many had ended before. Lengths in tokens."""

    request_id: str
    node: str
    op: str
    role: str
    site: str
    index: int
    parent: str | None
    kind: str
    finish: str
    prompt_tokens: int
    completion_tokens: int
    text: str
    matched: str | int | None
    values: tuple[float, ...]
    logprobs: tuple[float, ...] | None
    order: int


@dataclass(slots=True)
class Heards:
    """What is known of the run of one input: answers by node, place and index; values of host functions by site."""

    answers: dict[str, dict[int, Heard]] = field(default_factory=lambda: defaultdict(dict))
    values: dict[str, object] = field(default_factory=dict)

    def at(self, node: str, path: Path) -> dict[int, Heard]:
        return self.answers.get(_place(node, path), {})


def heard(events: Iterable[Event]) -> dict[int, Heards]:
    """By input. What failed or was aborted is left out."""
    started: dict[str, RequestStarted] = {}
    found: dict[int, Heards] = defaultdict(Heards)
    for order, event in enumerate(events):
        match event:
            case RequestStarted():
                started[event.request_id] = event
            case RequestEnded(finish=finish) if finish not in ("abort", "below", "error"):
                _note(found[event.input], started[event.request_id], event, order)
            case AnswerTaken(finish=finish) if finish not in ("abort", "error"):
                _note(found[event.input], event, event, order)
            case ExternCalled(recorded=True):
                found[event.input].values[event.site.rpartition("#")[0]] = frozen(from_json(event.value))
    return found


def _note(found: Heards, asked: RequestStarted | AnswerTaken, event: RequestEnded | AnswerTaken, order: int) -> None:
    site, _, index = asked.site.rpartition("#")
    found.answers[site][int(index)] = Heard(
        event.request_id,
        event.node,
        asked.op,
        asked.role,
        site,
        int(index),
        asked.parent,
        event.kind,
        event.finish,
        event.prompt_tokens,
        event.completion_tokens,
        event.text,
        event.matched,
        event.values,
        event.logprobs,
        order,
    )


@dataclass(frozen=True, slots=True)
class Written:
    """One generation. `about`: the only candidate that its prompt tells of, if there is exactly one. `block`, `env`,
    `path`: where in the program it is.
    """

    heard: Heard
    candidate: CandidateValue
    about: CandidateValue | None
    block: Block
    env: Env
    path: Path


@dataclass(frozen=True, slots=True)
class Rated:
    """A reward, or the value of a host function, of one candidate. `node`, `op`, `role`: as kinds are looked up."""

    node: str
    op: str
    role: str
    candidate: CandidateValue
    value: object


class Recorded(Evaluator):
    """Evaluates the run of one input. After `run`, `written` and `rated` have what was found."""

    def __init__(self, program: Program, known: Heards) -> None:
        self._program = program
        self._known = known
        self._defined = {value.id: node for node in walk(program.body) for value in results(node)}
        self._blocks: list[Block] = []
        self._by_request: dict[str, CandidateValue] = {}
        self._orders: dict[str, int] = {}
        self._told: dict[int, tuple[object, tuple[CandidateValue, ...]]] = {}
        """Of each context, by its identity: itself, so that it stays alive, and the candidates it tells of."""
        self.written: list[Written] = []
        self.rated: list[Rated] = []

    def run(self, parameters: Mapping[str, object]) -> tuple[object, ...]:
        return self.block(self._program.body, dict(parameters), ())

    def block(self, block: Block, env: Env, path: Path) -> tuple[object, ...]:
        self._blocks.append(block)
        try:
            return super().block(block, env, path)
        finally:
            self._blocks.pop()

    # --- what is asked ---

    def turn(self, node: Turn, env: Env) -> object:
        made = super().turn(node, env)
        if isinstance(made, CandidateValue):
            self._told[id(made.context)] = (made.context, self._tells(operands(node), env))
        return made

    def generate(self, node: Generate, env: Env, path: Path) -> object:
        answers = self._known.at(node.result.id, path)
        source = got(env, node.source)
        slots = source if isinstance(source, tuple) else (source,)
        count = got(env, node.count)
        each = count if isinstance(count, int) and count > 0 else 1
        length = max(len(slots) * each, max(answers, default=-1) + 1)
        temperature = dict(node.options).get("temperature")
        grid = got(env, temperature) if temperature is not None else 1.0
        found: list[object] = []
        for index in range(length):
            slot = slots[index // each] if index // each < len(slots) else UNKNOWN
            before = as_candidate(slot) if isinstance(slot, CandidateValue) else None
            answer = answers.get(index)
            if answer is None:
                frozen_here = before is not None and before.finished and node.finished == "freeze"
                found.append(before if frozen_here and index % each == 0 else ABSENT)
                continue
            before = self._parent(before, answer)
            candidate = self._candidate(node, before, answer, _of_grid(grid, index % each))
            about = () if before is None or before.requests else self._of_context(before)
            self.written.append(
                Written(answer, candidate, about[0] if len(about) == 1 else None, self._blocks[-1], env, path)
            )
            found.append(candidate)
        return tuple(found)

    def _parent(self, before: CandidateValue | None, answer: Heard) -> CandidateValue | None:
        """The candidate or context that was continued. Where it was drawn at random the event knows better."""
        if answer.parent is None or before is None:
            return before
        lineage = before.requests or (before.context.base.requests if before.context.base is not None else ())
        if not lineage or lineage[-1] == answer.parent or not before.requests:
            return before
        return self._by_request.get(answer.parent, before)

    def _candidate(
        self, node: Generate, before: CandidateValue | None, answer: Heard, temperature: float
    ) -> CandidateValue:
        said = answer.text
        if answer.finish == "stop" and node.delimiter == "drop" and isinstance(answer.matched, str):
            said = said.split(answer.matched)[0]
        start = before if before is not None else CandidateValue(ContextValue(()))
        candidate = CandidateValue(
            context=start.context,
            text=start.text + said,
            tokens=start.tokens + answer.completion_tokens,
            finish=answer.finish,
            model=node.model,
            index=answer.index,
            requests=(*start.requests, answer.request_id),
            temperature=temperature,
            step=said,
        )
        self._by_request[answer.request_id] = candidate
        self._orders[answer.request_id] = answer.order
        return candidate

    def score(self, node: Score, env: Env, path: Path) -> object:
        answers = self._known.at(node.result.id, path)
        if not answers or node.kind == "logprob":
            return UNKNOWN
        values = tuple(answers[index].values[-1] for index in sorted(answers) if answers[index].values)
        source = got(env, node.source)
        if node.kind == "reward" and isinstance(source, CandidateValue) and source.requests and values:
            self.rated.append(Rated(node.result.id, node.kind, node.model, source, values[-1]))
        return values if node.kind == "reward" else UNKNOWN

    def extern(self, node: Extern, env: Env, path: Path) -> object:
        value = self._known.values.get(_place(node.result.id, path), UNKNOWN)
        about = self._tells(node.args, env)
        if value is not UNKNOWN and len(about) == 1:
            self.rated.append(Rated(node.result.id, "extern", node.name, about[0], value))
        return value

    # --- what it is about ---

    def _tells(self, values: Sequence[Value], env: Env) -> tuple[CandidateValue, ...]:
        """The candidates that some values were made of."""
        found: dict[str, CandidateValue] = {}
        for value in values:
            for each in self._made_of(value, env):
                found.setdefault(each.requests[-1], each)
        return tuple(found.values())

    def _made_of(self, value: Value, env: Env) -> tuple[CandidateValue, ...]:
        here = got(env, value)
        if isinstance(here, CandidateValue):
            return (here,) if here.requests else self._of_context(here)
        if isinstance(here, tuple) and any(isinstance(each, CandidateValue) for each in here):
            several = [each for each in here if isinstance(each, CandidateValue)]
            return tuple(c for each in several for c in ((each,) if each.requests else self._of_context(each)))
        node = self._defined.get(value.id)
        return self._tells(operands(node), env) if isinstance(node, Pure | Select) else ()

    def _of_context(self, context: CandidateValue) -> tuple[CandidateValue, ...]:
        base = context.context.base
        if base is not None and base.requests:
            return (base,)
        return self._told.get(id(context.context), (None, ()))[1]

    # --- what is chosen ---

    def draw(self, node: Draw, env: Env, path: Path) -> object:
        return got(env, node.args[0]) if node.op in ("resample", "shuffle") else UNKNOWN

    def select(self, node: Select, env: Env, path: Path) -> object:
        columns = [got(env, each) for each in (node.over, node.keys, node.weights) if each is not None]
        if any(each is FAILED for each in columns):
            return FAILED
        lists = [each for each in columns if isinstance(each, tuple)]
        if len(lists) < len(columns) or any(unknown_in(each) for each in lists):
            return UNKNOWN
        if len({len(each) for each in lists}) > 1:
            lists = [present(each) for each in lists]
        count = got(env, node.count) if node.count is not None else 1
        if len({len(each) for each in lists}) > 1 or not isinstance(count, int):
            return UNKNOWN
        rows = list(zip(*lists, strict=True))
        decision = decision_for(node.rule, len(rows), count, weighted=node.weights is not None)
        order = list(range(len(rows)))
        if isinstance(node.rule, FirstFinished):
            order.sort(key=lambda i: self._ended(rows[i][0]))
        for i in order:
            row = rows[i]
            if any(isinstance(each, Hole) for each in row):
                decision.feed(i, NOTHING)
            elif isinstance(node.rule, FirstFinished):
                candidate = as_candidate(row[0])
                cut = candidate.truncated and node.rule.truncated == "exclude"
                decision.feed(i, NOTHING if cut else candidate.tokens)
            elif node.keys is not None:
                decision.feed(i, row[1])
            else:
                weight = row[1] if node.weights is not None and isinstance(row[1], int | float) else None
                decision.feed(i, row[0], weight)
        settled = decision.result()
        if settled is None:
            return UNKNOWN
        if node.op in ("keep", "stop_first", "leading"):
            return tuple(rows[i][0] for i in settled.winners)
        if node.op == "best":
            return rows[settled.winners[0]][0] if settled.winners else FAILED
        if node.op in ("any", "all") or settled.answer is not None:
            return settled.answer
        return got(env, node.otherwise) if node.otherwise is not None else FAILED

    def _ended(self, candidate: object) -> int:
        return self._orders.get(candidate.requests[-1], 0) if isinstance(candidate, CandidateValue) else 0

    # --- regions ---

    def dag(self, node: Dag, env: Env, path: Path) -> object:
        over = got(env, node.over)
        if not isinstance(over, tuple):
            return UNKNOWN
        element = node.body.params[0].id
        return tuple(
            self.block(node.body, {**env, element: each}, (*path, place))[0] for place, each in enumerate(present(over))
        )

    def region(self, node: If | Repeat | Offline, env: Env, path: Path) -> Sequence[object]:
        match node:
            case If():
                condition = got(env, node.condition)
                if isinstance(condition, bool):
                    return self.block(node.then if condition else node.otherwise, dict(env), path)
                for side in (node.then, node.otherwise):
                    if any(isinstance(each, Generate) and self._known.at(each.result.id, path) for each in side.nodes):
                        return self.block(side, dict(env), path)
                return [UNKNOWN] * len(node.results)
            case Repeat():
                return self._rounds(node, env, path)
            case Offline():
                return [UNKNOWN] * len(node.results)

    def _rounds(self, node: Repeat, env: Env, path: Path) -> Sequence[object]:
        limit = got(env, node.limit)
        carried: Sequence[object] = [got(env, each) for each in node.init]
        number = 0
        while not isinstance(limit, int) or number < limit:
            inner = {**env, **dict(zip((each.id for each in node.body.params), carried, strict=True))}
            *carried, stop = self.block(node.body, inner, (*path, number))
            number += 1
            if stop is True or (not isinstance(stop, bool) and not self._goes_on(node, (*path, number))):
                break
        return carried

    def _goes_on(self, node: Repeat, path: Path) -> bool:
        """Whether anything was asked in that round."""
        inside = [each for block in blocks(node) for each in walk(block)]
        return any(
            isinstance(each, Generate | Score) and _is_within(self._known, each.result.id, path) for each in inside
        )


def _place(node: str, path: Path) -> str:
    """As `Site` writes it, without an index."""
    place = "/".join(map(str, path))
    return f"{node}{'@' if place else ''}{place}"


def _is_within(known: Heards, node: str, path: Path) -> bool:
    place = _place(node, path)
    return any(site == place or site.startswith(f"{place}/") for site in known.answers)


def _of_grid(value: object, place: int) -> float:
    chosen = value[place % len(value)] if isinstance(value, tuple) and value else value
    return float(chosen) if isinstance(chosen, int | float) else 1.0
