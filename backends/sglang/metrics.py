"""A server's counters: the Prometheus text of /metrics, read into numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*$")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of /metrics."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


def parse_metrics(text: str) -> tuple[Sample, ...]:
    """Every sample of a Prometheus exposition. Comments and lines that are not samples are left out."""
    samples: list[Sample] = []
    for line in text.splitlines():
        match = None if line.startswith("#") else _SAMPLE.match(line)
        if match is None:
            continue
        name, labels, number = match.groups()
        try:
            value = float(number)
        except ValueError:
            continue
        samples.append(Sample(name, tuple(_LABEL.findall(labels or "")), value))
    return tuple(samples)


def totals(samples: tuple[Sample, ...]) -> dict[str, float]:
    """Each metric's value, summed over its labels (ranks, workers, modes)."""
    sums: dict[str, float] = {}
    for sample in samples:
        sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
