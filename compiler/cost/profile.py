"""A measured engine as the cost model sees it: step times that were fitted to it, and the file they are kept in.

`ttsc engine profile` measures and writes; `--profile FILE` reads. The file is TOML, made to be read by people: each
curve is a list of points, each fit says by how much it misses what was measured.
"""

from __future__ import annotations

import bisect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from ttsc.compiler.cost.steps import Chunk, DecodeStep, Limits, Machine, Overheads

FORMAT = 1

Fields = TypeVar("Fields", Overheads, Limits)


class ProfileUnreadable(Exception):
    """The text is no profile. `message` says where and why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Curve:
    """A piecewise linear function through `points` (x, y), x ascending: the first y before them, the last slope behind
    them.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.points or any(a[0] >= b[0] for a, b in zip(self.points, self.points[1:], strict=False)):
            raise ValueError("a curve is at least one point, in ascending order")

    def at(self, x: float) -> float:
        points = self.points
        place = bisect.bisect_right(points, x, key=lambda point: point[0])
        if place == 0 or len(points) == 1:
            return points[0][1]
        (x0, y0), (x1, y1) = points[place - 1 : place + 1] if place < len(points) else points[-2:]
        return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@dataclass(frozen=True, slots=True)
class FittedSteps:
    """Step times of a measured engine; all in seconds. A `StepModel`.

    decode_rows: of a decode step by its sequences, without attention to what they hold. decode_context: for each token
    that they hold, by its sequences. prefill_tokens: of a prefill batch by its new tokens. prefill_sequence: for each
    prompt in it. prefill_pair: for each pair of a new token and one that it attends to.
    """

    decode_rows: Curve
    decode_context: Curve
    prefill_tokens: Curve
    prefill_sequence: float
    prefill_pair: float

    def decode(self, rows: int) -> DecodeStep:
        return DecodeStep(self.decode_rows.at(rows), self.decode_context.at(rows))

    def prefill(self, chunks: Sequence[Chunk]) -> float:
        tokens = sum(chunk.new for chunk in chunks)
        pairs = sum(pairs_of(chunk) for chunk in chunks)
        return self.prefill_tokens.at(tokens) + self.prefill_sequence * len(chunks) + self.prefill_pair * pairs


def pairs_of(chunk: Chunk) -> float:
    """(token, context token) pairs of a chunk, causal."""
    return chunk.new * chunk.past + chunk.new * (chunk.new + 1) / 2


@dataclass(frozen=True, slots=True)
class Residual:
    """How well a part of the fit meets what it was fitted to: absolute errors relative to the measured time, over
    `observations` (each the median of its repeats).
    """

    part: str
    observations: int
    median: float
    worst: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What was measured of one engine. `device`: as it calls itself; `engine`: what serves, with its version; `date`:
    ISO, of the measurement. `dollars_per_hour`: what the machine costs, if somebody wrote it into the file.
    """

    name: str
    model: str
    device: str
    engine: str
    date: str
    steps: FittedSteps
    overheads: Overheads
    limits: Limits
    residuals: tuple[Residual, ...] = ()
    dollars_per_hour: float | None = None

    def to_machine(self) -> Machine:
        hourly = self.dollars_per_hour
        return Machine(
            name=self.name,
            model=self.model,
            steps=self.steps,
            limits=self.limits,
            overheads=self.overheads,
            dollars_per_s=None if hourly is None else hourly / 3600,
            source=f"profile of {self.date}",
        )


_WORDS = ("name", "model", "device", "engine", "date")
_CURVES = ("decode_rows", "decode_context", "prefill_tokens")
_RATES = ("prefill_sequence", "prefill_pair")


def profile_text(profile: Profile) -> str:
    """The profile as TOML; `read_profile` gives it back."""
    import tomli_w

    steps = profile.steps
    data: dict[str, Any] = {"format": FORMAT, **{name: getattr(profile, name) for name in _WORDS}}
    if profile.dollars_per_hour is not None:
        data["dollars_per_hour"] = profile.dollars_per_hour
    data["limits"] = {each.name: getattr(profile.limits, each.name) for each in fields(Limits)}
    data["overheads"] = {each.name: _short(getattr(profile.overheads, each.name)) for each in fields(Overheads)}
    data["residuals"] = [
        {
            "part": each.part,
            "observations": each.observations,
            "median": _short(each.median),
            "worst": _short(each.worst),
        }
        for each in profile.residuals
    ]
    # A point a line is what a writer of TOML makes of a curve; a curve a line can be read.
    lines = ["", "[steps]", *(f"{name} = {_short(getattr(steps, name))!r}" for name in _RATES)]
    for name in _CURVES:
        curve: Curve = getattr(steps, name)
        lines.append(f"{name} = [{', '.join(f'[{_plain(x)}, {_short(y)!r}]' for x, y in curve.points)}]")
    return _HEAD + tomli_w.dumps(data) + "\n".join(lines) + "\n"


_HEAD = """\
# An engine's speed, measured by `ttsc engine profile`. Times are in seconds; docs/profile.md says what each entry is.
# `dollars_per_hour = 2.5`, written before the first [table], gives costs in money as well.
"""


def read_profile(text: str) -> Profile:
    """The profile that a file's text describes. Raises `ProfileUnreadable`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileUnreadable(f"it is not TOML: {error}") from error
    if "format" not in data:
        raise ProfileUnreadable("'format' is missing")
    if data["format"] != FORMAT:
        raise ProfileUnreadable(f"'format' is {data['format']!r}; this version reads {FORMAT}")
    words = {name: _entry(data, name, str) for name in _WORDS}
    steps = _entry(data, "steps", dict, "[steps]")
    curves = {name: _curve(_entry(steps, name, list), f"steps.{name}") for name in _CURVES}
    rates = {name: _number(_entry(steps, name, object), f"steps.{name}") for name in _RATES}
    residuals = tuple(_residual(each) for each in data.get("residuals", ()))
    hourly = data.get("dollars_per_hour")
    return Profile(
        **words,
        steps=FittedSteps(
            curves["decode_rows"],
            curves["decode_context"],
            curves["prefill_tokens"],
            rates["prefill_sequence"],
            rates["prefill_pair"],
        ),
        overheads=_read_fields(Overheads(), _entry(data, "overheads", dict, "[overheads]"), "overheads"),
        limits=_read_limits(_entry(data, "limits", dict, "[limits]")),
        residuals=residuals,
        dollars_per_hour=None if hourly is None else _number(hourly, "dollars_per_hour"),
    )


