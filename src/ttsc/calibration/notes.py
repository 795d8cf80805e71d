"""What a reader of a calibration should know: too few inputs, no right answers, what was not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ttsc.calibration.estimation import by_name, reference_kind
from ttsc.calibration.evaluator import Hole
from ttsc.calibration.figures import DERIVED, LEAST_INPUTS, Figure
from ttsc.calibration.observations import Observations
from ttsc.runtime.events import RunResult

_MOST_CUT = 0.02


def notes(
    at: Mapping[float | None, Observations], figures: Sequence[Figure], precision: float, failed: Sequence[RunResult]
) -> tuple[str, ...]:
    """One sentence each."""
    first = next(iter(at.values()))
    found = [*_answers(first), *_too_few(first, figures, precision), *_unseen(at), *_cut(figures)]
    if first.missed:
        found.append(f"{first.missed} answers stand in parts of the program that calibration does not follow")
    if failed:
        error = failed[0].error
        why = f"{error.code}: {error.message}" if error is not None else ""
        found.append(f"{len(failed)} runs failed, and what they had until then counts; the first with {why}")
    return tuple(found)


def _answers(observed: Observations) -> list[str]:
    kind = reference_kind(observed.samples)
    if kind is None:
        return ["no generation can be told to answer by itself: accuracy is not known, and is taken to be 0.5"]
    found = []
    here = [each for each in observed.samples if each.kind == kind and not isinstance(each.answer, Hole)]
    silent = sum(each.answer is None for each in here)
    if 2 * silent > len(here):
        found.append(f"the program reads no answer in {silent} of {len(here)} samples of {kind.op}:{kind.role}")
    if not observed.golds:
        found.append(
            "no right answers were given: accuracy is the share of an input's commonest answer, which is an upper bound"
            " where that is wrong; verifiers and revisions can't be measured"
        )
    elif len(observed.golds) < observed.inputs:
        found.append(f"{observed.inputs - len(observed.golds)} of {observed.inputs} inputs have no right answer")
    if kind.op == "branch" and not any(each.free for each in here):
        found.append("solutions were written step by step and chosen among: their accuracy is that of what was kept")
    return found


def _too_few(observed: Observations, figures: Sequence[Figure], precision: float) -> list[str]:
    """Whether intervals are wider than wanted, and the widest of them."""
    found = []
    if observed.inputs < LEAST_INPUTS:
        found.append(
            f"{observed.inputs} inputs are too few to tell how inputs differ, whatever the intervals say;"
            f" take {LEAST_INPUTS} at the least"
        )
    wide = [each for each in figures if each.inputs_needed is not None and each.inputs_needed > each.inputs]
    wide = [each for each in wide if not any(part in each.name for part in DERIVED)]
    if wide:
        worst = max(wide, key=lambda figure: figure.inputs_needed or 0)
        assert worst.low is not None and worst.high is not None
        spread = (worst.high - worst.low) / 2 / (worst.estimate if worst.unit == "tokens" else 1)
        found.append(
            f"too few inputs for what is marked; for most of all '{worst.group}: {worst.name}': {worst.inputs} give"
            f" {_plus_minus(spread, worst.unit)}, about {worst.inputs_needed} would give"
            f" {_plus_minus(precision, worst.unit)}"
        )
    return found


def _plus_minus(width: float, unit: str) -> str:
    if unit == "tokens":
        return f"± {float(f'{100 * width:.2g}'):g} %"
    return f"± {width:.2g}"


def _unseen(at: Mapping[float | None, Observations]) -> list[str]:
    found = []
    for key, ratings in by_name(each for observed in at.values() for each in observed.ratings).items():
        for right, what in ((True, "right"), (False, "wrong")):
            if not any(each.right is right and each.value is not None for each in ratings):
                found.append(f"{key} judged no {what} candidate: what it makes of them is assumed")
    for key, revised in by_name(each for observed in at.values() for each in observed.revisions).items():
        for before, what in ((True, "right"), (False, "wrong")):
            if not any(each.before is before for each in revised):
                found.append(f"{key} revised no {what} candidate: what becomes of them is assumed")
    return found


def _cut(figures: Sequence[Figure]) -> list[str]:
    """Verdicts are cut on purpose: what can't be read in what is left of them has a figure of its own."""
    return [
        f"{100 * each.estimate:.0f} % of {each.group} were cut by max_tokens: how long they would be is not known"
        for each in figures
        if each.name == "cut by max_tokens" and each.estimate > _MOST_CUT and not each.group.startswith("judge:")
    ]
