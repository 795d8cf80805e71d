"""What calibration tells a person: each figure with its interval, and how many inputs would be enough."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ttsc.calibration.estimation import by_name, entropy, reference_kind
from ttsc.calibration.evaluator import Hole
from ttsc.calibration.intervals import Interval, mean, rate
from ttsc.calibration.observations import Observations, Rating, Sample
from ttsc.calibration.verifiers import EDGES, auc, calibration, numbers, verdict_counts

DERIVED = ("right at least once", "the commonest of", ", accuracy ", "no answer")
"""Beginnings or parts of names of figures that no workload is made of."""

LEAST_INPUTS = 10
"""With fewer the spread between inputs is anybody's guess, whatever the interval says."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `group`: the kind of request it is of. `unit`: "share", "tokens", "bits", "" for plain
    numbers. `inputs_needed`: for an interval of plus and minus the wanted precision (of lengths and numbers relative to
    the estimate); None where there is no interval.
    """

    group: str
    name: str
    unit: str
    estimate: float
    low: float | None
    high: float | None
    samples: int
    inputs: int
    inputs_needed: int | None
    note: str = ""


def figures(at: Mapping[float | None, Observations], precision: float) -> tuple[Figure, ...]:
    """Of observations at some temperatures. `precision`: the half width of an interval that is narrow enough."""
    maker = _Maker(precision)
    first = next(iter(at.values()))
    kind = reference_kind(first.samples)
    for temperature, observed in at.items():
        here = [each for each in observed.samples if each.kind == kind and not isinstance(each.answer, Hole)]
        maker.answers(here, temperature if len(at) > 1 else None)
    for key, samples in by_name(first.samples, pooled=False).items():
        maker.writing(key, samples)
    accuracies = _accuracies(each for each in first.samples if each.kind == kind)
    for key, ratings in by_name((each for observed in at.values() for each in observed.ratings), pooled=False).items():
        maker.ratings(key, ratings, accuracies)
    for key, found in by_name((e for observed in at.values() for e in observed.revisions), pooled=False).items():
        maker.rate(key, "wrong ones made right", _counts((e.input, e.after) for e in found if not e.before))
        maker.rate(key, "right ones made wrong", _counts((e.input, not e.after) for e in found if e.before))
    return tuple(maker.found)


class _Maker:
    def __init__(self, precision: float) -> None:
        self._precision = precision
        self.found: list[Figure] = []

    def rate(self, group: str, name: str, counts: Iterable[tuple[int, int]], note: str = "") -> None:
        interval = rate(list(counts))
        if interval is not None:
            needed = interval.enough(self._precision)
            self._add(group, name, "share", interval, needed, note)

    def mean(self, group: str, name: str, unit: str, values: Mapping[int, Sequence[float]], note: str = "") -> None:
        interval = mean(values)
        if interval is None:
            return
        scale = abs(interval.estimate) if unit == "tokens" else 1.0
        bounded = interval.inputs > 1 and scale > 0 and unit == "tokens"
        needed = interval.enough(self._precision * scale) if bounded else None
        self._add(group, name, unit, interval, needed, note)

    def _add(self, group: str, name: str, unit: str, found: Interval, needed: int | None, note: str) -> None:
        known = found.inputs > 1
        low, high = (found.low, found.high) if known else (None, None)
        if low is not None and unit in ("tokens", "bits"):
            low = max(0.0, low)
        self.found.append(
            Figure(
                group,
                name,
                unit,
                found.estimate,
                low,
                high,
                found.samples,
                found.inputs,
                needed if known else None,
                note,
            )
        )

    def answers(self, samples: Sequence[Sample], temperature: float | None) -> None:
        group = "answers" if temperature is None else f"answers, T = {temperature:g}"
        judged = [each for each in samples if each.right is not None]
        self.rate(group, "right", _counts((each.input, bool(each.right)) for each in judged))
        if judged:
            by_input = _grouped(judged)
            ever = [(int(any(each.right for each in found)), 1) for found in by_input.values()]
            size = min(map(len, by_input.values()))
            self.rate(group, f"right at least once in {size}", ever)
            self.rate(group, f"the commonest of {size} right", [(int(_majority(f)), 1) for f in by_input.values()])
        self.rate(group, "no answer", _counts((each.input, each.answer is None) for each in samples))
        bits = {number: [entropy(found)] for number, found in _grouped(samples).items()}
        self.mean(group, "entropy of an input's answers", "bits", bits)

    def writing(self, key: str, samples: Sequence[Sample]) -> None:
        tokens: dict[int, list[float]] = defaultdict(list)
        prompts: dict[int, list[float]] = defaultdict(list)
        for each in samples:
            tokens[each.input].append(each.tokens)
            prompts[each.input].append(each.prompt_tokens)
        self.mean(key, "tokens of a generation", "tokens", tokens)
        self.mean(key, "tokens of its prompt", "tokens", prompts)
        cut = [(each.input, each.cut) for each in samples]
        if any(each for _, each in cut):
            self.rate(key, "cut by max_tokens", _counts(cut), "what is beyond it is not known")

    def ratings(self, key: str, ratings: Sequence[Rating], accuracies: Mapping[int, float]) -> None:
        self.rate(key, "right ones accepted", verdict_counts(ratings, True).values())
        self.rate(key, "wrong ones accepted", verdict_counts(ratings, False).values())
        if any(isinstance(each.value, bool) for each in ratings):
            for low, high in zip(EDGES, (*EDGES[1:], 1.01), strict=True):
                here = [each for each in ratings if low <= accuracies.get(each.input, -1) < high]
                name = f"accuracy {low:g} to {min(high, 1):g}"
                self.rate(key, f"right accepted, {name}", verdict_counts(here, True).values())
                self.rate(key, f"wrong accepted, {name}", verdict_counts(here, False).values())
            if any(each.value is None for each in ratings):
                self.rate(key, "no verdict", _counts((each.input, each.value is None) for each in ratings))
        self.mean(key, "number of right ones", "", numbers(ratings, True))
        self.mean(key, "number of wrong ones", "", numbers(ratings, False))
        area = auc(ratings)
        if area is not None:
            size, inputs = len(ratings), len({each.input for each in ratings})
            self.found.append(Figure(key, "right above wrong (AUC)", "share", area, None, None, size, inputs, None))
            for number, share, count in calibration(ratings):
                self.found.append(
                    Figure(
                        key, f"right where it says about {number:.3g}", "share", share, None, None, count, inputs, None
                    )
                )


def _accuracies(samples: Iterable[Sample]) -> dict[int, float]:
    judged = _grouped(each for each in samples if each.right is not None)
    return {number: sum(bool(each.right) for each in found) / len(found) for number, found in judged.items()}


def _grouped(samples: Iterable[Sample]) -> dict[int, list[Sample]]:
    found: dict[int, list[Sample]] = defaultdict(list)
    for each in samples:
        found[each.input].append(each)
    return found


def _majority(samples: Sequence[Sample]) -> bool:
    """Whether the commonest answer is right; of equally common ones the first."""
    votes: dict[object, int] = defaultdict(int)
    for each in samples:
        if each.answer is not None:
            votes[each.answer] += 1
    if not votes:
        return False
    leader = max(votes, key=votes.__getitem__)
    return any(each.answer == leader and each.right for each in samples)


def _counts(found: Iterable[tuple[int, bool]]) -> list[tuple[int, int]]:
    """Hits and all, by input."""
    counts: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for number, hit in found:
        hits, size = counts[number]
        counts[number] = (hits + hit, size + 1)
    return list(counts.values())
