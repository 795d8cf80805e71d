"""The drawings of the page, as coordinates: a timeline of one input, a histogram over inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ttsc.estimates.figures import Bar, Estimate
from ttsc.explaining.quantities import amount, seconds

Color = Callable[[str], int]
"""A node's colour, by its number."""

_WIDTH, _LEFT = 1060.0, 170.0
_TOP = 26.0
_ROW, _LANE = 9.0, 150.0
_BINS = 24


def timeline_chart(estimate: Estimate, color: Color) -> dict[str, Any] | None:
    """Lanes of bars, a lane for each node; None if nothing was asked."""
    whole = max((bar.start_s + bar.seconds for bar in estimate.timeline), default=0.0)
    whole = max(whole, sum(leg.seconds for leg in estimate.critical))
    if whole <= 0:
        return None
    scale = (_WIDTH - _LEFT - 8) / whole

    def x(time_s: float) -> float:
        return round(_LEFT + time_s * scale, 2)

    y = _TOP
    lanes = []
    for node in estimate.nodes:
        mine = [bar for bar in estimate.timeline if bar.node == node.id]
        if not mine:
            continue
        places, rows = _stacked(mine)
        step = min(_ROW, _LANE / rows)
        bars = [
            {
                "x": x(bar.start_s),
                "y": round(y + place * step, 2),
                "width": max(1.0, round(bar.seconds * scale, 2)),
                "height": round(max(0.8, step - (1.5 if step > 4 else 0.2)), 2),
                "cut": bar.finish == "abort",
                "title": _bar_title(bar),
            }
            for bar, place in zip(mine, places, strict=True)
        ]
        legs = [
            {"x": x(leg.start_s), "width": max(1.0, round(leg.seconds * scale, 2)), "title": seconds(leg.seconds)}
            for leg in estimate.critical
            if leg.node == node.id
        ]
        name = f"{node.op}()" if node.kind == "extern" else node.id
        lanes.append(
            {
                "name": name if len(name) <= 22 else name[:21] + "…",
                "color": color(node.id),
                "label_y": round(y + min(rows * step, 14), 2),
                "critical_y": round(y + rows * step + 1, 2),
                "bars": bars,
                "legs": legs,
            }
        )
        y += max(rows * step, 14) + 14
    return {"seconds": seconds(whole), "lanes": lanes, "height": round(y), "ticks": _ticks(whole, x)}


def _stacked(bars: list[Bar]) -> tuple[list[int], int]:
    """For each bar the lowest row that is free when it begins, and how many rows there are."""
    free: list[float] = []
    places = []
    for bar in bars:
        end = bar.start_s + bar.seconds
        row = next((i for i, reached in enumerate(free) if reached <= bar.start_s + 1e-12), len(free))
        if row == len(free):
            free.append(end)
        else:
            free[row] = end
        places.append(row)
    return places, max(1, len(free))


def _bar_title(bar: Bar) -> str:
    parts = [bar.node, seconds(bar.seconds)]
    if bar.prompt_tokens:
        parts.append(f"{bar.prompt_tokens:,} prompt tokens, {bar.cached_tokens:,} cached")
    if bar.decoded_tokens:
        parts.append(f"{bar.decoded_tokens:,} decoded")
    return " · ".join([*parts, bar.finish])


def _ticks(whole: float, x: Callable[[float], float]) -> list[dict[str, Any]]:
    step = _round_step(whole / 6)
    count = int(whole / step + 1e-9)
    return [
        {"x": x(i * step), "label": seconds(i * step), "anchor": "start" if i == 0 else "middle"}
        for i in range(count + 1)
        if x(i * step) < _WIDTH - 20
    ]


def _round_step(about: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(about))
    return float(next(power * each for each in (1, 2, 5, 10) if power * each >= about * 0.999))


def histogram_chart(estimate: Estimate) -> dict[str, Any]:
    """Of the inputs' seconds."""
    values = [sample.seconds for sample in estimate.samples]
    low, high = min(values, default=0.0), max(values, default=0.0)
    base, width = 110.0, 480.0
    bins = _BINS if high > low * 1.001 else 1
    counts = [0] * bins
    for value in values:
        place = 0 if bins == 1 else min(bins - 1, int((value - low) / (high - low) * bins))
        counts[place] += 1
    most = max(counts, default=1) or 1
    each = width / bins
    span = (high - low) / bins
    bars = [
        {
            "x": round(place * each + 1, 2),
            "y": round(base - count / most * (base - 8), 2),
            "width": round(min(each - 2, 60), 2),
            "height": round(count / most * (base - 8), 2),
            "title": f"{amount(count)} inputs: {seconds(low + place * span)} to {seconds(low + (place + 1) * span)}",
        }
        for place, count in enumerate(counts)
        if count
    ]
    ticks = [{"x": 0, "label": seconds(low), "anchor": "start"}]
    if bins > 1:
        ticks.append({"x": width / 2, "label": seconds((low + high) / 2), "anchor": "middle"})
        ticks.append({"x": width, "label": seconds(high), "anchor": "end"})
    return {"bars": bars, "base": base, "height": base + 22, "ticks": ticks}
