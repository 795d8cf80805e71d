"""The benchmark of the passes: every pass has a line, on which it gains what it says and changes no value."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ttsc.compiler.passes.pipeline import PIPELINE

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "passes.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_of_passes", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


BENCHMARK = _loaded()


def test_every_pass_has_a_line() -> None:
    assert sorted(case.name for case in BENCHMARK.CASES) == sorted(each.name for each in PIPELINE)


@pytest.mark.parametrize("case", BENCHMARK.CASES, ids=lambda case: case.name)
def test_the_pass_gains_what_it_says(case: object) -> None:
    used, unused = BENCHMARK.counted(case, True), BENCHMARK.counted(case, False)
    assert used.values == unused.values
    measure = case.shows  # type: ignore[attr-defined]
    assert getattr(used, measure) < 0.9 * getattr(unused, measure), (measure, used, unused)
    assert used.requests <= unused.requests and used.decoded <= unused.decoded
