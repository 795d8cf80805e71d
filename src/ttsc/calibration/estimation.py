"""From observations to a workload."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median_low, stdev
from typing import Protocol, TypeVar

from ttsc.calibration.evaluator import Hole
from ttsc.calibration.observations import Kind, Observations, Rating, Revision, Sample, forms_of
from ttsc.calibration.verifiers import rewards, verdicts
from ttsc.compiler.cost.distributions import Lengths
from ttsc.compiler.cost.workload import (
    AtTemperature,
    Confidence,
    Question,
    Revisions,
    Rewards,
    Verdicts,
    Workload,
    Writing,
)
from ttsc.compiler.cost.workload_file import LEAST_COLLISION

MOST_LENGTHS = 512
"""Values that a distribution of lengths is written with at most; of more, so many quantiles."""
_LEAST_APART = 20
"""Samples that a node must have to get an entry of its own beside that of its kind."""
_FORMS = ("\\boxed{{{answer}}}", "Answer: {answer}", "{answer}")
_LONGEST_FORM = 60


class _HasKind(Protocol):
    @property
    def kind(self) -> Kind: ...


K = TypeVar("K", bound=_HasKind)
E = TypeVar("E")


def reference_kind(samples: Sequence[Sample]) -> Kind | None:
    """The kind whose samples say how accurate the model is: complete solutions that follow from nothing but the input,
    where there are any. Of several kinds the one that wrote most.
    """
    for wanted in (_is_solution, _is_answer):
        counts = Counter(each.kind for each in samples if wanted(each))
        if counts:
            return max(counts, key=lambda kind: (counts[kind], kind))
    return None


def _is_solution(sample: Sample) -> bool:
    return (sample.free or (sample.kind.op == "sample" and sample.first)) and _is_answer(sample)


def _is_answer(sample: Sample) -> bool:
    return sample.complete and sample.kind.op != "judge" and not isinstance(sample.answer, Hole)


def workload(
    name: str,
    at: Mapping[float | None, Observations],
    reads: Callable[[str, str], str | None] | None = None,
) -> Workload:
    """The workload that observations at some temperatures show; figures that hold for one are those of the first.

    `reads(node, text)`: the answer that the program would read in a text of that node.
    """
    first = next(iter(at.values()))
    kind = reference_kind(first.samples)
    solutions = [each for each in first.samples if each.kind == kind and _is_answer(each)]
    questions = _questions(first, solutions)
    accuracies = {number: question.accuracy for number, question in questions.items()}
    writing = {key: _writing(each, reads) for key, each in by_name(first.samples).items()}
    if kind is not None:
        solved = _writing([each for each in first.samples if each.kind == kind], reads)
        names = [f"{kind.op}:{kind.role}", "default", *([kind.node] if kind.node in writing else [])]
        writing.update(dict.fromkeys(names, solved))
        if len(at) > 1 and first.golds:
            questions = _warmed(questions, at, kind)
        for key, each in by_name([each for each in first.samples if _is_solution(each)]).items():
            if key not in names and first.golds:
                writing[key] = replace(writing[key], skill=skill(accuracies, each))
    ratings = by_name([each for observed in at.values() for each in observed.ratings])
    revised = by_name([each for observed in at.values() for each in observed.revisions])
    return Workload(
        name=name,
        questions=tuple(questions[number] for number in sorted(questions)) or (Question(0.5),),
        writing=writing,
        verdicts=_with_default(_verdicts(ratings, accuracies)),
        rewards=_with_default(_rewards(ratings)),
        revisions=_with_default({key: revisions(each) for key, each in revised.items()}),
        confidence=_confidence(solutions),
        collision=max(LEAST_COLLISION, collision(solutions)),
        samples=sum(len(observed.samples) for observed in at.values()),
    )


def by_name(observed: Iterable[K], pooled: bool = True) -> dict[str, list[K]]:
    """By "OP:ROLE" or a host function's name, and by node where several nodes of that kind have enough samples; not
    `pooled`: by node alone there, if all have.
    """
    found: dict[str, list[K]] = defaultdict(list)
    nodes: dict[str, dict[str, list[K]]] = defaultdict(lambda: defaultdict(list))
    for each in observed:
        key = each.kind.role if each.kind.op == "extern" else f"{each.kind.op}:{each.kind.role}"
        found[key].append(each)
        nodes[key][each.kind.node].append(each)
    for key, apart in nodes.items():
        large = {node: each for node, each in apart.items() if len(each) >= _LEAST_APART}
        if len(apart) > 1:
            found.update(large)
            if not pooled and len(large) == len(apart):
                del found[key]
    return dict(found)


# --- answers ----------------------------------------------------------------------------------------------------------


def _questions(observed: Observations, solutions: Sequence[Sample]) -> dict[int, Question]:
    by_input: dict[int, list[Sample]] = defaultdict(list)
    for each in solutions:
        by_input[each.input].append(each)
    return {number: _question(each, observed.golds.get(number)) for number, each in by_input.items()}


def _question(samples: Sequence[Sample], gold: str | None) -> Question:
    """Right answers count as one, written as most are; without a gold answer the commonest stands for it."""
    texts = Counter(each.answer or "" for each in samples if not isinstance(each.answer, Hole))
    right = Counter(each.answer for each in samples if each.right and isinstance(each.answer, str))
    size = len(samples)
    if gold is not None:
        for text in right:
            del texts[text]
        gold = max(right, key=lambda text: (right[text], text)) if right else gold
        if right:
            texts[gold] = right.total()
        hits = right.total()
    else:
        hits = max((count for text, count in texts.items() if text), default=0)
    answers = tuple((text, _share(count, size)) for text, count in sorted(texts.items(), key=lambda t: (-t[1], t[0])))
    prompt = median_low([each.prompt_tokens for each in samples])
    return Question(_share(hits, size), answers, gold, prompt or None)


def _share(count: int, size: int) -> float:
    """Rounded down, so that shares never sum up to more than 1."""
    return math.floor(count / size * 1e6) / 1e6


def collision(samples: Iterable[Sample]) -> float:
    """The chance that two wrong answers to one input agree, each pair counting alike; 0 if there is no pair."""
    wrong: dict[int, Counter[str]] = defaultdict(Counter)
    for each in samples:
        if each.right is False and isinstance(each.answer, str):
            wrong[each.input][each.answer] += 1
    pairs = sum(counts.total() * (counts.total() - 1) for counts in wrong.values())
    equal = sum(count * (count - 1) for counts in wrong.values() for count in counts.values())
    return equal / pairs if pairs else 0.0


def entropy(samples: Sequence[Sample]) -> float:
    """Of one input's answers, in bits; no answer counts as one."""
    counts = Counter(each.answer for each in samples)
    return -math.fsum(n / len(samples) * math.log2(n / len(samples)) for n in counts.values())


