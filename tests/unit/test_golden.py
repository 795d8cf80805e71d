"""What every stage makes of every program: the files under `golden/programs/` are read in review, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.ir.reader import read
from ttsc.compiler.plan.printer import print_plan
from ttsc.compiler.semantics.dump import print_typed
from ttsc.driver import compile_file
from ttsc.grammar.dump import dump

PROGRAMS = Path(__file__).parents[2] / "programs"
FILES = sorted(PROGRAMS.glob("*.tts"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
@pytest.mark.parametrize("stage", ["ast", "typed", "ir", "ir-opt", "plan"])
def test_stage(path: Path, stage: str, golden: Callable[[str, str], None]) -> None:
    compiled = compile_file(path)
    text = {
        "ast": lambda: dump(compiled.checked.tree),
        "typed": lambda: print_typed(compiled.checked),
        "ir": lambda: print_program(compiled.built),
        "ir-opt": lambda: print_program(compiled.plan.program),
        "plan": lambda: print_plan(compiled.plan),
    }[stage]()
    golden(f"programs/{path.stem}.{stage}.txt", text)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_ir_of_a_program_reads_back(path: Path) -> None:
    compiled = compile_file(path)
    for program in (compiled.built, compiled.plan.program):
        assert read(print_program(program)) == program
