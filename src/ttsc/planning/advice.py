"""What the published allocation models say of a workload, a line each: shown by `ttsc plan`, kept in the plan's report.

They are models of their own kinds of programs. A line says which; the plan itself is chosen by the program's figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsc.compiler.cost.allocation.difficulty import ABSOLUTE, bin_of
from ttsc.compiler.cost.allocation.resampling import Kind, best_cap
from ttsc.compiler.cost.allocation.retrieval import Gains, Observation, Spending, best_spending, fit
from ttsc.compiler.cost.allocation.saturation import saturation_of
from ttsc.compiler.cost.allocation.solving_verifying import accuracy_of, best_split, crossing
from ttsc.compiler.cost.allocation.temperatures import best_grid, coverage
from ttsc.compiler.cost.closed.prediction import skilled
from ttsc.compiler.cost.closed.voting import Votes, wrong_answers
from ttsc.compiler.cost.workload import Verdicts, Workload, of_kind
from ttsc.errors import Problem, UsageError

if TYPE_CHECKING:
    from ttsc.planning.variants import Variant

GAIN = 0.001
"""Saturation: a sample that adds less coverage than this adds next to nothing."""
_MOST = 256


def advice(variant: Variant, samples: int | None, wrong_costs: float) -> list[str]:
    """samples: of the chosen setting, if it has a pool. wrong_costs: what a wrong answer costs where a right one is
    worth 1 and none 0.
    """
    workload = variant.workload
    return [
        *_saturation(workload),
        *_difficulty(workload),
        *_temperatures(workload, samples or 8),
        *_split(variant, samples or 8),
        *_resampling(workload, wrong_costs),
    ]


def _saturation(workload: Workload) -> Iterator[str]:
    point = saturation_of([each.accuracy for each in workload.questions], GAIN)
    yield f"saturation (TTSPM): after {point} samples the next adds less than {GAIN:.1%} of inputs with a right one"


def _difficulty(workload: Workload) -> Iterator[str]:
    shares = [0.0] * (len(ABSOLUTE) + 1)
    for each in workload.questions:
        shares[bin_of(each.accuracy, ABSOLUTE)] += each.weight
    whole = sum(shares)
    hard, medium, easy = (share / whole for share in shares)
    yield f"difficulty (pass@1 below 10%, 50%, above): {hard:.0%} hard, {medium:.0%} medium, {easy:.0%} easy"


def _temperatures(workload: Workload, samples: int) -> Iterator[str]:
    writing = of_kind(workload.writing, "", "sample", "")
    if writing is None:
        return
    measured = {row.temperature for each in workload.questions for row in each.by_temperature}
    measured |= {degrees for degrees, _ in writing.by_temperature}
    if len(measured) < 2:
        return
    chances = {
        degrees: [skilled(each.at(degrees).accuracy, writing.skill_at(degrees)) for each in workload.questions]
        for degrees in sorted(measured)
    }
    spread = {degrees: count for degrees, count in best_grid(chances, samples).items() if count}
    hit = coverage(chances, spread)
    said = ", ".join(f"{count} at {degrees:g}" for degrees, count in spread.items())
    yield f"temperatures: of {samples} samples {said} have a right one most often ({hit:.1%} of inputs)"


def _split(variant: Variant, samples: int) -> Iterator[str]:
    """Solving or verifying at the cost of `samples` solutions."""
    workload = variant.workload
    verdicts = _verdicts(workload)
    solving, judging = of_kind(workload.writing, "", "sample", ""), of_kind(workload.writing, "", "judge", "")
    if verdicts is None or solving is None or judging is None or not solving.tokens.mean:
        return
    relative = judging.tokens.mean / solving.tokens.mean
    accuracy = accuracy_of(workload.questions, verdicts, Votes(wrong_answers(workload.collision), _MOST))
    best = best_split(accuracy, samples, relative)
    where = crossing(accuracy, relative)
    if best is not None:
        way = "a vote" if best.verdicts == 0 else f"{best.verdicts} verdicts on each"
        yield (
            f"solving or verifying: for the cost of {samples} solutions {best.solutions} solutions and {way}"
            f" ({best.accuracy:.1%}); a verdict costs {relative:.2g} solutions"
        )
    if where is None:
        yield f"solving or verifying: up to {_MOST} solutions a vote stays the better"
    else:
        yield (
            f"solving or verifying: verdicts beat a vote of the same cost from {where.cost:.3g} solutions on"
            f" ({where.solutions} with {where.verdicts} each)"
        )


def _resampling(workload: Workload, wrong_costs: float) -> Iterator[str]:
    verdicts = _verdicts(workload)
    if verdicts is None:
        return
    whole = sum(each.weight for each in workload.questions)
    kinds = [Kind(each.weight / whole, each.accuracy) for each in workload.questions]
    complete, sound = verdicts.true_positive, 1 - verdicts.false_positive
    cap = best_cap(kinds, complete, sound, 1.0, -wrong_costs, most=_MOST)
    often = "no sample at all" if cap.samples == 0 else f"{cap.samples} samples" if cap.samples > 1 else "1 sample"
    more = " or more" if cap.samples == _MOST else ""
    yield f"resampling until accepted: {often}{more} at most, if a wrong answer costs {wrong_costs:g} (fLaws, exact)"


def _verdicts(workload: Workload) -> Verdicts | None:
    return of_kind(workload.verdicts, "", "judge", "")


def retrieval_advice(path: Path, limit: float | None, lengths: Mapping[str, float]) -> list[str]:
    """The fit of observed runs of a program with documents, shots and rounds, and the best of the observed grid.

    Each line of the file: {"documents", "shots", "rounds", "accuracy", "document_gain", "shot_gain"}. `lengths`:
    tokens of a "document" and a "shot"; with a `limit` of context tokens. Raises `UsageError` (E0581).
    """
    observations = list(_observations(path))
    try:
        model = fit(observations)
    except ValueError as error:
        raise UsageError(Problem("E0581", f"{path}: {error}", "run the program at more settings")) from None
    tasks = list(dict.fromkeys(each.gains for each in observations))
    axes = [
        sorted({getattr(each.spending, name) for each in observations}) for name in ("documents", "shots", "rounds")
    ]
    grid = [Spending(*each) for each in product(*axes)]

    def fits(each: Spending) -> bool:
        length = each.documents * lengths.get("document", 0) + each.shots * lengths.get("shot", 0)
        return limit is None or length <= limit

    best = best_spending(model, tasks, grid, fits)
    lines = [f"retrieval (DRAG): fitted to {len(observations)} runs, logits off by {model.residual:.2g}"]
    if best is None:
        return [*lines, f"retrieval: no setting fits into {limit:g} tokens"]
    mean = sum(model.accuracy(best, gains) for gains in tasks) / len(tasks)
    return [
        *lines,
        f"retrieval: {best.documents} documents, {best.shots} shots, {best.rounds} rounds are best ({mean:.1%})",
    ]


_COUNTS = ("documents", "shots", "rounds")
_SHARES = ("accuracy", "document_gain", "shot_gain")


def _observations(path: Path) -> Iterator[Observation]:
    try:
        lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
        raise UsageError(Problem("E0581", f"{path} can't be read: {why}", "name a JSON-lines file")) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            counts = [int(row[name]) for name in _COUNTS]
            accuracy, document, shot = (float(row[name]) for name in _SHARES)
        except (ValueError, TypeError, KeyError):
            hint = f"each line has {', '.join((*_COUNTS, *_SHARES))}"
            raise UsageError(Problem("E0581", f"{path}:{number} is no observation", hint)) from None
        yield Observation(Spending(*counts), Gains(document, shot), accuracy)
