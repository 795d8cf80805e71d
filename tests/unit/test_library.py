"""Every strategy of the standard library keeps the library's promises: short, documented, tested, free of the task's
prompts, bounded, and the same value at every level. Its IR and plan lie under `golden/library/`.

That its `test` blocks hold is seen in `test_program_blocks.py`, that it compiles on another task in
`test_strategies_page.py`; what it is worth is measured on the test bed.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import ttsc
from ttsc import stdlib
from ttsc.backends.protocol import Sampling
from ttsc.backends.scripted import ScriptedEngine
from ttsc.compiler.bounds import worst_case
from ttsc.compiler.ir.printer import print_program
from ttsc.compiler.plan.printer import print_plan
from ttsc.compiler.semantics.check import Checked, check
from ttsc.compiler.values.types import Interval, ListOf, OptionalOf, RecordType, Type
from ttsc.grammar.format import format_source
from ttsc.library import open_source

ROOT = Path(__file__).parents[2]
MOST_LINES = 40
"""Lines of code that a program's body may have, its parameters not counted."""
LONGER = {"entropic_particle_filter": 41, "parallel_tempering": 56, "mutual_reasoning": 84}
"""Those that have more: a schedule of temperatures, swaps of chains, and rStar's five kinds of action."""
OPTIONS = {"temperature", "top_p", "top_k", "min_p", "max_tokens"}
"""Options of generation, which docs/language.md explains; so are limits, whose names end in `_tokens`."""
FAMILIES = [family for family in stdlib.FAMILIES if family != "tools"]
NAMES = [name for family in FAMILIES for name in stdlib.names(family)]
PAPER = re.compile(r"\b\d{4}\.\d{4,5}\b|\"The [A-Z]")
"""An arXiv id, or the title of a paper whose id the sources do not give."""
VALUES: dict[str, Any] = {"str": "2 + 2?", "int": 2, "float": 0.5, "bool": True}


@cache
def checked(name: str) -> Checked:
    return check(*open_source(f"std:{name}"))


@cache
def compiled(name: str, program: str, level: ttsc.Level = 2) -> ttsc.CompiledProgram:
    return ttsc.compile(f"std:{name}", program, level)


def text_of(name: str) -> str:
    text = stdlib.text(name)
    assert text is not None
    return text


PROGRAMS = [(name, each) for name in NAMES for each in re.findall(r"^program (\w+)\(", text_of(name), re.MULTILINE)]


@pytest.fixture
def code_lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    monkeypatch.syspath_prepend(ROOT)
    counted: Callable[[str], int] = importlib.import_module("benchmarks.strategies.code_lines").code_lines
    return counted


def test_code_is_what_is_neither_docstring_nor_comment_nor_test(code_lines: Callable[[str], int]) -> None:
    text = (
        '"""One line."""\n\n"""Two\nlines."""\nprompt p() {  # a prompt\n    user """\n        a text\n        """\n}\n'
    )
    text += '\n# a comment\ntest "t" {\n    expect 1 == 1\n}\n\nfunction f(x: int) -> int = x\n'
    assert code_lines(text) == len(["prompt", "user", "a text", '"""', "}", "function"])


@pytest.mark.parametrize("name", NAMES)
def test_written_as_the_formatter_writes(name: str) -> None:
    assert format_source(text_of(name)) == text_of(name)


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_no_warnings(name: str, program: str) -> None:
    assert compiled(name, program).warnings == ()


@pytest.mark.parametrize("name", NAMES)
def test_short(name: str, code_lines: Callable[[str], int]) -> None:
    bodies = re.findall(r"^program \w+\(.*?\) -> [^{]*\{\n(.*?)^}", text_of(name), re.DOTALL | re.MULTILINE)
    longest = max(map(code_lines, bodies))
    assert longest == LONGER[name] if name in LONGER else longest <= MOST_LINES


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_has_paper_cost_and_every_parameter(name: str) -> None:
    """Of the programs that others don't call: of what runs by itself."""
    found, text = checked(name), text_of(name)
    doc = found.doc + "".join(each.doc for each in found.programs)
    first = doc.strip().split("\n\n")[0]
    assert PAPER.search(first), "the first paragraph names the paper"
    assert re.search(r"\b[Cc]osts?\b", doc), "what it costs"
    code = re.sub(r'""".*?"""', "", text.partition('\ntest "')[0], flags=re.DOTALL)
    outer = [each for each in found.programs if len(re.findall(rf"\b{each.name}\b", code)) == 1]
    names = {parameter.name for each in outer for parameter in each.parameters} - OPTIONS - {"question", "gold"}
    names = {each for each in names if not each.endswith("_tokens")}
    assert {each for each in names if not re.search(rf"\b{each}\b", doc)} == set(), "parameters that are not explained"