def _short(value: float) -> float:
    """Four digits: more than any measurement has."""
    return float(f"{value:.4g}")


def _plain(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _entry(table: Mapping[str, Any], name: str, kind: type, shown: str = "") -> Any:
    if name not in table:
        raise ProfileUnreadable(f"'{shown or name}' is missing")
    if not isinstance(table[name], kind):
        raise ProfileUnreadable(f"'{shown or name}' is {table[name]!r}, which is no {_KINDS[kind]}")
    return table[name]


_KINDS: Mapping[type, str] = {
    str: "text",
    int: "whole number",
    dict: "table",
    list: "list of points [x, seconds]",
    object: "value",
}


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ProfileUnreadable(f"'{name}' is {value!r}; it must be a number that is not negative")
    return float(value)


def _curve(points: list[Any], name: str) -> Curve:
    pairs: list[tuple[float, float]] = []
    for point in points:
        if not isinstance(point, list) or len(point) != 2:
            raise ProfileUnreadable(f"'{name}' has the point {point!r}; points are [x, seconds]")
        pairs.append((_number(point[0], name), _number(point[1], name)))
    try:
        return Curve(tuple(pairs))
    except ValueError as error:
        raise ProfileUnreadable(f"'{name}': {error}") from error


def _read_limits(table: Mapping[str, Any]) -> Limits:
    for name in ("kv_tokens", "running", "context_tokens"):
        _entry(table, name, int, f"limits.{name}")
    limits = Limits(table["kv_tokens"], table["running"], table["context_tokens"])
    return _read_fields(limits, table, "limits")


def _read_fields(default: Fields, table: Mapping[str, Any], where: str) -> Fields:
    known = {each.name for each in fields(default)}
    for name in table:
        if name not in known:
            raise ProfileUnreadable(f"'{where}.{name}' is unknown; there are {', '.join(sorted(known))}")
    values: dict[str, Any] = {name: _number(value, f"{where}.{name}") for name, value in table.items()}
    if isinstance(default, Limits):
        values = {name: int(value) for name, value in values.items()}
    return replace(default, **values)


def _residual(table: Any) -> Residual:
    if not isinstance(table, dict):
        raise ProfileUnreadable(f"'residuals' has {table!r}; it must be tables")
    return Residual(
        part=_entry(table, "part", str, "residuals.part"),
        observations=_entry(table, "observations", int, "residuals.observations"),
        median=_number(table.get("median"), "residuals.median"),
        worst=_number(table.get("worst"), "residuals.worst"),
    )
