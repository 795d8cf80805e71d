"""What runs show of models: samples and their answers, verdicts, rewards and revisions, each with its input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ttsc.calibration.alone import Alone
from ttsc.calibration.evaluator import UNKNOWN, Hole
from ttsc.calibration.recorded import Heards, Rated, Recorded, Written
from ttsc.compiler.ir.nodes import Block, If, Node, Program, Pure
from ttsc.compiler.ir.rewrite import free_values, operands, results
from ttsc.compiler.values.answers import parse_float
from ttsc.runtime.values import CandidateValue, ContextValue, frozen


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind of request, as workloads look them up."""

    node: str
    op: str
    role: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One generation. `answer`: what the program would answer by it alone, None for no answer, UNKNOWN if that can't be
    told or it is not complete. `right`: None if unknown. `tokens`, `prompt_tokens`: of this request. `steps`: requests
    that wrote the candidate. `first`: its prompt tells of no other candidate. `free`: of a free walk (`walks.py`).
    `confidence`: mean log-probability of its tokens, None if nobody asked.
    """

    input: int
    kind: Kind
    temperature: float
    tokens: int
    prompt_tokens: int
    cut: bool
    complete: bool
    steps: int
    text: str
    answer: str | None | Hole
    right: bool | None
    first: bool
    free: bool = False
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """What a verifier says of a candidate that is right or not: accepted (None: it did not say), or a number."""

    input: int
    kind: Kind
    right: bool
    value: bool | float | None
    free: bool = False


@dataclass(frozen=True, slots=True)
class Revision:
    """A candidate that was made of another one."""

    input: int
    kind: Kind
    before: bool
    after: bool


@dataclass(slots=True)
class Observations:
    """`golds`: by input, where the right answer is known. `missed`: answers that belong to no place of the program that
    was found.
    """

    samples: list[Sample] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)
    revisions: list[Revision] = field(default_factory=list)
    golds: dict[int, str] = field(default_factory=dict)
    inputs: int = 0
    missed: int = 0

    def settle(self) -> None:
        """Of kinds that free walks show, what the search has kept doesn't count."""
        walked = {each.kind for each in self.samples if each.free}
        self.samples = [each for each in self.samples if each.free or each.kind not in walked]
        rated = {each.kind for each in self.ratings if each.free}
        self.ratings = [each for each in self.ratings if each.free or each.kind not in rated]


def observe(
    program: Program,
    stands_for: Mapping[str, str],
    parameters: Mapping[str, object],
    known: Heards,
    number: int,
    gold: str | None,
    into: Observations,
) -> None:
    """Adds what the run of one input shows. `parameters`: its values by name. `stands_for`: see `Widened`."""
    values = {each.value.id: parameters.get(each.name, each.default) for each in program.parameters}
    values = {name: frozen(value) for name, value in values.items()}
    run = Recorded(program, known)
    run.run(values)
    Observer(program, stands_for, values, number, gold, into).take(run.written, run.rated)
    seen = {each.heard.request_id for each in run.written}
    into.missed += sum(
        each.kind == "generate" and each.request_id not in seen for at in known.answers.values() for each in at.values()
    )
    into.inputs += 1
    if gold is not None:
        into.golds[number] = gold