@pytest.mark.parametrize("name", NAMES)
def test_it_shows_what_it_does(name: str) -> None:
    assert checked(name).tests


@pytest.mark.parametrize("name", NAMES)
def test_the_task_is_not_written_into_it(name: str) -> None:
    """Neither a prompt that the task has, nor how it marks answers, steps and thinking."""
    task = checked("task")
    of_task = {each.name for each in task.prompts} | {each.name for each in task.functions}
    code = text_of(name).partition('\ntest "')[0].removeprefix('"""').partition('"""')[2]
    assert set(re.findall(r"^(?:prompt|function) (\w+)", code, re.MULTILINE)) & of_task == set()
    assert re.findall(r'boxed|</think>|(?:until|steps) *= *"(?!```)', code) == []


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
@pytest.mark.parametrize("stage", ["ir", "plan"])
def test_stage(name: str, program: str, stage: str, golden: Callable[[str, str], None]) -> None:
    found = compiled(name, program).compiled
    shown = print_program(found.built) if stage == "ir" else print_plan(found.plan)
    golden(f"library/{name if program == name else f'{name}.{program}'}.{stage}.txt", shown)


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_bounded(name: str, program: str) -> None:
    """Requests of every role that it asks, for the default of every parameter, or a value where it has none."""
    found = compiled(name, program)
    given = {each.name: value_of(each.value.type) for each in found.parameters if each.required}
    most = worst_case(found.compiled.built).at(given)
    assert 0 < most.calls < 1_000_000


def reply(prompt: str, seed: int, sampling: Sampling) -> str:
    """Steps, an answer and now and then none, verdicts; greedy requests ignore the seed."""
    r = random.Random(prompt if sampling.temperature == 0 else f"{seed}{prompt}")
    if "Verdict:" in prompt:
        return r.choice(["looks right. Verdict: correct", "no. Verdict: incorrect", "hm"])
    if "number" in prompt:
        return r.choice(["3", "7", "10", "good"])
    steps = [f"step {r.randint(0, 9)}" for _ in range(r.randint(1, 3))]
    return "\n\n".join([*steps, r.choice(["no answer", *(f"\\boxed{{{r.randint(1, 3)}}}" for _ in range(4))])])


def value_of(kind: Type) -> Any:
    """Something to give a parameter that has no default, or an extern's result."""
    match kind:
        case OptionalOf():
            return None
        case ListOf(item):
            return [value_of(item)] * 2
        case RecordType(fields=fields):
            return {name: value_of(part) for name, part in fields}
    return VALUES[str(kind)]


def ran(name: str, program: str, level: ttsc.Level, jitter: float) -> Any:
    found = compiled(name, program, level)
    given = {each.name: value_of(each.value.type) for each in found.parameters if each.required}
    for each in found.parameters:  # what repeats is made small; limits on tokens stay
        match each.tunable:
            case Interval(low, high) if isinstance(each.default, int) and isinstance(low, int) and high <= 1024:
                given[each.name] = max(low, min(each.default, 4))
    externs = {each.name: _stand_in(each.returns) for each in found.ir.externs}
    engine = ScriptedEngine(reply, jitter=jitter, jitter_seed=5, context_tokens=10**6)
    result = found.run(given, engine=engine, seed=7, externs=externs, evaluation=True)
    return result.value, result.abstained


def _stand_in(returns: Type) -> Callable[..., Any]:
    return lambda *arguments, **named: value_of(returns)


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_every_level_gives_the_same_value_whatever_the_timing(name: str, program: str) -> None:
    assert ran(name, program, 0, 0.0) == ran(name, program, 2, 0.4)
