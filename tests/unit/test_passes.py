"""Each pass on its fixture, the pipeline's shape, and the runner."""

from __future__ import annotations

from pathlib import Path

import pytest

import ttsc.compiler.passes
from ttsc.compiler.ir.nodes import Program
from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.ir.reader import read
from ttsc.compiler.ir.verify import verify
from ttsc.compiler.passes import runner
from ttsc.compiler.passes.pass_ import Context, Pass
from ttsc.compiler.passes.pipeline import PIPELINE
from ttsc.compiler.passes.runner import UnknownPass, find_pass, run_passes
from ttsc.grammar.diagnostics import InternalError

FIXTURES = Path(__file__).parent.parent / "passes"
NOT_PASSES = {"__init__", "pass_", "pipeline", "runner"}


def cases(name: str) -> list[tuple[str, str]]:
    parts = (FIXTURES / f"{name}.ir").read_text(encoding="utf-8").split("----\n")
    assert len(parts) % 2 == 0, f"{name}.ir: a case is a program before and a program after"
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param(each.name, before, after, id=f"{each.name}: {before.splitlines()[0].lstrip('# ')}")
        for each in PIPELINE
        for before, after in cases(each.name)
    ],
)
def test_fixture(name: str, before: str, after: str) -> None:
    run = find_pass(name).run
    program = read(before)
    verify(program)
    result = run(program, Context())
    verify(result)
    assert print_program(result) == after
    assert run(result, Context()) is result, "a second run changes nothing and keeps the program itself"


def test_every_file_is_listed_once_and_has_a_fixture() -> None:
    files = {path.stem for folder in ttsc.compiler.passes.__path__ for path in Path(folder).glob("*.py")}
    names = [each.name for each in PIPELINE]
    assert sorted(names) == sorted(files - NOT_PASSES)
    assert {path.stem for path in FIXTURES.glob("*.ir")} == set(names)
    for each in PIPELINE:
        assert each.run.__name__ == each.name
        doc = __import__(each.run.__module__, fromlist=["x"]).__doc__ or ""
        assert "Preserves: " in doc and "Why here: " in doc and "→" in doc
        assert f"Preserves: {each.preserves}" in doc


def test_order_and_levels_hold() -> None:
    seen: dict[str, Pass] = {}
    for each in PIPELINE:
        for name in each.after:
            assert name in seen, f"{each.name} runs before {name}"
            assert (seen[name].level or 0) <= (each.level or 2), f"{each.name} needs {name}, which may not run"
        seen[each.name] = each


SMALL = """
program small(%question: str, %n: int = 4, %style: str = "plain") -> str {
  model policy
  %turn1 = turn system "Be {{ style }}." (style=%style)
  %turn2 = turn %turn1 user "{{ q }}" (q=%question)
  %sample1 = generate sample %turn2 x %n model=policy : list[Candidate]
  %map1 = map %sample1 as %x1: Candidate {
    %p1 = field[text](%x1) : str
    %p2 = last_boxed(%p1) : str?
    yield %p2
  } : list[str?]
  %vote1 = select vote %map1 rule majority(ties=first, invalid=drop) : str
  yield %vote1
}
"""


def test_levels() -> None:
    program = read(SMALL)
    nothing = run_passes(program, 0)
    assert nothing.program is program and nothing.names == () and nothing.timings == ()
    assert run_passes(program, 1).names == tuple(p.name for p in PIPELINE if p.level == 1)
    optimized, names, timings = run_passes(program, 2)
    assert names == tuple(p.name for p in PIPELINE if p.level) == tuple(name for name, _ in timings)
    assert all(seconds >= 0 for _, seconds in timings)
    assert "early" in print_program(optimized)


def test_what_has_no_level_runs_where_it_is_enabled() -> None:
    asked_for = [p.name for p in PIPELINE if p.level is None]
    assert asked_for
    for level in (1, 2):
        assert set(run_passes(read(SMALL), level, enabled=asked_for).names) >= set(asked_for)  # type: ignore[arg-type]
        assert not set(run_passes(read(SMALL), level).names) & set(asked_for)  # type: ignore[arg-type]
    assert "decide_early" in run_passes(read(SMALL), 1, enabled=["decide_early"]).names
    assert run_passes(read(SMALL), 0, enabled=asked_for).names == ()
    assert run_passes(read(SMALL), 2, asked_for, enabled=asked_for).names == run_passes(read(SMALL), 2).names
    with pytest.raises(UnknownPass):
        run_passes(read(SMALL), 2, enabled=["speculation"])


def test_disabled_and_after() -> None:
    seen: list[tuple[str, Program]] = []
    ran = run_passes(read(SMALL), 2, ["decide_early"], after=lambda name, program: seen.append((name, program)))
    assert "decide_early" not in ran.names and [name for name, _ in seen] == list(ran.names)
    assert seen[-1][1] is ran.program
    assert "early" not in print_program(ran.program)


def test_unknown_pass() -> None:
    with pytest.raises(UnknownPass) as caught:
        run_passes(read(SMALL), 0, ["fold_constant"])
    assert caught.value.message == "there is no pass `fold_constant`"
    assert caught.value.hint == "did you mean `fold_constants`?"
    with pytest.raises(UnknownPass) as caught:
        find_pass("xyz")
    assert "the passes are fold_constants, " in caught.value.hint


def test_a_pass_that_breaks_an_invariant_or_raises_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(program: Program, context: Context) -> Program:
        return read("program broken() -> int {\n  %c = const true : int\n  %d = const 1.5 : int\n  yield %d\n}")

    def raises(program: Program, context: Context) -> Program:
        raise KeyError("lost")

    monkeypatch.setattr(runner, "PIPELINE", (Pass("breaks", breaks, "rewrite", 1),))
    with pytest.raises(InternalError, match="after pass `breaks`"):
        run_passes(read(SMALL), 1)
    monkeypatch.setattr(runner, "PIPELINE", (Pass("raises", raises, "rewrite", 1),))
    with pytest.raises(InternalError, match="pass `raises` failed: KeyError"):
        run_passes(read(SMALL), 1)


def test_partial_evaluation() -> None:
    context = Context({"style": "terse", "question": "1+1?"})
    program = run_passes(read(SMALL), 2, context=context).program
    text = print_program(program)
    assert '%turn1 = turn system literal "Be terse."' in text
    assert '%turn2 = turn %turn1 user literal "1+1?"' in text
    assert "x %n" in text and len(program.parameters) == 3
    number = "program p(%x: float, %given_x: float) -> float {\n  %p = add(%x, %given_x) : float\n  yield %p\n}"
    folded = find_pass("fold_constants").run(read(number), Context({"x": 1}))
    assert "%given_x_ = const 1.0 : float" in print_program(folded)
    assert find_pass("fold_constants").run(folded, Context({"x": 1})) is folded