def skill(accuracies: Mapping[int, float], samples: Sequence[Sample]) -> float:
    """How much better samples are than `accuracies`: the shift of all inputs, on the logit scale, to their mean."""
    by_input: dict[int, list[bool]] = defaultdict(list)
    for each in samples:
        if each.input in accuracies and each.right is not None:
            by_input[each.input].append(each.right)
    if not by_input:
        return 0.0
    wanted = math.fsum(sum(each) / len(each) for each in by_input.values()) / len(by_input)
    size = max(map(len, by_input.values()))
    edge = 1 / (2 * size)
    bases = [_logit(min(1 - edge, max(edge, accuracies[number]))) for number in by_input]
    low, high = -12.0, 12.0
    for _ in range(60):
        shift = (low + high) / 2
        reached = math.fsum(1 / (1 + math.exp(-base - shift)) for base in bases) / len(bases)
        low, high = (shift, high) if reached < wanted else (low, shift)
    return round((low + high) / 2, 4)


def _warmed(
    questions: Mapping[int, Question], at: Mapping[float | None, Observations], kind: Kind
) -> dict[int, Question]:
    """The same inputs with what their samples are like at each temperature at which they have some."""
    rows: dict[int, list[AtTemperature]] = defaultdict(list)
    for temperature, observed in at.items():
        if temperature is not None:
            here = [each for each in observed.samples if each.kind == kind and _is_answer(each)]
            for number, each in _questions(observed, here).items():
                rows[number].append(AtTemperature(temperature, each.accuracy, each.answers))
    warm = {number: tuple(sorted(found, key=lambda each: each.temperature)) for number, found in rows.items()}
    return {number: replace(each, by_temperature=warm.get(number, ())) for number, each in questions.items()}


