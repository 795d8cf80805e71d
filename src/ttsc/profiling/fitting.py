"""From what was measured to a profile's numbers: non-negative least squares of relative errors.

Times of a step: fixed + something by its rows (piecewise linear, never falling) + something for each token of context.
Times of a prefill batch: by its new tokens (the same), for each prompt, for each (token, context token) pair. What is
measured several times counts as its median: a busy machine only ever makes things slower, and now and then by a lot.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ttsc.compiler.cost.profile import Curve, FittedSteps, Residual, pairs_of
from ttsc.compiler.cost.steps import Overheads
from ttsc.profiling.nonnegative import nonnegative_least_squares
from ttsc.profiling.observations import Arrival, DecodeSpan, Departure, Measured, PrefillBatch, Settling

Observed = TypeVar("Observed", DecodeSpan, PrefillBatch, Settling, Arrival, Departure)
Requests = TypeVar("Requests", Settling, Arrival, Departure)


def fit_steps(measured: Measured) -> tuple[FittedSteps, tuple[Residual, ...]]:
    """Step times from what was measured, and by how much they miss it.

    What a burst takes beside steps and its way back is the scheduler's, between a prefill batch and the next step:
    `settling` beyond `departures` is added to the prefill batch.
    """
    spans = _medians(measured.decode, lambda each: (each.rows, each.context, each.steps))
    batches = _medians(measured.prefill, _shape)
    rows, context = _fit_decode(spans)
    tokens, sequence, pair = _fit_prefill(batches)
    steps = FittedSteps(rows, context, tokens, sequence, pair)
    decode_errors = [
        _error(each.steps * steps.decode_rows.at(each.rows) + steps.decode_context.at(each.rows) * each.reads, each)
        for each in spans
    ]
    prefill_errors = [_error(steps.prefill(each.chunks), each) for each in batches]
    residuals = (*_residual("decode", decode_errors), *_residual("prefill", prefill_errors))
    fixed, each_more = _beyond(measured.settling, measured.direct_departures)
    raised = Curve(tuple((x, y + fixed) for x, y in tokens.points))
    return FittedSteps(rows, context, raised, sequence + each_more, pair), residuals


def _shape(batch: PrefillBatch) -> tuple[object, ...]:
    """Equal for batches of nearly the same size: a few tokens may be cached by chance."""
    return tuple(sorted((_coarse(chunk.new), _coarse(chunk.past)) for chunk in batch.chunks))


def _coarse(tokens: int) -> int:
    """Whole quarters of a power of 2; 0 for what is next to nothing."""
    return 0 if tokens < 2 else round(4 * math.log2(tokens))


def _beyond(settling: Sequence[Settling], departures: Sequence[Departure]) -> tuple[float, float]:
    """What bursts that decode take more than those that end with their first token, fixed and for each request."""
    if not settling or not departures:
        return 0.0, 0.0
    more = _line(_by_requests(settling))
    less = _line(_by_requests(departures))
    return max(0.0, more[0] - less[0]), max(0.0, more[1] - less[1])


def fit_overheads(measured: Measured) -> tuple[Overheads, tuple[Residual, ...]]:
    """What requests cost beside steps, and by how much that misses what was measured.

    What each request costs is a program's; what they cost together is the way's alone: a program begins and ends once,
    and its requests may go there and back many times.
    """
    coming, going = _by_requests(measured.arrivals), _by_requests(measured.departures)
    (begin, request), (end, answer) = _line(coming), _line(going)
    there, back = _line(_by_requests(measured.direct_arrivals)), _line(_by_requests(measured.direct_departures))
    post = _median([max(0.0, each.apart_s - each.together_s) / (each.messages - 1) for each in measured.apart])
    overheads = Overheads(
        request_s=request,
        token_s=_median([max(0.0, each.stream_s - each.plain_s) / each.tokens for each in measured.streamed]),
        round_trip_s=max(0.0, there[0] - post) + back[0],
        post_s=post,
        answer_s=answer,
    )
    in_errors = [_error(begin + request * each.requests, each) for each in coming]
    out_errors = [_error(end + answer * each.requests, each) for each in going]
    return overheads, (*_residual("requests in", in_errors), *_residual("answers out", out_errors))


def _by_requests(observed: Sequence[Requests]) -> list[Requests]:
    return _medians(observed, lambda each: (each.requests,))


def _line(observed: Sequence[Requests]) -> tuple[float, float]:
    """Seconds fixed, and for each request."""
    if not observed:
        return 0.0, 0.0
    fixed, each = _solve([(1.0, one.requests) for one in observed], observed)
    return fixed, each


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def _fit_decode(spans: Sequence[DecodeSpan]) -> tuple[Curve, Curve]:
    """Seconds by rows, and for each token of context at the fewest and the most rows."""
    if not spans:
        return Curve(((1, 0.0),)), Curve(((1, 0.0),))
    knots = sorted({each.rows for each in spans})
    first, last = knots[0], knots[-1]
    lines = []
    for each in spans:
        share = (each.rows - first) / (last - first) if last > first else 0.0
        ramps = [each.steps * ramp for ramp in _ramps(each.rows, knots)]
        lines.append((*ramps, (1 - share) * each.reads, share * each.reads))
    *heights, near, far = _solve(lines, spans)
    ends = ((first, near), (last, far)) if last > first else ((first, near),)
    return _curve(knots, heights), Curve(ends)


def _fit_prefill(batches: Sequence[PrefillBatch]) -> tuple[Curve, float, float]:
    """Seconds by new tokens, for each prompt, for each pair."""
    if not batches:
        return Curve(((0, 0.0),)), 0.0, 0.0
    knots = _spread(sorted({each.tokens for each in batches}))
    lines = [
        (*_ramps(each.tokens, knots), len(each.chunks), sum(pairs_of(chunk) for chunk in each.chunks))
        for each in batches
    ]
    *heights, sequence, pair = _solve(lines, batches)
    return _curve(knots, heights), sequence, pair


def _spread(values: Sequence[int]) -> list[int]:
    """Those of ascending values that lie apart by a half of the smaller one: knots with enough around each."""
    kept = [values[0]]
    for value in values[1:]:
        if value >= 1.5 * kept[-1]:
            kept.append(value)
    if kept[-1] != values[-1]:
        kept[-1] = values[-1]
    return kept


def _ramps(x: float, knots: Sequence[float]) -> list[float]:
    """1 for the height at the first knot, then how much of each piece lies below x; the last piece goes on."""
    pieces = [
        min(max(x - low, 0.0), high - low) if high != knots[-1] else max(x - low, 0.0)
        for low, high in zip(knots, knots[1:], strict=False)
    ]
    return [1.0, *pieces]


def _curve(knots: Sequence[int], heights: Sequence[float]) -> Curve:
    """The curve with this height at the first knot, and these slopes from each knot to the next."""
    points, height = [(float(knots[0]), heights[0])], heights[0]
    for low, high, slope in zip(knots, knots[1:], heights[1:], strict=False):
        height += slope * (high - low)
        points.append((float(high), height))
    return Curve(tuple(points))


def _solve(lines: Sequence[Sequence[float]], observed: Sequence[Observed]) -> list[float]:
    """Unknowns that are not negative and minimise the squares of relative errors; 0 for all without observations."""
    if not lines:
        raise ValueError("nothing was measured")
    import numpy as np

    seconds = np.array([each.seconds for each in observed])
    weighted = np.array(lines, dtype=float) / seconds[:, None]
    return [float(each) for each in nonnegative_least_squares(weighted, np.ones(len(seconds)))]


def _medians(observed: Sequence[Observed], key: Callable[[Observed], tuple[object, ...]]) -> list[Observed]:
    """One of each kind: the one in the middle of its repeats."""
    groups: dict[tuple[object, ...], list[Observed]] = {}
    for each in observed:
        if each.seconds > 0:
            groups.setdefault(key(each), []).append(each)
    return [sorted(group, key=lambda each: each.seconds)[(len(group) - 1) // 2] for group in groups.values()]


def _error(predicted_s: float, observed: Observed) -> float:
    return abs(predicted_s - observed.seconds) / observed.seconds


def _residual(part: str, errors: Iterable[float]) -> tuple[Residual, ...]:
    found = list(errors)
    return (Residual(part, len(found), statistics.median(found), max(found)),) if found else ()