class Observer:
    """Makes observations of what one input's run has."""

    def __init__(
        self,
        program: Program,
        stands_for: Mapping[str, str],
        values: Mapping[str, object],
        number: int,
        gold: str | None,
        into: Observations,
    ) -> None:
        self._program = program
        self._stands_for = stands_for
        self._values = dict(values)
        self._number = number
        self._gold = gold
        self._into = into
        self._alone: dict[str, Alone] = {}
        self._golds: dict[str, frozenset[str]] = {}
        self._answers: dict[str, str | None | Hole] = {}
        """By the request that a candidate ends with."""
        self._nodes: dict[str, str] = {}

    def take(self, written: Sequence[Written], rated: Sequence[Rated]) -> None:
        for each in written:
            self._nodes[each.heard.request_id] = each.heard.node
            self._answers[each.heard.request_id] = self._answer(each)
        for each in written:
            self._sample(each)
            if each.about is not None:
                self._revision(each, each.about)
                self._verdict(each, each.about)
        for rating in rated:
            self._rated(rating)

    # --- answers ---

    def alone(self, node: str) -> Alone:
        node = self._stands_for.get(node, node)
        if node not in self._alone:
            self._alone[node] = Alone(self._program, node)
        return self._alone[node]

    def _answer(self, each: Written) -> str | None | Hole:
        if not _complete(each):
            return UNKNOWN
        return self.alone(each.heard.node).answer(each.candidate, self._values)

    def _right(self, request_id: str) -> bool | None:
        answer = self._answers.get(request_id, UNKNOWN)
        if self._gold is None or isinstance(answer, Hole):
            return None
        return answer is not None and bool(forms_of(answer) & self._gold_forms(self._nodes[request_id]))

    def _gold_forms(self, node: str) -> frozenset[str]:
        """What counts as right: the text given, as a number, and what the program reads in it."""
        if node not in self._golds:
            assert self._gold is not None
            probe = CandidateValue(ContextValue(()), text=self._gold, finish="eos", requests=("gold",), step=self._gold)
            read = self.alone(node).answer(probe, self._values)
            self._golds[node] = forms_of(self._gold) | (forms_of(read) if isinstance(read, str) else frozenset())
        return self._golds[node]

    def _kind(self, node: str, op: str, role: str) -> Kind:
        return Kind(self._stands_for.get(node, node), op, role)

    def _sample(self, each: Written) -> None:
        heard = each.heard
        self._into.samples.append(
            Sample(
                input=self._number,
                kind=self._kind(heard.node, heard.op, heard.role),
                temperature=each.candidate.temperature,
                tokens=heard.completion_tokens,
                prompt_tokens=heard.prompt_tokens,
                cut=heard.finish == "length",
                complete=_complete(each),
                steps=len(each.candidate.requests),
                text=each.candidate.text,
                answer=self._answers[heard.request_id],
                right=self._right(heard.request_id),
                first=each.about is None,
                free=heard.node in self._stands_for,
                confidence=_mean(heard.logprobs),
            )
        )

    # --- revisions and verdicts ---

    def _revision(self, each: Written, about: CandidateValue) -> None:
        before, after = self._right(about.requests[-1]), self._right(each.heard.request_id)
        if before is not None and after is not None:
            kind = Kind(each.heard.node, each.heard.op, each.heard.role)
            self._into.revisions.append(Revision(self._number, kind, before, after))

    def _verdict(self, each: Written, about: CandidateValue) -> None:
        right = self._right(about.requests[-1])
        answers = not isinstance(self._answers[each.heard.request_id], Hole)
        if right is None or (answers and each.heard.op != "judge"):
            return
        value = self._said(each)
        if not isinstance(value, Hole):
            kind = Kind(each.heard.node, each.heard.op, each.heard.role)
            self._into.ratings.append(Rating(self._number, kind, right, value))

    def _said(self, each: Written) -> bool | float | None | Hole:
        """The verdict or the grade that the program reads in this generation alone; None if it had to fall back."""
        cone = list(_cone(each.block, each.heard.node))
        ids = {each.heard.node} | {value.id for node in cone for value in results(node)}
        env = {name: value for name, value in each.env.items() if name not in ids}
        inner = self.alone(each.heard.node).within(each.block, env, each.path, each.candidate)
        for node in cone:
            if isinstance(node, Pure) and node.op == "or_else" and inner.get(node.args[0].id, UNKNOWN) is None:
                return None
        for value_id in _sinks(each.block, cone, ids):
            value = inner.get(value_id, UNKNOWN)
            if isinstance(value, tuple) and len(value) == 1:
                (value,) = value
            if isinstance(value, bool | int | float):
                return value if isinstance(value, bool) else float(value)
        return UNKNOWN

    def _rated(self, rated: Rated) -> None:
        right = self._right(rated.candidate.requests[-1])
        value = rated.value
        if isinstance(value, Mapping):
            value = next((each for each in value.values() if isinstance(each, bool)), UNKNOWN)
        if right is None or not isinstance(value, bool | int | float):
            return
        kind = self._kind(rated.node, rated.op, rated.role)
        said = value if isinstance(value, bool) else float(value)
        self._into.ratings.append(Rating(self._number, kind, right, said, rated.node in self._stands_for))


def forms_of(answer: str) -> frozenset[str]:
    """Texts that an answer equals: itself, and if it is a number, that."""
    text = answer.strip()
    number = parse_float(text.replace(",", ""))
    return frozenset({text}) if number is None else frozenset({text, f"{number:g}"})


def _complete(each: Written) -> bool:
    """Whether a candidate is whole: it ended by itself or was cut, or a text that it is written up to was found. Of one
    that is written step by step the end of a step is none.
    """
    return each.heard.finish != "stop" or each.heard.op != "branch"


def _cone(block: Block, start: str) -> Iterator[Node]:
    """The nodes of a block that read what `start` gives, directly or by others, in order."""
    reached = {start}
    for node in block.nodes:
        read = {value.id for value in operands(node)} | free_values(node)
        if read & reached:
            reached |= {value.id for value in results(node)}
            yield node


def _sinks(block: Block, cone: Sequence[Node], reached: set[str]) -> Iterator[str]:
    """Values by which a verifier may have its say, the likeliest first: what is written on a candidate as its score,
    what the block yields, a condition, the last values of all.
    """
    for node in cone:
        if isinstance(node, Pure) and node.op in ("with_score", "with_scores"):
            yield node.args[-1].id
    for value in block.yields:
        if value.id in reached:
            yield value.id
    for node in cone:
        if isinstance(node, If):
            yield node.condition.id
    for node in reversed(cone):
        for value in results(node):
            yield value.id


def _mean(logprobs: Sequence[float] | None) -> float | None:
    return math.fsum(logprobs) / len(logprobs) if logprobs else None
