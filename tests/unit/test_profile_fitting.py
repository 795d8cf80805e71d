"""The fit of a profile recovers what was planted, also through noise, and never says a negative time."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from ttsc.compiler.cost.profile import Curve, FittedSteps
from ttsc.compiler.cost.steps import Chunk
from ttsc.profiling.fitting import fit_overheads, fit_steps
from ttsc.profiling.nonnegative import nonnegative_least_squares
from ttsc.profiling.observations import (
    Apart,
    Arrival,
    DecodeSpan,
    Departure,
    Measured,
    PrefillBatch,
    Settling,
    Streamed,
)

PLANTED = FittedSteps(
    decode_rows=Curve(((1, 0.024), (4, 0.030), (16, 0.048), (64, 0.180))),
    decode_context=Curve(((1, 1.5e-6), (64, 0.9e-6))),
    prefill_tokens=Curve(((4, 0.030), (64, 0.090), (1024, 1.600))),
    prefill_sequence=0.0004,
    prefill_pair=4e-7,
)
Noise = Callable[[], float]


def spans(noise: Noise, repeats: int) -> list[DecodeSpan]:
    found = []
    for rows in (1, 4, 16, 64):
        for length in (64, 512):
            context, steps = rows * length, 16
            seconds = PLANTED.decode(rows).span(rows, context + rows, steps)
            found += [DecodeSpan(rows, context, steps, seconds * noise()) for _ in range(repeats)]
    return found


def batches(noise: Noise, repeats: int) -> list[PrefillBatch]:
    shapes = [[Chunk(new, 0)] for new in (4, 16, 64, 256, 1024)]
    shapes += [[Chunk(new, past)] for new in (4, 64, 256) for past in (512, 2048)]
    shapes += [[Chunk(new, 0)] * count for new in (4, 64) for count in (4, 16)]
    return [PrefillBatch(tuple(shape), PLANTED.prefill(shape) * noise()) for shape in shapes for _ in range(repeats)]


def agree(found: FittedSteps, error: float) -> None:
    for rows in (1, 2, 8, 32, 64):
        for context in (50 * rows, 600 * rows):
            assert found.decode(rows).seconds(context) == pytest.approx(
                PLANTED.decode(rows).seconds(context), rel=error
            )
    for chunks in ([Chunk(4, 0)], [Chunk(500, 300)], [Chunk(30, 100)] * 8, [Chunk(1024, 1024)]):
        assert found.prefill(chunks) == pytest.approx(PLANTED.prefill(chunks), rel=error)


def test_what_was_planted_is_found() -> None:
    found, residuals = fit_steps(Measured(spans(lambda: 1.0, 1), batches(lambda: 1.0, 1)))
    agree(found, 1e-6)
    assert [(each.part, each.observations) for each in residuals] == [("decode", 8), ("prefill", 15)]
    assert all(each.worst < 1e-6 for each in residuals)


def test_it_is_found_through_noise_and_stalls() -> None:
    source = random.Random(5)

    def noise() -> float:
        return source.lognormvariate(0, 0.03) * (4.0 if source.random() < 0.05 else 1.0)

    found, residuals = fit_steps(Measured(spans(noise, 5), batches(noise, 5)))
    agree(found, 0.10)
    assert all(each.median < 0.05 for each in residuals)


def test_nothing_is_negative() -> None:
    """Batches that get faster as they grow would need a falling curve."""
    falling = [DecodeSpan(1, 10, 10, 0.5), DecodeSpan(8, 80, 10, 0.3)]
    growing = [PrefillBatch((Chunk(10, 0),), 0.5), PrefillBatch((Chunk(100, 0),), 0.2)]
    found, _residuals = fit_steps(Measured(falling, growing))
    curves = (found.decode_rows, found.decode_context, found.prefill_tokens)
    assert all(y >= 0 for curve in curves for _x, y in curve.points)
    assert all(a[1] <= b[1] for curve in curves[::2] for a, b in zip(curve.points, curve.points[1:], strict=False))


def test_overheads_are_told_apart() -> None:
    counts = (1, 8, 32)
    measured = Measured(
        arrivals=[Arrival(each, 0.0055 + 0.0002 * each) for each in counts],
        departures=[Departure(each, 0.004 + 0.0003 * each) for each in counts],
        direct_arrivals=[Arrival(each, 0.0035 + 0.0001 * each) for each in counts],
        direct_departures=[Departure(each, 0.003 + 0.0001 * each) for each in counts],
        apart=[Apart(32, 0.010, 0.010 + 31 * 0.0015)],
        streamed=[Streamed(100, 0.5, 0.52)],
    )
    overheads, _residuals = fit_overheads(measured)
    assert overheads.post_s == pytest.approx(0.0015)
    assert overheads.request_s == pytest.approx(0.0002)
    assert overheads.answer_s == pytest.approx(0.0003)
    assert overheads.round_trip_s == pytest.approx(0.005)
    assert overheads.token_s == pytest.approx(0.0002)


def test_what_a_scheduler_does_after_a_prefill_is_the_prefills() -> None:
    counts = (1, 8, 32)
    measured = Measured(
        spans(lambda: 1.0, 1),
        batches(lambda: 1.0, 1),
        settling=[Settling(each, 0.005 + 0.0004 * each) for each in counts],
        direct_departures=[Departure(each, 0.003 + 0.0001 * each) for each in counts],
    )
    found, _residuals = fit_steps(measured)
    chunks = [Chunk(16, 0)] * 4
    assert found.prefill(chunks) == pytest.approx(PLANTED.prefill(chunks) + 0.002 + 4 * 0.0003, rel=1e-4)


def test_an_unconstrained_optimum_is_left_only_where_it_is_negative() -> None:
    matrix = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    assert nonnegative_least_squares(matrix, np.array([3.0, 5.0, 7.0])) == pytest.approx([1.0, 2.0])
    # The unconstrained solution is (4, -1); without the second unknown the mean is best.
    assert nonnegative_least_squares(matrix, np.array([3.0, 2.0, 1.0])) == pytest.approx([2.0, 0.0])
    assert nonnegative_least_squares(matrix, np.array([-1.0, -1.0, -2.0])) == pytest.approx([0.0, 0.0])


def test_random_problems_meet_the_conditions_of_an_optimum() -> None:
    """Karush, Kuhn, Tucker: no descent left along an unknown, none at all along those that are not 0."""
    source = np.random.default_rng(7)
    for _ in range(200):
        matrix, values = source.normal(size=(12, 6)), source.normal(size=12)
        found = nonnegative_least_squares(matrix, values)
        gradient = matrix.T @ (values - matrix @ found)
        assert (found >= 0).all() and (gradient <= 1e-7).all()
        assert np.abs(gradient[found > 1e-9]).max(initial=0) < 1e-7
