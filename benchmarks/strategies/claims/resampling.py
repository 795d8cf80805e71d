"""The claim about resampling until an imperfect verifier accepts (Inference Scaling fLaws, 2411.17501).

A verifier accepts right solutions with rate c and wrong ones with rate f; problem i is solved by one sample with
probability r_i, so a draw is refused with probability b_i = (1 - c) r_i + (1 - f)(1 - r_i). Within K draws it ends with
a right answer with probability c r_i (1 - b_i^K) / (1 - b_i), with a wrong one with probability
f (1 - r_i) (1 - b_i^K) / (1 - b_i), and abstains otherwise. c, f and r_i are measured on pools of other samples. A
right answer is worth 1, a wrong one less its cost, and none nothing.
"""

from __future__ import annotations

import numpy

from benchmarks.strategies.claims.answers import golds, rates
from benchmarks.strategies.claims.claim import Examined, Found
from benchmarks.strategies.data_file import Measured
from benchmarks.strategies.statistics import Estimate, mean

DRAWS = (1, 2, 4, 8, 16)
COSTS = (1.0, 2.0, 4.0)
"""What a wrong answer costs, in right ones: published, but for 0 and 8."""
PREDICTED = 0.8
"""Share of the figures that the formula is to predict within their intervals."""
THRESHOLD = 0.5
"""Score from which a solution is accepted, as in the entries."""
_RUNS = {"prm": "resample_until_verified", "prm_weak": "resample-prm_weak", "prm_biased": "resample-prm_biased"}
"""Models, the best one first, and the runs with them."""
_POOL = "pool-one-temperature"


def verifier_rates(pool: Measured) -> tuple[float, float]:
    """How often right and wrong candidates are accepted."""
    accepted: dict[bool, list[bool]] = {True: [], False: []}
    for candidates, gold in zip(pool.values, golds(pool), strict=True):
        for answer, score in candidates:
            accepted[answer == gold].append(answer is not None and score >= THRESHOLD)
    return float(numpy.mean(accepted[True])), float(numpy.mean(accepted[False]))


def gathered(pool: Measured, f: float) -> float:
    """How the accepted wrong candidates vary between problems, in the variance that chance would give: Pearson's
    chi-squared over its degrees of freedom, 1 if every problem has the rate f.
    """
    found = []
    for candidates, gold in zip(pool.values, golds(pool), strict=True):
        wrong = [answer is not None and score >= THRESHOLD for answer, score in candidates if answer != gold]
        if wrong and 0 < f < 1:
            found.append((sum(wrong) - f * len(wrong)) ** 2 / (len(wrong) * f * (1 - f)))
    return float(numpy.mean(found)) if found else 1.0


def predicted(right: numpy.ndarray, c: float, f: float, draws: int, cost: float) -> numpy.ndarray:
    """Expected utility within so many draws, by problem."""
    refused = (1 - c) * right + (1 - f) * (1 - right)
    reach = numpy.where(refused < 1 - 1e-12, (1 - refused**draws) / numpy.maximum(1e-12, 1 - refused), draws)
    return (c * right - cost * f * (1 - right)) * reach


def utilities(run: Measured, draws: int, cost: float) -> numpy.ndarray:
    """Of a run with many draws, by problem, had it ended after so many: its k-th call of the policy is its k-th
    draw.
    """
    calls = run.roles["policy.calls"]
    shown = zip(run.right, run.figures["answered"], calls, strict=True)
    return numpy.array([(right - cost * (answered - right)) * (n <= draws) for right, answered, n in shown])


def _bends(found: Found) -> tuple[bool, str, tuple[tuple[str, ...], ...]]:
    right = rates(found[_POOL])
    table: list[tuple[str, ...]] = [
        ("a wrong one costs", "verifier", *(f"K = {k}" for k in DRAWS), "best K, predicted", "best K")
    ]
    inside = dict.fromkeys(COSTS, 0)
    falls: list[tuple[float, str, Estimate]] = []
    known = {model: verifier_rates(found[f"pool-{model}"]) for model in _RUNS}
    for cost in COSTS:
        for model, label in _RUNS.items():
            expected = [float(predicted(right, *known[model], k, cost).mean()) for k in DRAWS]
            seen = [mean(utilities(found[label], k, cost)) for k in DRAWS]
            pairs = list(zip(seen, expected, strict=True))
            inside[cost] += sum(each.low <= value <= each.high for each, value in pairs)
            best, measured_best = (
                DRAWS[int(numpy.argmax(values))] for values in (expected, [each.value for each in seen])
            )
            shown = [f"{each.number()}, predicted {value:.2f}" for each, value in pairs]
            table.append((f"{cost:g}", f"`{model}`", *shown, str(best), str(measured_best)))
            if best < DRAWS[-1]:
                change = mean(utilities(found[label], DRAWS[-1], cost) - utilities(found[label], best, cost))
                falls.append((cost, model, change))
    strongest = next(iter(_RUNS))
    of_weaker = [change for cost, model, change in falls if cost == COSTS[-1] and model != strongest]
    bent = len(of_weaker) == len(_RUNS) - 1 and all(change.high < 0 for change in of_weaker)
    varies = [gathered(found[f"pool-{model}"], f) for model, (_, f) in known.items()]
    cells = len(DRAWS) * len(_RUNS)
    holds = bent and inside[COSTS[-1]] >= PREDICTED * cells
    rates_said = ", ".join(f"`{model}` {c:.2f} of right and {f:.2f} of wrong ones" for model, (c, f) in known.items())
    said = (
        f"Accepted are, of all samples: {rates_said}. Wanted: where a wrong answer costs {COSTS[-1]:g} right ones, as "
        f"published, sixteen draws are surely worth less than the best number that the formula says, for every "
        f"verifier weaker than `{strongest}`, and the formula predicts {PREDICTED:.0%} of the figures there. The "
        f"curves {'bend' if bent else 'do not surely bend'}. From that best K to {DRAWS[-1]}: "
        + "; ".join(f"`{model}` at a cost of {cost:g} {change.number()}" for cost, model, change in falls)
        + ". Figures that the formula predicts within their intervals: "
        + ", ".join(f"{count} of {cells} at a cost of {cost:g}" for cost, count in inside.items())
        + ". It has one c and one f for all problems. Here the wrong solutions that are accepted gather in some of "
        f"them (their number varies {min(varies):.1f} to {max(varies):.1f} times as much as by chance), so more draws "
        "harm less than it says, the more so the dearer a wrong answer is."
    )
    return holds, said, tuple(table)


CLAIMS = (
    Examined(
        "A weaker verifier's curve bends down as the imperfect-verifier formula says",
        (_POOL, *(f"pool-{model}" for model in _RUNS), *_RUNS.values()),
        _bends,
    ),
)