# --- kinds ------------------------------------------------------------------------------------------------------------


def _writing(samples: Sequence[Sample], reads: Callable[[str, str], str | None] | None) -> Writing:
    temperatures = {each.temperature for each in samples}
    steps = _steps(samples) if samples[0].kind.op == "branch" else None
    return Writing(
        tokens=lengths([each.tokens + each.cut for each in samples]),
        steps=steps,
        answer=_form(samples, reads),
        temperature=temperatures.pop() if len(temperatures) == 1 else None,
    )


def lengths(values: Sequence[int]) -> Lengths:
    """Of so many tokens each. What was cut comes as one token more than it was allowed, the least it can have been."""
    ordered = sorted(values)
    if ordered[0] == ordered[-1]:
        return Lengths((ordered[0],))
    if len(ordered) > MOST_LENGTHS:
        ordered = [ordered[int((i + 0.5) * len(ordered) / MOST_LENGTHS)] for i in range(MOST_LENGTHS)]
    return Lengths(tuple(ordered))


def _steps(samples: Sequence[Sample]) -> Lengths | None:
    """Of solutions that ended by themselves."""
    found = [each.steps for each in samples if each.complete and not each.cut]
    return lengths(found) if found else None


def _form(samples: Sequence[Sample], reads: Callable[[str, str], str | None] | None) -> str:
    """How texts end with their answer: the commonest last line that has it, if the program reads the answer in it."""
    found: Counter[str] = Counter()
    for each in samples:
        if not isinstance(each.answer, str) or not each.complete:
            continue
        line = each.text.rstrip().rpartition("\n")[2]
        before, answer, after = line.rpartition(each.answer)
        if answer and len(line) - len(answer) <= _LONGEST_FORM:
            found[f"{_escaped(before)}{{answer}}{_escaped(after)}"] += 1
    answered = [each for each in samples if isinstance(each.answer, str)]
    for form in (*(form for form, _ in found.most_common(3)), *_FORMS):
        if answered and reads is not None:
            tried = answered[0]
            assert isinstance(tried.answer, str)
            read = reads(tried.kind.node, "so\n" + form.format(answer=tried.answer))
            if read is not None and forms_of(read) & forms_of(tried.answer):
                return form
    return Writing(Lengths((1,))).answer


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _verdicts(ratings: Mapping[str, Sequence[Rating]], accuracies: Mapping[int, float]) -> dict[str, Verdicts]:
    said = {key: [each for each in found if not isinstance(each.value, float)] for key, found in ratings.items()}
    yes_no = {key: found for key, found in said.items() if any(isinstance(each.value, bool) for each in found)}
    return {key: verdicts(found, accuracies) for key, found in yes_no.items()}


def _rewards(ratings: Mapping[str, Sequence[Rating]]) -> dict[str, Rewards]:
    found: dict[str, Rewards] = {}
    for key, each in ratings.items():
        entry = rewards(each, bounded=each[0].kind.op != "reward")
        if entry is not None:
            found[key] = entry
    return found


def revisions(found: Sequence[Revision]) -> Revisions:
    """A rate that nothing was seen of is the one that a workload has by default."""
    assumed = Revisions()
    wrong = [each.after for each in found if not each.before]
    right = [not each.after for each in found if each.before]
    return Revisions(
        fixes=sum(wrong) / len(wrong) if wrong else assumed.fixes,
        breaks=sum(right) / len(right) if right else assumed.breaks,
    )


def _confidence(samples: Sequence[Sample]) -> dict[str, Confidence]:
    groups = {
        right: [each.confidence for each in samples if each.right is right and each.confidence is not None]
        for right in (True, False)
    }
    if len(groups[True]) < 2 or len(groups[False]) < 2:
        return {}
    return {"default": Confidence(fmean(groups[True]), stdev(groups[True]), fmean(groups[False]), stdev(groups[False]))}


def _with_default(table: dict[str, E]) -> dict[str, E]:
    """What a program asks of models that this one did not: as the first of the kinds that were seen."""
    of_models = [each for key, each in table.items() if ":" in key]
    return {**table, "default": of_models[0]} if of_models else table


def _logit(p: float) -> float:
    return math.log(p / (1 - p))
