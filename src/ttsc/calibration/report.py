"""A calibration as text, within 100 columns, and as JSON data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ttsc.calibration.calibrate import Calibration
from ttsc.calibration.figures import Figure

VERSION = 1
_WIDTH = 100
_NAME = 44


def as_json(found: Calibration) -> dict[str, Any]:
    """The figures and the notes; the workload is a file of its own."""
    return {
        "version": VERSION,
        "workload": found.workload.name,
        "workload_hash": found.workload.hash,
        "precision": found.precision,
        "inputs": found.inputs,
        "asked": found.asked,
        "taken": found.taken,
        "failed": found.failed,
        "figures": [asdict(each) for each in found.figures],
        "notes": list(found.notes),
    }


def as_text(found: Calibration) -> str:
    """A table of the figures by kind, then the notes."""
    return "\n".join([*_table(found), *_notes(found)])


def _table(found: Calibration) -> Iterator[str]:
    share = f"{found.precision:g}"
    yield f"{'':{_NAME}}{'estimate':>9}  {'95 % interval':>17}{'samples':>9}{'inputs':>8}{'± ' + share:>11}"
    group = None
    for each in found.figures:
        if each.group != group:
            group = each.group
            yield group
        yield _line(each)
    yield ""
    percent = f"{100 * found.precision:g}"
    yield from textwrap.wrap(
        f"± {share}: how many inputs would make the interval so narrow (of tokens: ± {percent} %), with as many samples"
        " of each; ! where there are fewer.",
        _WIDTH,
    )


def _line(each: Figure) -> str:
    number = _number(each.estimate, each.unit)
    between = ""
    if each.low is not None and each.high is not None:
        between = f"{_number(each.low, each.unit)} to {_number(each.high, each.unit)}"
    needed = ""
    if each.inputs_needed is not None:
        needed = f"{each.inputs_needed}{' !' if each.inputs_needed > each.inputs else '  '}"
    name = textwrap.shorten(each.name, _NAME - 3, placeholder="…")
    return f"  {name:{_NAME - 2}}{number:>9}  {between:>17}{each.samples:>9}{each.inputs:>8}{needed:>11}".rstrip()


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.3f}"
    return (
        f"{value:.1f}"
        if unit == "tokens" and abs(value) < 1000
        else f"{value:.3g}"
        if unit != "tokens"
        else f"{value:.0f}"
    )


def _notes(found: Calibration) -> Iterator[str]:
    if found.notes:
        yield ""
    for each in found.notes:
        yield from textwrap.wrap(f"note: {each}", _WIDTH, subsequent_indent="      ")
