"""Print what holds, from the data that are there."""

from __future__ import annotations

from benchmarks.strategies.claims import claims_section
from benchmarks.strategies.entries import read
from benchmarks.strategies.page import measured

print(claims_section({entry.label: data for entry, data in measured(read())}))
